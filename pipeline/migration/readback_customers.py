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
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from pipeline.ledger.readback_questions import HeldCard
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.migration.readback_progress import ReadbackProgress
    from pipeline.vault.interface import Customer, CustomerAnswer, CustomerCard, CustomerVault

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

    async def card(self, card: HeldCard) -> Checked:
        """Read one card back."""
        answer = await self._card(card)
        return compare_card(card, answer.card, None, knows_default=False)

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
        cut_off = await self._cut_off([c for c in shown if c.customer_id in known], held)
        rows: list[Checked] = []
        for customer in shown:
            ours = held.get(customer.customer_id, [])
            one = known.get(customer.customer_id)
            if one is not None:
                rows += self._customer(customer, ours, cut_off, is_given=one.is_given)
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
        there = [
            None if answer.customer is None or answer.customer.is_deleted else answer.customer
            for answer in answers
        ]
        cut_off = await self._cut_off([customer for customer in there if customer], held)
        rows: list[Checked] = []
        for one, customer in zip(waiting, there, strict=True):
            ours = held.get(one.customer_id, [])
            if customer is None:
                rows += [checked(card, ReadbackFinding.MISSING) for card in ours]
            else:
                rows += self._customer(customer, ours, cut_off, is_given=one.is_given)
        if waiting:
            self._progress.step(self._progress.offset, [one.number for one in waiting], rows)

    async def _cut_off(
        self, customers: Sequence[Customer], held: Mapping[str, Sequence[HeldCard]]
    ) -> dict[str, CustomerCard | None]:
        """Read the cards that the lists of their customers leave out, side by side; give them by id."""
        cards = [
            card
            for customer in customers
            if customer.cards_total > len(customer.cards)
            for card in _not_shown(customer, held.get(customer.customer_id, ()))
        ]
        found: dict[str, CustomerCard | None] = {}
        for start in range(0, len(cards), self._at_once):
            some = cards[start : start + self._at_once]
            answers = await asyncio.gather(*map(self._card, some))
            found |= {card.card_id: answer.card for card, answer in zip(some, answers, strict=True)}
        return found

    async def _card(self, card: HeldCard) -> CustomerAnswer:
        return await self._ask(partial(self._vault.card, card.customer_id or "", card.card_id))

    def _customer(
        self,
        customer: Customer,
        ours: Sequence[HeldCard],
        cut_off: Mapping[str, CustomerCard | None],
        *,
        is_given: bool,
    ) -> list[Checked]:
        """Compare a customer's cards, and name those of a customer of ours that are not ours."""
        shown = {card.card_id: card for card in customer.cards}
        rows = []
        for card in ours:
            is_read = card.card_id in cut_off
            known = cut_off[card.card_id] if is_read else shown.get(card.card_id)
            # A given customer's default is not ours, unless the card was made it.
            knows = is_read or card.is_default or not card.is_given
            rows.append(compare_card(card, known, customer.default_card, knows_default=knows))
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


def _not_shown(customer: Customer, ours: Sequence[HeldCard]) -> list[HeldCard]:
    shown = {card.card_id for card in customer.cards}
    return [card for card in ours if card.card_id not in shown]
