"""Finds the ledgers of a database whose runs hand rows out to carriers now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL, Identifier

from pipeline.ledger.ledger_url import SCHEMA_PREFIX
from pipeline.ledger.postgres import lock
from pipeline.ledger.postgres.connection import connected
from pipeline.ledger.postgres.troubles import DATABASE_ERRORS, in_our_words

if TYPE_CHECKING:
    import psycopg

    from pipeline.ledger.ledger_url import LedgerUrl

_LEDGERS: Final = """
    SELECT nspname FROM pg_catalog.pg_namespace
    WHERE starts_with(nspname, %s) AND to_regclass(quote_ident(nspname) || '.jobs') IS NOT NULL
      AND has_schema_privilege(oid, 'USAGE')
    ORDER BY nspname
"""


def shared_schemas(url: LedgerUrl) -> list[str]:
    """Give the schemas of those ledgers; `url` names none yet.

    Raises:
        LocalStorageFailed: The server does not answer.
        SettingsRefused: It does not let us in.
    """
    with connected(url) as driver:
        try:
            found = [str(name) for (name,) in driver.execute(_LEDGERS, (SCHEMA_PREFIX,))]
            return [name for name in found if lock.is_held(driver, name) and _goes_on(driver, name)]
        except DATABASE_ERRORS as error:
            raise in_our_words(error) from None


def _goes_on(driver: psycopg.Connection[Any], schema: str) -> bool:
    job = SQL("SELECT is_over FROM {}.jobs").format(Identifier(schema))
    found = driver.execute(job).fetchone()
    return found is not None and not found[0]
