"""Keeps small facts of the ledger's own, each a text under a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from pipeline.ledger.schema import meta

SETTINGS_KEY: Final = "settings_digest"
"""Under this name the ledger keeps what results mean (`config.loading.meaning_digest`)."""

API_ACCOUNT: Final = "api_account"
"""The account of the secret key that the last run used."""

ATTACH_KEY: Final = "attach"
"""Under this name the ledger keeps that cards are attached: then the mapping holds no others."""

if TYPE_CHECKING:
    from sqlalchemy import Connection


def put(connection: Connection, key: str, value: str) -> None:
    """Keep a value under a key, in place of the one before."""
    changed = connection.execute(update(meta).where(meta.c.key == key).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def known(connection: Connection, key: str) -> str | None:
    """Give the value under a key, or None."""
    found = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    return None if found is None else str(found)
