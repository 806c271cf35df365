"""Reads every row of the tables that are cut once, and gives all that is compared section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from pipeline.ledger.held_sections import held_sections
from pipeline.ledger.lasting_proof import LASTING_KINDS
from pipeline.ledger.section_figures import READ_ONCE, TABLES
from pipeline.ledger.sections import SECTIONED, digest_section, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Counted, Digested


class WholeReading(NamedTuple):
    """What the rows of a ledger give, whatever is kept of them.

    Attributes:
        digested: The sections of each table that is cut, by the table's name, in order.
        lasting: What lasts of them, by kind, likewise.
    """

    digested: Mapping[str, Sequence[Digested]]
    lasting: Mapping[str, Sequence[Counted]]


def read_whole(connection: Connection) -> WholeReading:
    """Digest all sections, and what lasts of them, in one reading of the tables.

    Args:
        connection: A reading connection.
    """
    digested: dict[str, list[Digested]] = {table.name: [] for table in SECTIONED}
    lasting: dict[str, list[Counted]] = {kind: [] for kind in LASTING_KINDS}
    for together in READ_ONCE:
        there = {table: numbers(connection, table) for table in together.tables}
        begun = {
            kind: begin(connection, there[TABLES[kind]])
            for kind, begin in together.counting.items()
            if kind in lasting
        }
        wanted = sorted(set[int]().union(*there.values()))
        for number, found in held_sections(connection, together.tables, wanted):
            of = dict(zip(together.tables, found, strict=True))
            for table, held in of.items():
                if held:
                    told = list(map(orjson.dumps, held))
                    digested[table.name].append(digest_section(number, told))
            for kind, count in begun.items():
                if of[TABLES[kind]]:
                    lasting[kind].append(count(number, *found))
    return WholeReading(digested, lasting)
