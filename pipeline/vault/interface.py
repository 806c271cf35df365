"""Says what a vault is to the rest of the pipeline, whichever vault it is.

`migration/` and `vault/flow/` know only this module; what is one vault's own (its codes, key
prefixes, headers, field names, and what proves its other mode) stays in that vault's folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from pipeline.model import Outcome

ECHOED: Final = "the answer repeats the card number"
"""The evidence of a MISMATCH whose answer held the row's own number in a field that we keep."""


class SentCard(NamedTuple):
    """What an answer can be compared by: last four digits, month 1 to 12, year in four digits."""

    last_digits: str
    expiration_month: int
    expiration_year: int


class CardRequest(Protocol):
    """A request that holds a card number; it shows itself to nobody and can be wiped."""

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

    def outcome_of(self, cancelled: asyncio.CancelledError) -> Outcome:
        """Give what a cancelled `create_token` came to: not sent, or in doubt."""
        ...
