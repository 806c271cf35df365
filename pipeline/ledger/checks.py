"""Checks that a database is a ledger that this program understands and may go on with."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import insert, inspect, select, update

from pipeline import hashing
from pipeline.errors import SettingsRefused, VerificationFailed
from pipeline.ledger.digests import table_digests
from pipeline.ledger.publications import account
from pipeline.ledger.records import ROW_SPAN, ExportState
from pipeline.ledger.schema import (
    SCHEMA_VERSION,
    events,
    exports,
    meta,
    metadata,
    rows,
    sqlite_triggers,
    tokens,
)
from pipeline.model import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

UPGRADES: Final[Mapping[int, Sequence[str]]] = {}
"""For each older version the statements that lead to the next one; there is none older yet."""

_MANIFEST: Final = "manifest.json"
_PUBLISHED: Final = ("mapping.parquet", _MANIFEST, "trail.jsonl")
"""Outputs that only a ledger can have written."""


def create_if_empty(connection: Connection, path: Path | None) -> None:
    """Make the tables and rules of a new ledger, unless tables are there already.

    Raises:
        VerificationFailed: The ledger is gone while the files made from it are there.
    """
    if inspect(connection).get_table_names():
        return
    if path is not None and any((path.parent / name).exists() for name in _PUBLISHED):
        raise VerificationFailed(
            "this folder holds a migration's outputs, but its ledger is gone or empty",
            next_step="Restore the ledger from a backup; a new one would send every card again.",
        )
    metadata.create_all(connection)
    for statement in sqlite_triggers():
        connection.exec_driver_sql(statement)
    put(connection, "schema_version", str(SCHEMA_VERSION))


def bring_up_to_date(
    connection: Connection,
    upgrades: Mapping[int, Sequence[str]] = UPGRADES,
    newest: int = SCHEMA_VERSION,
) -> None:
    """Change an older ledger's tables into those of this program, all at once or not at all.

    Args:
        connection: In a transaction of its own.
        upgrades: For each version the statements that lead to the next one.
        newest: The version to reach.

    Raises:
        VerificationFailed: It is no ledger of ours, or one that nothing leads on from.
    """
    version = _version(connection)
    if version >= newest:
        return
    for step in range(version, newest):
        if step not in upgrades:
            raise VerificationFailed(
                "the ledger was written by a Cardferry that is too old",
                next_step="Finish the migration with that version.",
            )
        for statement in upgrades[step]:
            connection.exec_driver_sql(statement)
    put(connection, "schema_version", str(newest))


def require_newest(connection: Connection, folder: Path) -> None:
    """Make sure that a ledger is not older than the outputs beside it.

    Raises:
        VerificationFailed: The manifest names an event that this ledger does not have.
    """
    try:
        named = orjson.loads((folder / _MANIFEST).read_bytes())["chain"]
        length, head = min(int(named["length"]), ROW_SPAN), named["head"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        # None yet, or one that was damaged: `cardferry verify` tells, the ledger is no worse.
        return
    if connection.execute(select(events.c.hash).where(events.c.seq == length)).scalar() != head:
        raise VerificationFailed(
            "the ledger is older than the files beside it, or another migration's",
            next_step="Put the newest ledger back; with this one cards would be sent again.",
        )


def require_untouched(connection: Connection, folder: Path) -> None:
    """Make sure that nobody changed a ledger since its outputs were published.

    A run that went on from such a ledger would publish the change as its own.

    Raises:
        VerificationFailed: A table no longer holds what the manifest says.
    """
    latest = account(connection).latest
    with suppress(OSError):
        manifest = (folder / _MANIFEST).read_bytes()
        if latest is None or hashlib.sha256(manifest).hexdigest() != latest.manifest:
            return
        if orjson.loads(manifest)["ledger"] != table_digests(connection):
            raise VerificationFailed(
                "the ledger was changed by another program since its outputs were published",
                next_step="Keep the folder as it is; `cardferry verify DIR` names the place.",
            )


def require_known_version(connection: Connection) -> None:
    """Make sure that a ledger has the tables of this program.

    Raises:
        VerificationFailed: It is no ledger of ours, or another version's.
    """
    version = _version(connection)
    if version < SCHEMA_VERSION:
        raise VerificationFailed(
            "the ledger was written by an older Cardferry",
            next_step="The next `cardferry run` or `retry` in this folder brings it up to date.",
        )
    if version > SCHEMA_VERSION:
        raise VerificationFailed(
            "the ledger was written by a newer Cardferry",
            next_step="Install that version, or a later one.",
        )


def _version(connection: Connection) -> int:
    tables = inspect(connection).get_table_names()
    if not tables:
        raise VerificationFailed(
            "no run has come as far as beginning a ledger in this folder",
            next_step="Begin it with `cardferry run EXPORT... -o DIR`.",
        )
    if "meta" not in tables:
        raise VerificationFailed(
            "this is not a Cardferry ledger",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    written = connection.execute(
        select(meta.c.value).where(meta.c.key == "schema_version")
    ).scalar_one_or_none()
    if written is None or not written.isdecimal():
        raise VerificationFailed(
            "the ledger does not say which version wrote it",
            next_step="Keep the folder as it is; restore the ledger from a backup.",
        )
    return int(written)


def require_same_mode(connection: Connection, *, livemode: bool) -> None:
    """Make sure that every token of a ledger is of the mode that is to be used now.

    A rehearsal's cards would else count as moved already, and their test tokens as live ones.

    Raises:
        SettingsRefused: There are tokens of the other mode.
    """
    other = select(tokens.c.row_id).where(tokens.c.livemode != int(livemode)).limit(1)
    if connection.execute(other).first() is not None:
        raise SettingsRefused(
            ["vault.mode: this folder holds tokens of the other mode"],
            next_step="Use another folder; a migration has one mode from its first token on.",
        )


def put(connection: Connection, key: str, value: str) -> None:
    """Keep a value under a key of the ledger's own table of facts."""
    changed = connection.execute(update(meta).where(meta.c.key == key).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def require_same_meaning(connection: Connection, digest: str) -> None:
    """Make sure that an unfinished ledger goes on with settings that mean the same.

    Raises:
        SettingsRefused: They do not.
    """
    known = connection.execute(select(meta.c.value).where(meta.c.key == "settings_digest")).scalar()
    if known == digest:
        return
    # What a broken pass 1 left is thrown away anyway.
    unfinished = connection.execute(
        select(rows.c.id)
        .where(
            rows.c.state.in_(OPEN_STATES),
            (rows.c.id // ROW_SPAN).in_(
                select(exports.c.id).where(exports.c.state == ExportState.PLANNED)
            ),
        )
        .limit(1)
    ).first()
    if known is not None and unfinished:
        raise SettingsRefused(
            [
                "vault, export columns or rules differ from those this unfinished migration began with"
            ],
            next_step="Finish it with the old settings, or use another folder.",
        )
    put(connection, "settings_digest", digest)


def follow_trail(connection: Connection) -> tuple[str, int]:
    """Check the chain of events from its start; give its last hash and how many there are.

    Raises:
        VerificationFailed: An event was changed, taken out or put in.
    """
    head, count = hashing.GENESIS, 0
    for seq, body, written in connection.execute(
        select(events.c.seq, events.c.body, events.c.hash).order_by(events.c.seq)
    ):
        count += 1
        head = hashing.link_bytes(head, body.encode())
        if seq != count or written != head:
            raise VerificationFailed(
                f"the ledger's trail of events was changed at event {count}",
                next_step="Keep the folder as it is and ask who touched it.",
            )
    return head, count
