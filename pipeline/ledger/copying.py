"""Copies a ledger, wherever it is, into one SQLite file, and proves that the copy says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sqlalchemy import select

from pipeline.errors import VerificationFailed
from pipeline.ledger.chain import follow_trail
from pipeline.ledger.digests import DIGESTED, table_digests
from pipeline.ledger.ledger_url import LedgerUrl
from pipeline.ledger.schema import events
from pipeline.ledger.sections import versions
from pipeline.ledger.store import store_at
from pipeline.ledger.upgrades import require_own_schema

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from pipeline.ledger.ledger import Ledger

_TABLES: Final = (*DIGESTED, events, versions)


def copy_into_file(ledger: Ledger, path: Path) -> str:
    """Write a state of a ledger into a new SQLite file.

    Args:
        ledger: The ledger, open for looking.
        path: The file; it must not be there. What it holds is on the disk at the end.

    Returns:
        The hash of the chain's last event.

    Raises:
        LocalStorageFailed: The disk refused, or the ledger's server does not answer.
        VerificationFailed: The ledger's chain is broken, or the copy does not say the same.
    """
    place = LedgerUrl(f"sqlite://{quote(str(path.absolute()))}")
    store = store_at(place)
    with ledger.reading() as source, store.trouble():
        chain = follow_trail(source)
        engine = store.open_engine(place, read_only=False, apart=False)
        try:
            with engine.begin() as target:
                store.create_tables(target)
                for table in _TABLES:
                    names = [column.name for column in table.columns]
                    rows = select(table).order_by(*table.primary_key)
                    for block in ledger.store.selected(source, rows):
                        store.fill(target, table, names, list(zip(*block, strict=True)))
            with engine.connect() as target:
                require_own_schema(target)
                _require_same(source, target)
        finally:
            engine.dispose()
    return chain.head


def _require_same(source: Connection, target: Connection) -> None:
    said, copied = (
        (table_digests(connection, kept=False), follow_trail(connection))
        for connection in (source, target)
    )
    if said != copied:
        raise VerificationFailed(
            "the copy does not say what the ledger says",
            next_step="Run it again; if that does not help, run `cardferry verify DIR`.",
        )
