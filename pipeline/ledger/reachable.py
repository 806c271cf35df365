"""Tries whether a ledger could be written to where its URL says; nothing is made there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.ledger.store import store_at

if TYPE_CHECKING:
    from pipeline.ledger.ledger_url import LedgerUrl


def require_reachable(url: LedgerUrl) -> None:
    """Make sure that it could.

    Raises:
        LocalStorageFailed: The server does not answer.
        SettingsRefused: It does not let us in, or may lose what it has acknowledged.
        VerificationFailed: The ledger that the folder names is not there.
    """
    store_at(url).open_engine(url, read_only=False, apart=False).dispose()
