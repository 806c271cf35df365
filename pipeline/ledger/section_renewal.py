"""Works out what is to be kept of sections, reading their rows once, and proves what is kept."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, select

from pipeline.errors import VerificationFailed
from pipeline.ledger.held_sections import held_sections
from pipeline.ledger.section_figures import BY_ITSELF, COUNTED, READ_ONCE, TABLES, kept_of, to_count
from pipeline.ledger.sections import digest_of_figures, digest_section, numbers, sections, stretches
from pipeline.ledger.store import store_of
from pipeline.ledger.versions import KEPT_AT_ONCE, VERSIONED, Packing, renew_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from pipeline.ledger.section_figures import ReadOnce
    from pipeline.ledger.sections import Counted, Digested, Found


def renew_sections(connection: Connection, epoch: int, *, kept: bool | None) -> None:
    """Work out what is to be kept of each section, in the caller's transaction.

    Args:
        connection: In a transaction.
        epoch: The run's, with which versions come (`versions`).
        kept: What is kept is right; else all is worked out, and what differs is written anew. None
            where nothing but versions is kept.
    """
    if kept is None:
        renew_versions(connection, epoch)
        return
    for together in READ_ONCE:
        _Renewal(connection, epoch, together, kept=kept).renew()
    for kind, (_, count) in BY_ITSELF.items():
        found = count(connection, _to_renew(connection, kind, kept=kept))
        while some := list(islice(found, KEPT_AT_ONCE)):
            _keep(connection, kind, some)


def require_own_figures(connection: Connection) -> None:
    """Make sure that what is kept of sections is what was counted.

    Raises:
        VerificationFailed: It is damaged, and with it perhaps more of the file.
    """
    figures = select(sections.c.sha256, sections.c.figures, sections.c.packed)
    for sha256, told, packed in connection.execute(figures.where(sections.c.of.in_(COUNTED))):
        if (
            not isinstance(told, str)
            or not isinstance(packed, bytes)
            or sha256 != digest_of_figures(told, packed)
        ):
            raise VerificationFailed(
                "what the ledger keeps of its rows is damaged",
                next_step="Keep the folder as it is; restore the ledger from a backup.",
            )


class _Renewal:
    """Works out all that is missing of sections of tables that are read together.

    Args:
        connection: In a transaction.
        epoch: The run's.
        together: The tables, and what is counted of them.
        kept: As for `renew_sections`.
    """

    def __init__(
        self, connection: Connection, epoch: int, together: ReadOnce, *, kept: bool
    ) -> None:
        self._connection = connection
        self._epoch = epoch
        self._tables = together.tables
        kinds = (*(table.name for table in self._tables), *together.counting)
        missing = {kind: _to_renew(connection, kind, kept=kept) for kind in kinds}
        self._wanted = sorted(set().union(*missing.values()))
        self._counting = {
            kind: (frozenset(missing[kind]), begin(connection, missing[kind]))
            for kind, begin in together.counting.items()
        }
        self._digested = {table: frozenset(missing[table.name]) for table in self._tables}
        self._packing = {t: Packing(connection, t) for t in self._tables if t in VERSIONED}
        self._found: defaultdict[str, list[Digested | Counted]] = defaultdict(list)

    def renew(self) -> None:
        """Work everything out, and keep it."""
        held = held_sections(self._connection, self._tables, self._wanted)
        for done, (number, found) in enumerate(held, 1):
            for table, rows in zip(self._tables, found, strict=True):
                if number in self._digested[table]:
                    self._digest(table, number, rows)
            for kind, (missing, count) in self._counting.items():
                if number in missing:
                    self._found[kind].append(count(number, *found))
            if done % KEPT_AT_ONCE == 0:
                self._keep()
        self._keep()

    def _digest(self, table: Table, number: int, rows: Found) -> None:
        told = list(map(orjson.dumps, rows))
        self._found[table.name].append(digest_section(number, told))
        if table in self._packing:
            self._packing[table].show(number, rows, told)

    def _keep(self) -> None:
        for kind, found in self._found.items():
            _keep(self._connection, kind, found)
        self._found.clear()
        for packing in self._packing.values():
            packing.keep(self._epoch)


def _to_renew(connection: Connection, kind: str, *, kept: bool) -> Sequence[int]:
    """Give the sections to work something out of, in order; of those that are gone nothing is kept."""
    known = kept_of(connection, kind)
    if kept:
        return to_count(connection, kind, known)
    there = numbers(connection, TABLES[kind])
    _forget(connection, kind, sorted(known.difference(there)))
    return there


def _forget(connection: Connection, kind: str, these: Sequence[int]) -> None:
    for ends in stretches(these):
        here = sections.c.of == kind, sections.c.number.between(*ends)
        connection.execute(delete(sections).where(*here))


def _keep(connection: Connection, kind: str, found: Sequence[Digested | Counted]) -> None:
    """Keep what was worked out of some sections, in order; what is kept so already stays as it is."""
    number, *others = names = found[0]._fields
    kept: set[tuple[Any, ...]] = set()
    for ends in stretches(one.number for one in found):
        here = sections.c.of == kind, sections.c.number.between(*ends)
        asked = select(*(sections.c[name] for name in names)).where(*here)
        kept.update(map(tuple, connection.execute(asked)))
    new = [one for one in found if one not in kept]
    _forget(connection, kind, [one.number for one in new])
    values = list(zip(*((one.number, kind, *one[1:]) for one in new), strict=True))
    store_of(connection).fill(connection, sections, (number, "of", *others), values)
