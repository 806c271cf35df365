"""Cuts the lists of rows into parts, and tells of each what it is made of, so that an unchanged one is kept.

A part is a row of sections with at most so many rows of planned exports, whatever became of them:
such rows never go, and later exports come behind. So a border once drawn stays where it is, and a
card that is replaced changes the part that it stood in, and no other. What a part is made of is one
digest over those of its sections; what came with exports and runs does not change (`lasting`). The
failures are cut as the mapping is; which of them are open is told by the counts of each section, too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from sqlalchemy import select

from pipeline.ledger.records import ExportState
from pipeline.ledger.schema import attachments, customers, exports, rows, tokens
from pipeline.ledger.sections import SECTIONS_AN_EXPORT, ids_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Digested

PART_ROWS: Final = 25_000
"""Rows of a part at most: a row group that a reader takes into memory at once."""


class PartOfRows(NamedTuple):
    """A part of a list of rows.

    Attributes:
        first_id: The first id of a row that may be in it.
        last_id: The last one.
        sha256: Of everything that its rows are made of.
    """

    first_id: int
    last_id: int
    sha256: str


def parts_of_rows(
    connection: Connection,
    digested: Mapping[str, Sequence[Digested]],
    customer_sections: Mapping[int, Sequence[int]],
    kind: Sequence[object],
    failures: Mapping[int, str] | None = None,
) -> Iterator[PartOfRows]:
    """Cut a list of rows, in its order.

    Args:
        connection: A reading connection.
        digested: Every section of each table (`digests.digested_tables`).
        customer_sections: Of a section of rows the sections of the customers that its cards go to.
        kind: What else makes the list of all rows what it is: JSON-ready.
        failures: What tells which failures of a section are open; None for the mapping.
    """
    planned = select(exports.c.id, exports.c.name).where(exports.c.state == ExportState.PLANNED)
    names = {int(number): str(name) for number, name in connection.execute(planned)}
    known = {
        table.name: {one.number: one.sha256 for one in digested[table.name]}
        for table in (rows, tokens, attachments, customers)
    }
    there = [one for one in digested[rows.name] if one.number // SECTIONS_AN_EXPORT in names]
    for part in cut(there):
        numbers = [one.number for one in part]
        made_of = [
            kind,
            sorted({(n // SECTIONS_AN_EXPORT, names[n // SECTIONS_AN_EXPORT]) for n in numbers}),
            [
                (n, *(known[table.name].get(n) for table in (rows, tokens, attachments)))
                for n in numbers
            ],
            [(n, known[customers.name].get(n)) for n in sorted(_all(customer_sections, numbers))],
            *([] if failures is None else [[failures.get(n) for n in numbers]]),
        ]
        yield PartOfRows(
            *ids_of(numbers[0], numbers[-1]),
            hashlib.sha256(orjson.dumps(made_of)).hexdigest(),
        )


def cut(there: Sequence[Digested]) -> Iterator[list[Digested]]:
    """Give sections of rows together, in order, as many as have no more than a part may have."""
    part: list[Digested] = []
    size = 0
    for one in there:
        if part and size + one.rows > PART_ROWS:
            yield part
            part, size = [], 0
        part.append(one)
        size += one.rows
    if part:
        yield part


def _all(customer_sections: Mapping[int, Sequence[int]], numbers: Sequence[int]) -> set[int]:
    return {found for number in numbers for found in customer_sections.get(number, ())}
