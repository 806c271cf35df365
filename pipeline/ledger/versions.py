"""Keeps what each row, card and customer was by each publication: a digest, told by the run of it.

Of rows, cards on their way and customers a run may change nearly everything. So a publication
keeps of each that changed since the one before: its place in its section, whether it waits for
another run, and a digest of all that its table says of it. Those of a run stay as they were and
are among what lasts (`lasting_proof`), and from one to the next `versions_proof` asks for a reason.

An entry is 19 bytes; a night writes as many as things changed.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import delete, select

from pipeline.failure_codes import Code
from pipeline.ledger.records import NOT_ATTACHED_YET, CustomerState, ExportState
from pipeline.ledger.schema import attachments, customers, exports, rows
from pipeline.ledger.sections import (
    SECTION_ROWS,
    SECTIONS_AN_EXPORT,
    asked_by_section,
    key_of,
    versions,
)
from pipeline.ledger.store import store_of
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table

VERSIONED: Final = (rows, attachments, customers)
"""The tables whose rows later runs may change; what the others hold only grows."""

_ENTRY: Final = struct.Struct(">HB16s")
KEPT_AT_ONCE: Final = 64
"""Sections that are worked out before they are written: what is known of many rows is large, too."""
_DIGEST_BYTES: Final = 16
"""Enough that nobody finds another row with the same digest."""

_STATE: Final = {table.name: table.columns.keys().index("state") for table in VERSIONED}
_ROW_CODE: Final = rows.columns.keys().index("code")
_WAIT: Final[Mapping[str, Collection[str]]] = {
    rows.name: OPEN_STATES,
    attachments.name: NOT_ATTACHED_YET,
    customers.name: (CustomerState.WANTED, CustomerState.MAKING),
}
"""The states in which a thing waits: a run may settle it without having sent anything for it."""
_LEFT_OUT: Final = (RowState.SKIPPED.value, Code.FILTERED.value)
"""State and code of a row that is not in this run's cohort, but may be in the next one's."""


class VersionEntry(NamedTuple):
    """What one thing was by a publication: its place in its section, and SHA-256 cut to 16 bytes."""

    place: int
    waits: int
    digest: bytes


class Kept(NamedTuple):
    """The entries of a section that a run brought."""

    epoch: int
    entries: bytes


def packed(
    table: Table, found: Sequence[tuple[Any, ...]], told: Sequence[bytes] | None = None
) -> bytes:
    """Pack the rows of a section of one of `VERSIONED`, an entry each.

    Args:
        table: Their table.
        found: The rows.
        told: Each of them as canonical JSON, where somebody has made that already.
    """
    state, waiting = _STATE[table.name], _WAIT[table.name]
    left_out = _LEFT_OUT if table is rows else None
    sha256, entry = hashlib.sha256, _ENTRY.pack
    return b"".join(
        [
            entry(
                row[0] % SECTION_ROWS,
                row[state] in waiting or (row[state], row[_ROW_CODE]) == left_out,
                sha256(json).digest()[:_DIGEST_BYTES],
            )
            for row, json in zip(found, told or map(orjson.dumps, found), strict=True)
        ]
    )


def unpacked(entries: bytes) -> Iterator[VersionEntry]:
    """Give the entries that were packed, in order.

    Raises:
        ValueError: Nobody packed this.
    """
    if len(entries) % _ENTRY.size:
        raise ValueError("no entries")
    return map(VersionEntry._make, _ENTRY.iter_unpack(entries))


def kept_of(connection: Connection, table: Table, number: int) -> list[Kept]:
    """Give what is kept of a section, in the order of runs."""
    here = (versions.c.of == table.name, versions.c.number == number)
    kept = select(versions.c.epoch, versions.c.packed).where(*here).order_by(versions.c.epoch)
    return [Kept(int(one.epoch), bytes(one.packed)) for one in connection.execute(kept)]


class Packing:
    """Packs sections of a table as they are read, and keeps what of them is not as it was kept.

    Args:
        connection: In a transaction.
        table: One of `VERSIONED`.
    """

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._now: dict[int, bytes] = {}
        proving = select(exports.c.id).where(exports.c.state == ExportState.PROVING)
        self._proving = set(connection.execute(proving).scalars()) if table is rows else set[int]()

    def show(
        self, number: int, found: Sequence[tuple[Any, ...]], told: Sequence[bytes] | None = None
    ) -> None:
        """Take in a section, unless its rows may be thrown away yet; `told` as for `packed`."""
        self.take({number: packed(self._table, found, told)})

    def take(self, entries: Mapping[int, bytes]) -> None:
        """Take in sections that were packed, but for those whose rows may be thrown away yet."""
        for number, packed_rows in entries.items():
            if number // SECTIONS_AN_EXPORT not in self._proving:
                self._now[number] = packed_rows

    def keep(self, epoch: int) -> None:
        """Write what is not as it was kept of the sections taken in so far, as that of a run."""
        changed = ((number, self._changed(number, epoch)) for number in self._now)
        new = [
            (
                *(self._table.name, number, epoch, len(entries) // _ENTRY.size),
                *(hashlib.sha256(entries).hexdigest(), entries),
            )
            for number, entries in changed
            if entries
        ]
        names = [column.name for column in versions.columns]
        columns = list(zip(*new, strict=True))
        store_of(self._connection).fill(self._connection, versions, names, columns)
        self._now.clear()

    def _changed(self, number: int, epoch: int) -> bytes:
        now = self._now[number]
        kept = kept_of(self._connection, self._table, number)
        if not kept:
            return now
        latest = {entry.place: entry for one in kept for entry in unpacked(one.entries)}
        changed = [entry for entry in unpacked(now) if latest.get(entry.place) != entry]
        if changed and kept[-1].epoch == epoch:
            # The same run publishes again.
            here = (versions.c.of == self._table.name, versions.c.number == number)
            self._connection.execute(delete(versions).where(*here, versions.c.epoch == epoch))
            again = {entry.place: entry for entry in unpacked(kept[-1].entries)}
            again |= {entry.place: entry for entry in changed}
            changed = sorted(again.values())
        return b"".join(_ENTRY.pack(*entry) for entry in changed)


def renew_versions(connection: Connection, epoch: int) -> None:
    """Keep what changed of all rows, cards and customers since the last publication.

    Args:
        connection: In a transaction.
        epoch: The run's.
    """
    for table in VERSIONED:
        packing, key = Packing(connection, table), key_of(table)
        everything = select(table).order_by(key)
        found = asked_by_section(connection, everything, key, None)
        for done, section in enumerate(found, 1):
            packing.show(*section)
            if done % KEPT_AT_ONCE == 0:
                packing.keep(epoch)
        packing.keep(epoch)
