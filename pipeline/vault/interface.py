"""Says what a vault is to the rest of the pipeline, whichever vault it is.

`migration/` and `vault/flow/` know only this module; what is one vault's own (its codes, key
prefixes, headers, field names, and what proves its other mode) stays in that vault's folder.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from datetime import datetime

    from pipeline.model import Outcome

ECHOED: Final = "the answer repeats the card number"
"""The evidence of a MISMATCH whose answer held the row's own number in a field that we keep."""


class SentCard(NamedTuple):
    """What an answer can be compared by: last four digits, month 1 to 12, year in four digits."""

    last_digits: str
    expiration_month: int
    expiration_year: int


class CardRequest(Protocol):
    """A request that holds a card number; it is never printed and can be wiped."""

    def wipe(self) -> None:
        """Overwrite the request, number and all."""
        ...


class Vault(Protocol):
    """Makes a token of a card, one attempt a call and never a second by itself."""

    def card_request(
        self, fields: Mapping[str, str | int], number: bytes | bytearray | memoryview
    ) -> CardRequest:
        """Build the request that makes a token.

        Args:
            fields: Canonical column names (`name`, `expiration_month`, `country`, ...) to values.
            number: The card number's digits in ASCII.

        Raises:
            ValueError: A field or the number cannot be sent; the message holds neither.
        """
        ...

    async def create_token(self, request: CardRequest, sent: SentCard) -> Outcome:
        """Send the request once and say what its answer comes to.

        Raises:
            asyncio.CancelledError: Nobody waits any more; see `outcome_of`.
            LocalStorageFailed: This machine could not open a connection; nothing was sent.
        """
        ...

    async def show_token(self, token_id: str) -> CustomerAnswer:
        """Show a token; nothing is changed by it."""
        ...

    def outcome_of(self, cancelled: asyncio.CancelledError) -> Outcome:
        """Give what a cancelled `create_token` came to: not sent, or in doubt."""
        ...


class RefusalCause(StrEnum):
    """What a refusal of the API host says beyond its class; both have the kind REJECTED."""

    NOT_FOUND = "not_found"
    USED = "used"


class CustomerCard(NamedTuple):
    """A card on a customer, as the vault shows it."""

    card_id: str
    brand: str
    last_digits: str
    expiration_month: int
    expiration_year: int
    fingerprint: str | None
    livemode: bool
    is_deleted: bool


class Customer(NamedTuple):
    """A customer as the vault shows it; `cards` may be cut, `cards_total` says how many there are."""

    customer_id: str
    livemode: bool
    is_deleted: bool
    default_card: str | None
    cards: tuple[CustomerCard, ...]
    cards_total: int
    metadata: Mapping[str, Any]
    created_at: datetime


class Account(NamedTuple):
    """Which account the secret key opens, and what it is set to."""

    account_id: str
    livemode: bool
    webhook_url: str | None


class ShownToken(NamedTuple):
    """A token as the vault shows it; the card of one that was used may be hidden."""

    is_used: bool
    card: CustomerCard | None


class CustomerAnswer(NamedTuple):
    """What one request to the API host came to.

    Attributes:
        outcome: Its class, evidence, code and waits; for `FlowControl.report` and `Backoff.wait`.
        cause: What a refusal says beyond its class.
        customer: The customer that the answer shows.
        card: The card that it shows.
        customers: The page of a list.
        total: How many the whole list holds.
        account: The account that it shows.
        token: The token that it shows.
    """

    outcome: Outcome
    cause: RefusalCause | None = None
    customer: Customer | None = None
    card: CustomerCard | None = None
    customers: tuple[Customer, ...] = ()
    total: int = 0
    account: Account | None = None
    token: ShownToken | None = None


class CustomerVault(Protocol):
    """Keeps cards on customers, one attempt a call and never a second by itself.

    An AMBIGUOUS outcome of a call that changes something leaves open whether it did; of one that
    only reads it means that nothing was learnt.
    """

    async def account(self) -> CustomerAnswer:
        """Show the account that the key belongs to."""
        ...

    async def make_customer(self, token_id: str, fields: Mapping[str, Any]) -> CustomerAnswer:
        """Make a customer with a token's card; `fields`: `email`, `description`, `metadata`."""
        ...

    async def add_card(self, customer_id: str, token_id: str) -> CustomerAnswer:
        """Put a token's card on a customer; nothing else of the customer is written."""
        ...

    async def set_default_card(self, customer_id: str, card_id: str) -> CustomerAnswer:
        """Make a customer's card the default one."""
        ...

    async def delete_card(self, customer_id: str, card_id: str) -> CustomerAnswer:
        """Delete a card of a customer."""
        ...

    async def customer(self, customer_id: str) -> CustomerAnswer:
        """Show a customer."""
        ...

    async def card(self, customer_id: str, card_id: str) -> CustomerAnswer:
        """Show a card of a customer."""
        ...

    async def customers(
        self, since: datetime, *, offset: int = 0, limit: int = 100, newest_first: bool = False
    ) -> CustomerAnswer:
        """Show a page of the list of customers, with their cards.

        Args:
            since: Only customers made from this second on.
            offset: How many of them to pass over.
            limit: At most so many.
            newest_first: Whether the list begins at its end.
        """
        ...

    def outcome_of(self, cancelled: asyncio.CancelledError) -> Outcome:
        """Give what a cancelled call came to: not sent, or in doubt."""
        ...
