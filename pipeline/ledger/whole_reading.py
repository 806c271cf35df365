"""Reads every row of the tables that are cut once, and gives all that is compared section by section."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import orjson

from pipeline.errors import WRITTEN_BY_NOBODY
from pipeline.ledger.held_sections import held_sections
from pipeline.ledger.lasting_proof import LASTING_KINDS
from pipeline.ledger.section_figures import READ_ONCE, TABLES
from pipeline.ledger.sections import SECTIONED, digest_section, numbers
from pipeline.ledger.versions import VERSIONED, kept_of, packed
from pipeline.ledger.versions_proof import Compared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

    from pipeline.ledger.section_figures import ReadOnce
    from pipeline.ledger.sections import Counted, Counting, Digested, Found


class WholeReading(NamedTuple):
    """What the rows of a ledger give, whatever is kept of them.

    Attributes:
        digested: The sections of each table that is cut, by the table's name, in order.
        lasting: What lasts of them, by kind, likewise.
        counted: What is counted of them, by kind, likewise; what is packed of each row is left out,
            its digest stands for it. A kind that could not be counted is not there.
        other: The sections of which something else than one version, as they are now, is kept, by
            the table's name, in order.
    """

    digested: Mapping[str, Sequence[Digested]]
    lasting: Mapping[str, Sequence[Counted]]
    counted: Mapping[str, Sequence[Counted]]
    other: Mapping[str, Sequence[int]]

    def compared(self) -> Compared:
        """Give what is known of versions, for whoever asks why something is another one now."""
        there = {name: [one.number for one in found] for name, found in self.digested.items()}
        return Compared(there, self.other)


def read_whole(connection: Connection) -> WholeReading:
    """Digest all sections, and count them, in one reading of the tables.

    Args:
        connection: A reading connection.
    """
    reading = _Reading(connection)
    for together in READ_ONCE:
        reading.read(together)
    counted = {k: found for k, found in reading.counted.items() if k not in reading.left_out}
    return WholeReading(reading.digested, reading.lasting, counted, reading.other)


class _Reading:
    """Takes from each section all that is wanted of it.

    Args:
        connection: A reading connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.digested: dict[str, list[Digested]] = {table.name: [] for table in SECTIONED}
        self.lasting: dict[str, list[Counted]] = {kind: [] for kind in LASTING_KINDS}
        self.counted: defaultdict[str, list[Counted]] = defaultdict(list)
        self.left_out = set[str]()
        self.other: dict[str, list[int]] = {table.name: [] for table in VERSIONED}

    def read(self, together: ReadOnce) -> None:
        """Read some tables side by side."""
        there = {table: numbers(self._connection, table) for table in together.tables}
        begun = {
            kind: begin(self._connection, there[TABLES[kind]])
            for kind, begin in together.counting.items()
        }
        wanted = sorted(set[int]().union(*there.values()))
        for number, found in held_sections(self._connection, together.tables, wanted):
            of = dict(zip(together.tables, found, strict=True))
            for table, held in of.items():
                if held:
                    self._digest(table, number, held)
            for kind, count in begun.items():
                if of[TABLES[kind]]:
                    self._count(kind, number, count, found)

    def _digest(self, table: Table, number: int, held: Found) -> None:
        told = list(map(orjson.dumps, held))
        self.digested[table.name].append(digest_section(number, told))
        if table in VERSIONED and not self._is_only_version(table, number, held, told):
            self.other[table.name].append(number)

    def _is_only_version(
        self, table: Table, number: int, held: Found, told: Sequence[bytes]
    ) -> bool:
        try:
            kept = kept_of(self._connection, table, number)
            return [one.entries for one in kept] == [packed(table, held, told)]
        except WRITTEN_BY_NOBODY:
            # Whoever asks what became of the section finds that out, and says it.
            return False

    def _count(self, kind: str, number: int, count: Counting, found: Sequence[Found]) -> None:
        if kind in self.lasting:
            self.lasting[kind].append(count(number, *found))
        elif kind not in self.left_out:
            try:
                one = count(number, *found)
            except WRITTEN_BY_NOBODY:
                # Whoever asks for it counts by itself, and says what is wrong.
                self.left_out.add(kind)
            else:
                self.counted[kind].append(one._replace(packed=b""))
