"""Cuts the tables that grow with cards into sections, and knows of each what its rows digest to.

A section is a thousand ids in a row of one table. What is worked out of a section is kept in the
ledger, and a rule of the database throws it away as soon as anything writes to one of those ids, so
that a night has to work out the sections that it changed, and adds up the others. Whatever a
section says can be worked out of its rows again, and `verify` does so.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import orjson
from sqlalchemy import Column, Index, Integer, LargeBinary, Table, select, text

from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.schema import (
    attachments,
    attempts,
    customers,
    metadata,
    outcomes,
    rows,
    tokens,
)
from pipeline.ledger.schema_parts import BIG, Text
from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

Found: TypeAlias = "Sequence[tuple[Any, ...]]"
"""Rows of one section of a table, all columns in the schema's order, by their ids."""

_ASKED: Final = "section_numbers"

sections = Table(
    "sections",
    metadata,
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("of", Text, primary_key=True, comment="the table, or what was counted of its rows"),
    Column("rows", Integer, nullable=False),
    Column("sha256", Text),
    Column("figures", Text, comment="JSON: what the rows add up to"),
    Column("packed", LargeBinary, comment="numbers of each row, of what does not add up"),
    comment="what is known of a thousand ids, as long as nothing writes to them",
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# One kind is asked for at a time, and what is kept of the others is large.
Index("sections_by_kind", *(sections.c[name] for name in ("of", "number", "rows", "sha256")))

versions = Table(
    "versions",
    metadata,
    Column("of", Text, primary_key=True, comment="the table"),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("epoch", BIG, primary_key=True, autoincrement=False),
    Column("things", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("packed", LargeBinary, nullable=False, comment="place, whether it waits, and digest"),
    comment="what became of a thousand ids by the publication of a run (see versions.py)",
    sqlite_strict=True,
)

_ID: Final = itemgetter(0)

SECTION_ROWS: Final = 1_000
"""Ids in a section; a row's number and its export are read off the section's number as well."""

SECTIONS_AN_EXPORT: Final = ROW_SPAN // SECTION_ROWS
"""Sections that the rows of one export may have."""

SECTIONED: Final = (rows, tokens, attachments, attempts, outcomes, customers)
"""The tables that are cut, each by the number that is its key."""

ROW_FIGURES: Final = "row sums"
"""What is counted of the rows of a section, with their tokens and attachments."""
ROW_COUNTS: Final = "row counts"
"""How many of the rows of a section became what (`row_counts`)."""
FAILURE_COUNTS: Final = "failure counts"
"""What failed of the rows of a section and is open, or resolved (`failure_counts`)."""
ANSWER_FIGURES: Final = "answer figures"
"""What is kept of the outcomes of a section."""
LASTING_ROWS: Final = "lasting rows"
"""What no run may change any more of the rows of a section, and of their tokens (`lasting`)."""
LASTING_CUSTOMERS: Final = "lasting customers"
"""The same of a section of customers."""
LASTING_ATTEMPTS: Final = "lasting attempts"
"""The same of a section of attempts, with their outcomes."""
EARLY_CARDS: Final = "early cards"
"""That nothing was written of the rows of a section, or of their tokens and attachments, since it
was to be worked out before its time (`early_sections`)."""
EARLY_REQUESTS: Final = "early requests"
"""The same of a section of attempts, with their outcomes."""

MARKED: Final = {
    rows.name: (rows.name, ROW_FIGURES, ROW_COUNTS, FAILURE_COUNTS, LASTING_ROWS, EARLY_CARDS),
    tokens.name: (tokens.name, ROW_FIGURES, LASTING_ROWS, EARLY_CARDS),
    attachments.name: (
        *(attachments.name, ROW_FIGURES, ROW_COUNTS, FAILURE_COUNTS),
        EARLY_CARDS,
    ),
    attempts.name: (attempts.name, LASTING_ATTEMPTS, EARLY_REQUESTS),
    outcomes.name: (outcomes.name, ANSWER_FIGURES, LASTING_ATTEMPTS, EARLY_REQUESTS),
    customers.name: (customers.name, LASTING_CUSTOMERS),
}
"""What is thrown away of a section when a row of a table is written."""


class Counted(NamedTuple):
    """What is counted of a section: its number, its rows, JSON of sums, and numbers of each row.

    `sha256` is over both of them: no rule of a database sees a page whose content was damaged.
    """

    number: int
    rows: int
    sha256: str
    figures: str
    packed: bytes


Counting: TypeAlias = "Callable[..., Counted]"
"""Counts a section: its number, and what each of some tables has of it (`Found`)."""


def counted_as(number: int, size: int, figures: object, packed: bytes = b"") -> Counted:
    """Give what is counted of a section as it is kept; `figures` becomes JSON."""
    told = orjson.dumps(figures).decode()
    return Counted(number, size, digest_of_figures(told, packed), told, packed)


def digest_of_figures(figures: str, packed: bytes) -> str:
    """Give SHA-256 over what is counted of a section."""
    return hashlib.sha256(figures.encode() + packed).hexdigest()


class Digested(NamedTuple):
    """A section's number, how many rows it has, and the SHA-256 of them."""

    number: int
    rows: int
    sha256: str


def key_of(table: Table) -> ColumnElement[int]:
    """Give the number by which a table is cut."""
    (key,) = table.primary_key.columns
    return key


def values_of(table: Table, *names: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Give what takes some values, two at least, out of a row with all columns of a table."""
    places = table.columns.keys()
    return itemgetter(*(places.index(name) for name in names))


def asked_once(connection: Connection) -> None:
    """Let `numbers` ask a connection once for each table: it sees one state, and does not write."""
    connection.execution_options(**{_ASKED: {}})


def numbers(connection: Connection, table: Table) -> Sequence[int]:
    """Give the sections of a table that hold rows, in order; a look-up each, no row is read."""
    asked: dict[str, Sequence[int]] = connection.get_execution_options().get(_ASKED, {})
    if table.name not in asked:
        asked[table.name] = _numbers(connection, table)
    return asked[table.name]


def _numbers(connection: Connection, table: Table) -> list[int]:
    key, name = key_of(table).name, table.name
    # The names are our own schema's.
    statement = f"""
        WITH RECURSIVE held (number) AS (
            SELECT min({key}) / {SECTION_ROWS} FROM {name}
            UNION ALL
            SELECT (SELECT min({key}) / {SECTION_ROWS} FROM {name}
                    WHERE {key} >= (held.number + 1) * {SECTION_ROWS})
            FROM held WHERE held.number IS NOT NULL
        )
        SELECT number FROM held WHERE number IS NOT NULL"""  # noqa: S608
    return list(map(int, connection.execute(text(statement)).scalars().all()))


def stretches(wanted: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Give numbers, in order, as first and last of each unbroken row of them."""
    for _, together in groupby(enumerate(wanted), lambda pair: pair[1] - pair[0]):
        block = [number for _, number in together]
        yield block[0], block[-1]


def in_stretch(key: ColumnElement[int], first: int, last: int) -> ColumnElement[bool]:
    """Give the condition on an id that it is in one of the sections from first to last."""
    return key.between(*ids_of(first, last))


def ids_of(first: int, last: int | None = None) -> tuple[int, int]:
    """Give the first and the last id of a section, or of all from one to another."""
    end = first if last is None else last
    return first * SECTION_ROWS, (end + 1) * SECTION_ROWS - 1


def digests_known(connection: Connection, table: Table) -> dict[int, Digested]:
    """Give what is kept of a table's sections, by number."""
    found = connection.execute(
        select(sections.c.number, sections.c.rows, sections.c.sha256).where(
            sections.c.of == table.name
        )
    )
    return {one[0]: one for one in map(Digested._make, found.all())}


def digest_sections(
    connection: Connection, table: Table, wanted: Iterable[int] | None = None
) -> Iterator[Digested]:
    """Digest sections of a table, in order.

    Args:
        connection: A reading connection.
        table: One of `SECTIONED`.
        wanted: The sections, in order; default: every row that there is.
    """
    key = key_of(table)
    for number, found in asked_by_section(connection, select(table).order_by(key), key, wanted):
        yield digest_section(number, list(map(orjson.dumps, found)))


def digest_section(number: int, told: Sequence[bytes]) -> Digested:
    """Give the SHA-256 over the array of a section's rows, of which each is told as canonical JSON."""
    return Digested(number, len(told), hashlib.sha256(b"[%b]" % b",".join(told)).hexdigest())


def asked_by_section(
    connection: Connection,
    statement: Select[Any],
    key: ColumnElement[int],
    wanted: Iterable[int] | None,
) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Give what a statement finds, as sections: number and rows.

    Args:
        connection: A reading connection.
        statement: Gives rows whose first column is the key, in its order.
        key: The number by which is cut.
        wanted: The sections, in order; default: every row that there is.
    """
    selected = store_of(connection).selected
    if wanted is None:
        yield from by_section(selected(connection, statement))
        return
    for ends in stretches(wanted):
        yield from by_section(selected(connection, statement.where(in_stretch(key, *ends))))


def by_section(
    blocks: Iterable[Sequence[tuple[Any, ...]]],
) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Give rows that come by their id, which is the first of each, as sections: number and rows."""
    waiting: list[tuple[Any, ...]] = []
    number = 0
    for block in blocks:
        start = 0
        while start < len(block):
            here = block[start][0] // SECTION_ROWS
            end = bisect_left(block, (here + 1) * SECTION_ROWS, start, key=_ID)
            if waiting and here != number:
                yield number, waiting
                waiting = []
            number = here
            waiting.extend(block[start:end])
            start = end
    if waiting:
        yield number, waiting


def digest_of(parts: Sequence[Digested]) -> dict[str, int | str]:
    """Give rows and SHA-256 of a table from those of its sections, which stand in order."""
    listed = orjson.dumps([(part.number, part.sha256) for part in parts])
    return {
        "rows": sum(part.rows for part in parts),
        "sha256": hashlib.sha256(listed).hexdigest(),
    }
