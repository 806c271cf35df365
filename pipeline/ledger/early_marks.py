"""Marks sections that are worked out while other rows are still sent, and tells which marks stand.

A rule of the database takes a mark away as soon as anything writes to one of its section's ids
(`sections.MARKED`). A mark by itself says nothing of a section, so one that a run leaves behind does
no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, select

from pipeline.ledger.schema import attempts, rows
from pipeline.ledger.section_figures import kept_of
from pipeline.ledger.sections import (
    EARLY_CARDS,
    EARLY_REQUESTS,
    LASTING_ATTEMPTS,
    ROW_FIGURES,
    SECTION_ROWS,
    numbers,
    sections,
)
from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.section_work import Worked

MARKS: Final = {EARLY_CARDS: ROW_FIGURES, EARLY_REQUESTS: LASTING_ATTEMPTS}
"""The kinds of mark, with one thing that is worked out: where that is kept, all of it is."""

_STILL_SENT: Final = 500
"""So many of the last rows and requests may be under way, or near to it."""


class Marked(NamedTuple):
    """What was marked.

    Attributes:
        number: Counts the times that this process marked sections.
        sections: Those of each kind of mark, in order.
        parts: What is made of parts of rows, too: what a part's first and last id come behind.
    """

    number: int
    sections: Mapping[str, Sequence[int]]
    parts: tuple[Any, ...]


class Standing(NamedTuple):
    """The marks that stand.

    Attributes:
        marks: Of each kind the sections, each with the `Marked.number` of its mark.
    """

    marks: Mapping[str, Mapping[int, int]]


class WorkedEarly(NamedTuple):
    """What was worked out of sections whose marks stand.

    Attributes:
        worked: What is to be kept of sections.
        parts: What calls return that make something of a part of rows.
    """

    worked: Sequence[Worked]
    parts: Mapping[tuple[Any, ...], Any]


def mark_sections(connection: Connection, number: int, parts: tuple[Any, ...]) -> Marked:
    """Mark the sections of which nothing is known and whose rows were all sent.

    Args:
        connection: In a transaction.
        number: As in `Marked`; with the first the marks of an earlier process go.
        parts: As in `Marked`.
    """
    if number == 1:
        forget_marks(connection)
    marked = dict(_to_mark(connection))
    for mark, these in marked.items():
        columns = these, [mark] * len(these), [number] * len(these)
        store_of(connection).fill(connection, sections, ("number", "of", "rows"), columns)
    return Marked(number, marked, parts)


def standing_marks(connection: Connection) -> Standing:
    """Give the marks that stand."""
    return Standing({mark: _marks(connection, mark) for mark in MARKS})


def forget_marks(connection: Connection) -> None:
    """Take all marks away."""
    connection.execute(delete(sections).where(sections.c.of.in_(MARKS)))


def _to_mark(connection: Connection) -> Iterator[tuple[str, Sequence[int]]]:
    last = select(attempts.c.id, attempts.c.row_id).order_by(attempts.c.id.desc()).limit(1)
    found = connection.execute(last).first()
    if found is None:
        return
    ends = {EARLY_CARDS: (rows, found.row_id), EARLY_REQUESTS: (attempts, found.id)}
    for mark, (table, last_id) in ends.items():
        known = kept_of(connection, MARKS[mark]) | _marks(connection, mark).keys()
        end = (last_id - _STILL_SENT) // SECTION_ROWS
        yield mark, [n for n in numbers(connection, table) if n < end and n not in known]


def _marks(connection: Connection, mark: str) -> dict[int, int]:
    asked = select(sections.c.number, sections.c.rows).where(sections.c.of == mark)
    return {int(section): int(number) for section, number in connection.execute(asked)}
