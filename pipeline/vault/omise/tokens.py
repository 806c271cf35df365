"""Makes tokens at Omise: builds `POST /tokens` and sends it, one attempt a call and never a retry.

A request is bytes that mask themselves and can be wiped. The number goes from one buffer into
another and is never a `str`: strings cannot be wiped and turn up in tracebacks. Fields as OMISE.md
1.1 lists them; a security code is never among them.

Every way an attempt can end is an `Outcome`; only a cancellation passes through, and says whether
the last byte had left (`outcome_of`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, cast

import httpx
import orjson

from pipeline.cards.detect import repeats_number
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.interface import ECHOED, CustomerAnswer
from pipeline.vault.omise.answers import TOKEN_ID, classify
from pipeline.vault.omise.customer_answer import read_answer
from pipeline.vault.omise.exchange import (
    Line,
    head_fields,
    outcome_of_cancellation,
    outcome_of_failure,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from pipeline.clock import Clock
    from pipeline.vault.interface import CardRequest, SentCard

_ECHOED: Final = Outcome(OutcomeKind.MISMATCH, ECHOED)
_BEFORE_NUMBER: Final = b',"number":"'
_AFTER_NUMBER: Final = b'"}}'
_CLOSING_BRACES: Final = 2


class CardMessage(bytearray):
    """A whole HTTP request that holds a card number; it is never printed, copied or pickled."""

    __slots__ = ()

    @property
    def number(self) -> memoryview:
        """The card number's digits; they end where the body's last quote and braces begin."""
        end = len(self) - len(_AFTER_NUMBER)
        return memoryview(self)[self.rindex(b'"', 0, end) + 1 : end]

    def wipe(self) -> None:
        """Overwrite the buffer, keeping its length.

        A courtesy, not a proof: the kernel and the TLS layer had copies of their own.
        """
        self[:] = bytes(len(self))

    def __repr__(self) -> str:
        return f"<CardMessage of {len(self)} masked bytes>"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Pickling, copying and sending to another process all come through here.
        raise TypeError("a request with a card number is never copied, pickled or sent elsewhere")


def encode_card(
    fields: Mapping[str, str | int],
    number: bytes | bytearray | memoryview,
    head: bytes = b"content-length: ",
) -> CardMessage:
    """Give the request for one card.

    Args:
        fields: Everything but the number, under the vault's names: `name`, `expiration_month`,
            `expiration_year`, and what else is known. At least one.
        number: The card number's digits in ASCII.
        head: The request up to the value of `content-length`, its last field.

    Raises:
        ValueError: A field is no text or number, or the number is not all digits.
    """
    try:
        known = orjson.dumps({"card": fields})
    except TypeError:
        raise ValueError("a field of the card is neither text nor a whole number") from None
    body_bytes = (
        len(known) - _CLOSING_BRACES + len(_BEFORE_NUMBER) + len(number) + len(_AFTER_NUMBER)
    )
    message = CardMessage(head)
    message += b"%d\r\n\r\n" % body_bytes
    message += known
    del message[-_CLOSING_BRACES:]
    message += _BEFORE_NUMBER
    start = len(message)
    message += number
    if not message[start:].isdigit():
        message.wipe()
        raise ValueError("the card number is not all digits")
    message += _AFTER_NUMBER
    return message


class VaultClient:
    """Creates tokens, one attempt a call.

    Args:
        line: The way to the vault.
        url: The vault's address, for the `Host` field and the path before `/tokens`.
        public_key: The account's public key; it is kept only inside the request head.
        api_version: The `Omise-Version` to speak.
        livemode: Whether every answer must be of live mode, or none.
        clock: For a Retry-After without a date beside it.
    """

    def __init__(
        self,
        line: Line,
        *,
        url: str,
        public_key: str,
        api_version: str,
        livemode: bool,
        clock: Clock,
    ) -> None:
        self._line = line
        self._livemode = livemode
        self._now = clock.now
        self._path, self._fields = path, fields = head_fields(url, public_key, api_version)
        self._create_head = (
            b"POST " + path + b"/tokens HTTP/1.1\r\n" + fields
            + b"content-type: application/json\r\ncontent-length: "
        )  # fmt: skip

    def card_request(
        self, fields: Mapping[str, str | int], number: bytes | bytearray | memoryview
    ) -> CardMessage:
        """Give the whole `POST /tokens` for one card.

        Args:
            fields: Canonical column names to values; the Tokens API calls its fields the same.
            number: The card number's digits in ASCII.

        Raises:
            ValueError: A field or the number cannot be sent; the message holds neither.
        """
        return encode_card(fields, number, self._create_head)

    async def create_token(self, request: CardRequest, sent: SentCard) -> Outcome:
        """Send `POST /tokens` once.

        Args:
            request: From `card_request`; the caller wipes it.
            sent: What the answer is compared by.

        Returns:
            The outcome by the tables of `pipeline.vault.omise.answers` and
            `pipeline.vault.transport.failures`.

        Raises:
            asyncio.CancelledError: Marked when the last byte had not left.
        """
        message = cast("CardMessage", request)
        try:
            answer = await self._line.exchange(message)
        except httpx.TransportError as failure:
            return outcome_of_failure(failure, "vault.url")
        outcome = classify(answer, sent, livemode=self._livemode, now=self._now)
        kept = [outcome.request_id or ""]
        if outcome.token is not None:
            token = outcome.token
            kept += token.token_id, token.card_id, token.fingerprint or ""
        return _ECHOED if repeats_number(kept, message.number) else outcome

    async def show_token(self, token_id: str) -> CustomerAnswer:
        """Send `GET /tokens/{id}`.

        Raises:
            ValueError: The id is not one of the vault's.
        """
        if TOKEN_ID(token_id) is None:
            raise ValueError("not an id of the vault's")
        path = self._path + b"/tokens/" + token_id.encode("ascii")
        message = b"GET " + path + b" HTTP/1.1\r\n" + self._fields + b"\r\n"
        try:
            answer = await self._line.exchange(message)
        except httpx.TransportError as failure:
            return CustomerAnswer(outcome_of_failure(failure, "vault.url"))
        read = read_answer(answer, "token", livemode=self._livemode, now=self._now)
        if read.outcome.setting is None:
            return read
        words = f"vault.url or vault.public_key: refused with {read.outcome.evidence}"
        return read._replace(outcome=read.outcome._replace(setting=words))

    def outcome_of(self, cancelled: asyncio.CancelledError) -> Outcome:
        """Give what a cancelled attempt came to, by the transport's mark in the cancellation."""
        return outcome_of_cancellation(cancelled)
