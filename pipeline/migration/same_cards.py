"""Finds the card that a customer has already, by the vault's fingerprint and the expiration."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pipeline.ledger.ledger import Ledger
    from pipeline.migration.card_to_attach import CardToAttach

_RECENT: Final = 10_000
"""So many cards are remembered at least: more than could wait for a commit."""


class SameCards:
    """Knows which cards are on customers.

    Args:
        ledger: The open ledger of the run.
        thread: The ledger's thread.
    """

    def __init__(self, ledger: Ledger, thread: Executor) -> None:
        self._ledger = ledger
        self._thread = thread
        self._recent: OrderedDict[tuple[object, ...], str] = OrderedDict()

    async def find(self, card: CardToAttach, fingerprint: str | None) -> str | None:
        """Give the card on this customer that is the same, or None.

        Args:
            card: A card that is to be put there.
            fingerprint: The vault's fingerprint of it; None to look it up.
        """
        loop = asyncio.get_running_loop()
        if fingerprint is None:
            fingerprint = await loop.run_in_executor(self._thread, self._fingerprint, card.row_id)
        if fingerprint is None:
            return None
        known = self._recent.get(_key(card, fingerprint))
        if known is None:
            known = await loop.run_in_executor(
                self._thread, self._same, card.row_id, card.customer.id, fingerprint
            )
        if known is None:
            card.fingerprint = fingerprint
        return known

    def attached(self, card: CardToAttach) -> None:
        """Take in that a card is on its customer now."""
        if card.fingerprint is not None:
            self._recent[_key(card, card.fingerprint)] = card.card_id
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)

    def _fingerprint(self, row: int) -> str | None:
        with self._ledger.look() as look:
            return look.fingerprint_of(row)

    def _same(self, row: int, customer: int, fingerprint: str) -> str | None:
        with self._ledger.look() as look:
            return look.same_card_on(row, customer, fingerprint)


def _key(card: CardToAttach, fingerprint: str) -> tuple[object, ...]:
    return (card.customer.id, fingerprint, card.sent.expiration_month, card.sent.expiration_year)
