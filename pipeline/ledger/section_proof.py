"""Compares what is kept of sections with their rows, since runs publish it without reading the rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from pipeline.ledger.held_sections import Ahead
from pipeline.ledger.section_figures import COUNTED, to_count
from pipeline.ledger.sections import (
    SECTION_ROWS,
    Counted,
    digest_of_figures,
    numbers,
    sections,
)
from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Digested, Found

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
        ahead = Ahead(_kept_of(connection, kind) if kept[kind] else iter(()))
        for one in found:
            if one.number not in kept[kind]:
                continue
            kept[kind].remove(one.number)
            if not _is_kept(ahead.of(one.number), one):
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


def _kept_of(connection: Connection, kind: str) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Give what is kept of a kind, in order, some at a time: of all rows it is much."""
    asked = select(*_KEPT).where(sections.c.of == kind).order_by(sections.c.number)
    for block in store_of(connection).selected(connection, asked):
        yield from ((row[0], [row]) for row in block)


def _is_kept(kept: Found, one: Digested | Counted) -> bool:
    if not kept:
        return False
    if not isinstance(one, Counted):
        return tuple(kept[0]) == (*one, None, None)
    *told, packed = kept[0]
    # What is packed was left out where everything was read at once; the digest answers for it.
    return (
        told == [one.number, one.rows, one.sha256, one.figures]
        and packed is not None
        and digest_of_figures(one.figures, packed) == one.sha256
    )
