"""Brings an older ledger's tables up to this version's, all steps at once or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect

from pipeline.counts import agreeing, counted
from pipeline.errors import VerificationFailed
from pipeline.ledger.key_values import known, put
from pipeline.ledger.schema import SCHEMA_VERSION
from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

UPGRADES: Final[Mapping[int, Sequence[str]]] = {}
"""For each older version the statements that lead to the next one; there is none older yet.

A step may add tables, columns at the end of a table, states and steps between them; the rules are
made anew after the last one. It must end in the schema that a new ledger has, word by word.
"""

VERSION_KEY: Final = "schema_version"
_OLDEST: Final = 2


def bring_up_to_date(
    connection: Connection,
    upgrades: Mapping[int, Sequence[str]] = UPGRADES,
    newest: int = SCHEMA_VERSION,
) -> tuple[int, int] | None:
    """Change an older ledger's tables into those of this program.

    Args:
        connection: In a transaction of its own.
        upgrades: For each version the statements that lead to the next one.
        newest: The version to reach.

    Returns:
        The version before and after, or None where there was nothing to do.

    Raises:
        VerificationFailed: It is no ledger of ours, or one that nothing leads on from.
    """
    version = _version(connection)
    if version >= newest:
        return None
    for step in range(version, newest):
        if step not in upgrades:
            raise _too_old(version)
        for statement in upgrades[step]:
            connection.exec_driver_sql(statement)
    store_of(connection).create_rules(connection)
    put(connection, VERSION_KEY, str(newest))
    return version, newest


def require_own_schema(connection: Connection) -> None:
    """Make sure that a ledger has this program's tables and rules, no other and no more.

    A rule that somebody added could change rows behind every later write, under our signature.

    Raises:
        VerificationFailed: It is no ledger of ours, another version's, or one with other rules.
    """
    version = _version(connection)
    if version < _OLDEST:
        raise _too_old(version)
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
    store = store_of(connection)
    different = sorted(store.own_parts(connection) ^ store.parts_of(connection))
    if different:
        raise VerificationFailed(
            f"the ledger's tables and rules are not those of this build of Cardferry "
            f"({counted(len(different), 'part')} {agreeing(len(different), 'differs', 'differ')}): "
            "another build made it, or somebody changed it by hand",
            next_step="If another build made it, go on with that one, or begin a new folder. If "
            "not, keep the folder as it is and ask who changed it.",
        )


def _too_old(version: int) -> VerificationFailed:
    if version < _OLDEST:
        return VerificationFailed(
            f"the ledger has tables of version {version}, which no released Cardferry wrote",
            next_step="Begin a new folder with `cardferry run EXPORT... -c CONFIG -o` and its name; "
            "finish this one with the program that began it.",
        )
    return VerificationFailed(
        "the ledger was written by a Cardferry that is too old",
        next_step="Finish the migration with that version.",
    )


def _version(connection: Connection) -> int:
    tables = inspect(connection).get_table_names()
    if not tables:
        raise VerificationFailed(
            "no run has come as far as beginning a ledger in this folder",
            next_step="Begin it with `cardferry run EXPORT... -c CONFIG -o DIR`.",
        )
    if "meta" not in tables:
        raise VerificationFailed(
            "this is not a Cardferry ledger",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    written = known(connection, VERSION_KEY)
    if written is None or not written.isdecimal():
        raise VerificationFailed(
            "the ledger does not say which version wrote it",
            next_step="Keep the folder as it is; restore the ledger from a backup.",
        )
    return int(written)
