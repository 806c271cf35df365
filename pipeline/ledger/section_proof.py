"""Compares what is kept of sections with their rows, since runs publish it without reading the rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from pipeline.ledger.section_figures import COUNTED, to_count
from pipeline.ledger.sections import SECTION_ROWS, Counted, numbers, sections

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Digested

_KEPT: Final = (
    sections.c.number,
    sections.c.rows,
    sections.c.sha256,
    sections.c.figures,
    sections.c.packed,
)


def differing_section(
    connection: Connection, worked_out: Mapping[str, Iterable[Digested | Counted]]
) -> str | None:
    """Give the first section of which something else is kept than its rows give, in words.

    Args:
        connection: A reading connection.
        worked_out: Every section of each table, by the table's name, and of kinds that were counted
            already, worked out of the rows.
    """
    kept = defaultdict[str, set[int]](set)
    for kind, number in connection.execute(select(sections.c.of, sections.c.number)):
        kept[kind].add(number)
    for kind, found in _of_all(connection, worked_out, kept):
        for one in found:
            if one.number not in kept[kind]:
                continue
            kept[kind].remove(one.number)
            if not _is_kept(connection, kind, one):
                first = one.number * SECTION_ROWS
                ids = f"ids {first} to {first + SECTION_ROWS - 1}"
                return f"what is kept of {ids} ({kind}) is not what they give"
    return "something is kept of ids that are not there" if any(kept.values()) else None


def _of_all(
    connection: Connection,
    worked_out: Mapping[str, Iterable[Digested | Counted]],
    kept: Mapping[str, set[int]],
) -> Iterator[tuple[str, Iterable[Digested | Counted]]]:
    for kind in COUNTED:
        # Of some it is known that what is kept is no longer right: it is counted again when asked for.
        kept[kind].difference_update(to_count(connection, kind, kept[kind]))
    yield from worked_out.items()
    for kind, (table, count) in COUNTED.items():
        if kind in worked_out:
            continue
        there = kept[kind].intersection(numbers(connection, table))
        yield kind, count(connection, sorted(there))


def _is_kept(connection: Connection, kind: str, one: Digested | Counted) -> bool:
    # One at a time: what is packed of all rows would be much to have in memory twice.
    here = select(*_KEPT).where(sections.c.of == kind, sections.c.number == one.number)
    found = connection.execute(here).first()
    wanted = one if isinstance(one, Counted) else (*one, None, None)
    return found is not None and tuple(found) == tuple(wanted)
