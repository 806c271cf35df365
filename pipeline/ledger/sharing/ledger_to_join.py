"""Finds the one ledger of a database whose run hands rows out to carriers now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.ledger.store import store_at

if TYPE_CHECKING:
    from pipeline.ledger.ledger_url import LedgerUrl


def ledger_to_join(url: LedgerUrl) -> LedgerUrl:
    """Give the one ledger of a database whose run hands rows out to carriers.

    Raises:
        LocalStorageFailed: There is none, or the server does not answer.
        SettingsRefused: There are several, or the server does not let us in.
    """
    schemas = store_at(url).shared_schemas(url)
    if len(schemas) > 1:
        raise SettingsRefused(
            ["ledger.url: several runs hand rows out in this database"],
            next_step="Say which: `cardferry carry -o DIR`, with its ledger.json in DIR.",
        )
    if not schemas:
        raise nothing_to_join()
    return replace(url, schema=schemas[0])


def nothing_to_join() -> LocalStorageFailed:
    """Give the error of a carrier that finds no run whose rows it could carry."""
    return LocalStorageFailed(
        "no run hands out rows of this ledger now",
        next_step="Start `cardferry run EXPORT... --carriers N`; carriers join while it sends.",
    )
