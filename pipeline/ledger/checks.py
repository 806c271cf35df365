"""Checks that a database is a ledger that this program understands and may go on with."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import select

from pipeline.errors import WRITTEN_BY_NOBODY, SettingsRefused, VerificationFailed
from pipeline.folder_files import read_in_folder, trouble_with_own_file
from pipeline.ledger.digests import small_tables, table_digests
from pipeline.ledger.key_values import SETTINGS_KEY, put
from pipeline.ledger.publications import MANIFEST_NAME
from pipeline.ledger.records import (
    NOT_ATTACHED_YET,
    READING_DIGEST,
    ROW_SPAN,
    SETTINGS_DIGEST,
    ExportState,
)
from pipeline.ledger.schema import (
    SCHEMA_VERSION,
    attachments,
    attempts,
    events,
    exports,
    meta,
    rows,
    runs,
    tokens,
)
from pipeline.ledger.store import store_of
from pipeline.ledger.upgrades import VERSION_KEY
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from pipeline.ledger.publications import PublicationHistory

_LEDGER_FILES: Final = ("", "-journal", "-wal", "-shm")
"""What SQLite opens beside the ledger, if it is there."""
_PUBLISHED: Final = ("mapping.parquet", MANIFEST_NAME, "trail.jsonl")
"""Outputs that only a ledger can have written."""


@contextmanager
def only_ours() -> Iterator[None]:
    """Take whatever a ledger holds that Cardferry never writes for a change by somebody else.

    Raises:
        VerificationFailed: What is judged in the block is of another kind than it has to be.
    """
    try:
        yield
    except WRITTEN_BY_NOBODY as strange:
        raise VerificationFailed(
            f"the ledger holds something that Cardferry never writes ({type(strange).__name__})",
            next_step="Keep the folder as it is; `cardferry verify DIR` names the place.",
        ) from None


def require_own_files(path: Path | None) -> None:
    """Make sure that what has the ledger's names are files that nobody else may write.

    Raises:
        VerificationFailed: One is a link, a pipe, a device, or open to others.
    """
    if path is None:
        return
    for ending in _LEDGER_FILES:
        file = path.with_name(path.name + ending)
        if wrong := trouble_with_own_file(file):
            raise VerificationFailed(
                f"{file.name} {wrong}",
                next_step="Keep the folder as it is and ask who put it there.",
            )


def create_if_empty(connection: Connection, folder: Path | None) -> bool:
    """Make the tables and rules of a new ledger, unless tables are there already.

    Returns:
        Whether they were made.

    Raises:
        VerificationFailed: The ledger is gone while the files made from it are there.
    """
    store = store_of(connection)
    if not store.begins_empty(connection):
        return False
    if folder is not None and any((folder / name).exists() for name in _PUBLISHED):
        raise VerificationFailed(
            "this folder holds a migration's outputs, but its ledger is gone or empty",
            next_step="Restore the ledger from a backup; a new one would send every card again.",
        )
    store.create_tables(connection)
    put(connection, VERSION_KEY, str(SCHEMA_VERSION))
    return True


def require_newest(connection: Connection, folder: Path) -> None:
    """Make sure that a ledger is not older than the outputs beside it.

    Raises:
        VerificationFailed: The manifest names an event that this ledger does not have.
    """
    try:
        named = orjson.loads(read_in_folder(folder / MANIFEST_NAME))["chain"]
        length, head = min(int(named["length"]), ROW_SPAN), named["head"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        # None yet, or one that was damaged: `cardferry verify` tells, the ledger is no worse.
        return
    if connection.execute(select(events.c.hash).where(events.c.seq == length)).scalar() != head:
        raise VerificationFailed(
            "the ledger is older than the files beside it, or another migration's",
            next_step="Put the newest ledger back; with this one cards would be sent again.",
        )


def require_untouched(
    connection: Connection, known: PublicationHistory, *, kept: bool, rows: bool = True
) -> None:
    """Make sure that nobody changed a ledger since its outputs were published.

    A run that went on from there would publish the change as its own. The ledger itself says
    what it held, so that taking the manifest away hides nothing.

    Args:
        connection: A reading connection.
        known: What was published.
        kept: Go by what is kept of sections (`digests.table_digests`).
        rows: Compare the tables that grow with cards, too.

    Raises:
        VerificationFailed: A table no longer holds what was published.
    """
    binding = known.binding
    if binding is None:
        return
    epoch = known.epoch_of(binding)
    if rows:
        held = table_digests(connection, kept=kept, epoch=epoch)
    else:
        held = small_tables(connection, epoch)
    compared = binding.tables if rows else {name: binding.tables.get(name) for name in held}
    if {name: told["sha256"] for name, told in held.items()} != compared:
        raise VerificationFailed(
            "the ledger was changed by another program since its outputs were published",
            next_step="Keep the folder as it is; `cardferry verify DIR` names the place.",
        )


def require_same_mode(connection: Connection, *, livemode: bool) -> None:
    """Make sure that every token of a ledger is of the mode that is to be used now.

    A rehearsal's cards would else count as moved already, and their test tokens as live ones.

    Raises:
        SettingsRefused: There are tokens of the other mode.
    """
    # Every run asks this before its first token, so that one token stands for all.
    known = connection.execute(select(tokens.c.livemode).limit(1)).scalar()
    if known is not None and bool(known) != livemode:
        raise SettingsRefused(
            ["vault.mode: this folder holds tokens of the other mode"],
            next_step="Use another folder; a migration has one mode from its first token on.",
        )


def require_same_meaning(
    connection: Connection, epoch: int, digest: str, facts: Mapping[str, object]
) -> None:
    """Make sure that an unfinished ledger goes on with settings that mean the same.

    An address that nothing was sent to may be corrected, though rows wait that were planned with it.

    Args:
        connection: In the transaction in which the run begins, once every earlier one is overtaken.
        epoch: The run's.
        digest: What results mean by its settings.
        facts: What is kept of the run, among it what results mean but for the addresses.

    Raises:
        SettingsRefused: They do not.
    """
    known = connection.execute(select(meta.c.value).where(meta.c.key == SETTINGS_KEY)).scalar()
    if known == digest:
        return
    if known is not None and (
        _is_card_waiting(connection)
        or (
            _is_row_in(OPEN_STATES, connection)
            and not _was_nothing_sent(connection, epoch, known, facts.get(READING_DIGEST))
        )
    ):
        raise SettingsRefused(
            [
                "vault, export columns, rules or attach differ from those this unfinished migration began with"
            ],
            next_step="Finish it with the old settings (`cardferry status DIR` names what waits), or use "
            "another folder.",
        )
    put(connection, SETTINGS_KEY, digest)


def _is_row_in(states: Collection[RowState], connection: Connection) -> bool:
    # What a broken pass 1 left is thrown away anyway.
    planned = select(exports.c.id).where(exports.c.state == ExportState.PLANNED)
    found = select(rows.c.id).where(rows.c.state.in_(states), (rows.c.id // ROW_SPAN).in_(planned))
    return connection.execute(found.limit(1)).first() is not None


def _is_card_waiting(connection: Connection) -> bool:
    found = (
        select(attachments.c.row_id)
        .join(rows, rows.c.id == attachments.c.row_id)
        .where(attachments.c.state.in_(NOT_ATTACHED_YET), rows.c.state == RowState.TOKENIZED)
    )
    return connection.execute(found.limit(1)).first() is not None


def _was_nothing_sent(connection: Connection, epoch: int, known: str, reading: object) -> bool:
    """Tell whether runs with the settings of the last one sent nothing, and read rows as this one.

    Such runs found no vault where they looked for one. What they leave behind are rows that they
    planned, which this run would plan alike; what was sent before them was settled before them, or
    they would have been refused themselves.
    """
    earlier = select(runs.c.epoch, runs.c.facts).where(runs.c.epoch < epoch)
    first = epoch
    for number, facts in connection.execute(earlier.order_by(runs.c.epoch.desc())):
        told = orjson.loads(facts)
        # A run of which nobody knows the settings may have had these.
        if told.get(SETTINGS_DIGEST) not in {known, None}:
            break
        if reading is None or told.get(READING_DIGEST) != reading:
            return False
        first = number
    # Whether an attempt reached anybody is not asked: one that is noted may have.
    attempted = select(attempts.c.id).where(attempts.c.epoch >= first).limit(1)
    return connection.execute(attempted).first() is None and not _is_row_in(
        (RowState.SENT, RowState.AMBIGUOUS), connection
    )
