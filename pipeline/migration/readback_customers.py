"""Reads customers back with their cards: through lists, and one by one where no list shows them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pipeline.config.attach import MARK
from pipeline.ledger.readback_questions import HeldCustomer
from pipeline.migration.readback_findings import (
    Checked,
    ReadbackFinding,
    checked,
    compare_card,
    stranger,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from pipeline.ledger.readback_questions import HeldCard
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.migration.readback_progress import ReadbackProgress
    from pipeline.vault.interface import Customer, CustomerAnswer, CustomerVault

    Ask = Callable[[Callable[[], Awaitable[CustomerAnswer]]], Awaitable[CustomerAnswer]]


class CustomersReadBack:
    """Compares every customer that cards of ours are on.

    Args:
        look: A look at the ledger.
        vault: The API host; one request a call.
        ask: Asks it, as often as it takes.
        progress: Where each step is kept.
        at_once: So many customers are asked for side by side.
    """

    def __init__(
        self,
        look: Snapshot,
        vault: CustomerVault,
        ask: Ask,
        progress: ReadbackProgress,
        at_once: int,
    ) -> None:
        self._look = look
        self._vault = vault
        self._ask = ask
        self._progress = progress
        self._at_once = at_once
        self._origin = look.first_run_id() or ""

    async def read_all(self) -> None:
        """Read every customer back.

        Raises:
            VaultUnavailable: The vault did not answer; what was read is kept.
        """
        await self._listed()
        await self._others()

    async def card(
        self, card: HeldCard, default_card: str | None = None, *, knows_default: bool = False
    ) -> Checked:
        """Read one card back."""
        answer = await self._ask(partial(self._vault.card, card.customer_id or "", card.card_id))
        return compare_card(card, answer.card, default_card, knows_default=knows_default)

    async def _listed(self) -> None:
        """Go through the list of customers from the first that we made on, with their cards."""
        since = min(
            (made.created_s for made in self._held() if not made.is_given and made.created_s),
            default=None,
        )
        if since is None:
            return
        moment = datetime.fromtimestamp(since, UTC)
        while True:
            offset = self._progress.offset
            page = await self._ask(partial(self._vault.customers, moment, offset=offset))
            await self._page(page.customers)
            if not page.customers or self._progress.offset >= page.total:
                return

    async def _page(self, shown: Sequence[Customer]) -> None:
        idents = [customer.customer_id for customer in shown]
        known = self._look.customers_by_id(idents)
        held = self._look.cards_on(idents)
        rows: list[Checked] = []
        for customer in shown:
            ours = held.get(customer.customer_id, [])
            one = known.get(customer.customer_id)
            if one is not None:
                rows += await self._customer(customer, ours, is_given=one.is_given)
            elif self._is_marked(customer):
                cards = [card.card_id for card in customer.cards]
                rows += [stranger(customer.customer_id, card) for card in cards or (None,)]
        numbers = [one.number for one in known.values()]
        self._progress.step(self._progress.offset + len(shown), numbers, rows)

    async def _others(self) -> None:
        """Read each customer that no list showed: given ones, and those that are gone."""
        waiting: list[HeldCustomer] = []
        for customer in self._held():
            if customer.number not in self._progress.seen:
                waiting.append(customer)
            if len(waiting) >= self._at_once:
                await self._one_by_one(waiting)
                waiting = []
        await self._one_by_one(waiting)

    async def _one_by_one(self, waiting: Sequence[HeldCustomer]) -> None:
        held = self._look.cards_on([one.customer_id for one in waiting])
        answers = await asyncio.gather(
            *(self._ask(partial(self._vault.customer, one.customer_id)) for one in waiting)
        )
        rows: list[Checked] = []
        for one, answer in zip(waiting, answers, strict=True):
            ours = held.get(one.customer_id, [])
            if answer.customer is None or answer.customer.is_deleted:
                rows += [checked(card, ReadbackFinding.MISSING) for card in ours]
            else:
                rows += await self._customer(answer.customer, ours, is_given=one.is_given)
        if waiting:
            self._progress.step(self._progress.offset, [one.number for one in waiting], rows)

    async def _customer(
        self, customer: Customer, ours: Sequence[HeldCard], *, is_given: bool
    ) -> list[Checked]:
        """Compare a customer's cards, and name those of a customer of ours that are not ours."""
        shown = {card.card_id: card for card in customer.cards}
        is_cut, default = customer.cards_total > len(shown), customer.default_card
        rows = []
        for card in ours:
            if is_cut and card.card_id not in shown:
                rows.append(await self.card(card, default, knows_default=True))
            else:
                known = shown.get(card.card_id)
                # A given customer's default is not ours, unless the card was made it.
                knows = card.is_default or not card.is_given
                rows.append(compare_card(card, known, default, knows_default=knows))
        if not is_given:
            others = sorted(shown.keys() - {card.card_id for card in ours})
            owners = self._look.owners_of_cards(others)
            rows += [stranger(customer.customer_id, card, owners.get(card)) for card in others]
        return rows

    def _held(self) -> Iterator[HeldCustomer]:
        for block in self._look.held_customers():
            yield from (HeldCustomer(n, ident, bool(given), s) for n, ident, given, s in block)

    def _is_marked(self, customer: Customer) -> bool:
        mark = customer.metadata.get(MARK)
        return isinstance(mark, str) and mark.startswith(f"{self._origin}/")
