"""Reads customers and cards of the API host: what is there, and whether our card is among it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.config.attach import MARK
from pipeline.failure_codes import Code
from pipeline.ledger.records import CustomerFound, CustomerState
from pipeline.migration.attach_transitions import Sight
from pipeline.migration.card_to_attach import sight_of, sight_on
from pipeline.migration.vault_reader import VaultReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.clock import Clock
    from pipeline.ledger.records import CustomerRecord
    from pipeline.migration.card_to_attach import CardToAttach
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.interface import Customer, CustomerVault


RECENT: Final = 10_000
"""So many customers are kept in memory with whose they are."""

CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""The host of tokens and that of customers may be so far apart in what second it is."""


class CustomerReader(VaultReader):
    """Asks the API host what there is, as often as it takes to learn it.

    Args:
        vault: The API host; one request a call.
        flow_control: Decides when each request may be sent to it.
        clock: For waits and latencies.
        attempts_max: So many counted requests learn nothing before it is given up.
        mark: Our mark in the metadata of a customer that we make.
    """

    def __init__(
        self,
        vault: CustomerVault,
        flow_control: FlowControl,
        clock: Clock,
        attempts_max: int,
        mark: Callable[[CustomerRecord], str],
    ) -> None:
        super().__init__(flow_control, clock, attempts_max)
        self._vault = vault
        self._mark = mark
        self._owners: dict[str, int] = {}

    async def look_up_given(self, customer: CustomerRecord, given_id: str) -> CustomerFound | None:
        """Read a given customer: `given`, or `refused` when it is unknown or deleted.

        Returns:
            None when the vault told us nothing.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        answer = await self.read(customer.id, lambda: self._vault.customer(given_id))
        if answer is None:
            return None
        shown = answer.customer
        if shown is None or shown.is_deleted:
            return CustomerFound(customer.id, CustomerState.REFUSED, code=Code.CUSTOMER_UNKNOWN)
        return found(customer.id, CustomerState.GIVEN, shown)

    def sight(self, customer: Customer, card: CardToAttach) -> Sight:
        """See our card, on a customer that belongs to nobody else whose card was just seen.

        Of those seen long ago the ledger knows whose they are, and takes none for another.
        """
        owner = self._owners.setdefault(customer.customer_id, card.customer.id)
        if len(self._owners) > RECENT:
            del self._owners[next(iter(self._owners))]
        return Sight.OTHER if owner != card.customer.id else sight_on(customer, card)

    async def locate(
        self, card: CardToAttach, shown: Customer | None
    ) -> tuple[Sight, Customer | None] | None:
        """Look for our card's id: on its customer, or through all that were made since its token.

        Args:
            card: Our card.
            shown: Its customer, where an answer has just shown it, with too few of its cards.

        Returns:
            What was seen, with the customer that has the card where it was found; None when the
            vault told us nothing.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        customer_id = card.customer.customer_id
        if customer_id is None:
            return await self._locate_customer(card)
        answer = await self.read(card.row_id, lambda: self._vault.card(customer_id, card.card_id))
        if answer is None:
            return None
        if answer.card is None or answer.card.is_deleted:
            return Sight.MISSING, None
        if shown is not None:
            return sight_of(answer.card, card), shown
        # Only the customer tells which of its cards is the default.
        whose = await self.read(card.row_id, lambda: self._vault.customer(customer_id))
        return None if whose is None else (sight_of(answer.card, card), whose.customer)

    async def _locate_customer(self, card: CardToAttach) -> tuple[Sight, Customer | None] | None:
        """Look through the customers made since the token was, by the vault's clock."""
        offset, total = 0, 0
        since = card.token_created_at - CLOCKS_DIFFER
        while True:
            call = partial(self._vault.customers, since, offset=offset)
            page = await self.read(card.row_id, call)
            if page is None:
                return None
            for customer in page.customers:
                if any(shown.card_id == card.card_id for shown in customer.cards):
                    is_marked = customer.metadata.get(MARK) == self._mark(card.customer)
                    return (self.sight(customer, card) if is_marked else Sight.ELSEWHERE), customer
            # A customer that was deleted meanwhile moves the others one place forward.
            offset = 0 if page.total < total else offset + len(page.customers)
            total = page.total
            if not page.customers or offset >= total:
                return Sight.MISSING, None


def found(customer: int, state: CustomerState, shown: Customer) -> CustomerFound:
    """Give what the ledger keeps of a customer that the vault showed."""
    return CustomerFound(
        id=customer,
        state=state,
        customer_id=shown.customer_id,
        livemode=shown.livemode,
        created_s=int(shown.created_at.timestamp()),
    )
