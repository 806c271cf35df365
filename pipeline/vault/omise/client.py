"""Makes and retrieves tokens at Omise, one attempt a call and never a retry.

Every way an attempt can end is an `Outcome`; only a cancellation passes through, and says whether
the last byte had left (`outcome_of`).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, Protocol, cast

import httpx

from pipeline.cards.own_number import repeats_number
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.interface import ECHOED
from pipeline.vault.omise.answers import classify
from pipeline.vault.omise.request_body import CardMessage, encode_card
from pipeline.vault.transport.failures import CertificateRefused, proves_not_sent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from pipeline.clock import Clock
    from pipeline.vault.interface import CardRequest, SentCard
    from pipeline.vault.transport.answer_reader import Answer

_TOKEN_ID: Final = re.compile(r"tokn_(test_)?[0-9a-z]{8,64}")

_USER_AGENT: Final = b"cardferry"

_EVIDENCE: Final = {
    httpx.PoolTimeout: "no connection free in time",
    httpx.ConnectTimeout: "connect timeout",
    httpx.ConnectError: "connect failed",
    httpx.WriteError: "connection broke while sending",
    httpx.WriteTimeout: "write timeout",
    httpx.ReadTimeout: "read timeout",
    httpx.ReadError: "connection broke after sending",
    httpx.RemoteProtocolError: "no whole answer",
}


_ECHOED: Final = Outcome(OutcomeKind.MISMATCH, ECHOED)
_CERTIFICATE_REFUSED: Final = Outcome(
    OutcomeKind.FATAL,
    "certificate refused",
    setting="vault.url or vault.ca_file: the vault could not prove who it is",
)


class Line(Protocol):
    """What carries a request to the vault: `VaultTransport`, or a model of it in tests."""

    async def exchange(self, message: bytes | bytearray) -> Answer:
        """Send one whole HTTP/1.1 request once and give the answer."""
        ...


class VaultClient:
    """Creates and retrieves tokens, one attempt a call.

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
        base = httpx.URL(url)
        self._path = base.raw_path.rstrip(b"/") + b"/tokens"
        credentials = base64.b64encode(f"{public_key}:".encode())
        self._fields = b"".join(
            name + b": " + value + b"\r\n"
            for name, value in (
                (b"host", base.netloc),
                (b"authorization", b"Basic " + credentials),
                (b"user-agent", _USER_AGENT),
                (b"omise-version", api_version.encode("ascii")),
                (b"accept", b"application/json"),
                (b"accept-encoding", b"identity"),
            )
        )
        self._create_head = (
            b"POST " + self._path + b" HTTP/1.1\r\n" + self._fields
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
        outcome = await self._attempt(message, sent)
        token = outcome.token
        kept = (outcome.request_id, *(token[:2] if token else ()), token and token.fingerprint)
        return _ECHOED if repeats_number(kept, message.number) else outcome

    def outcome_of(self, cancelled: asyncio.CancelledError) -> Outcome:
        """Give what a cancelled attempt came to, by the transport's mark in the cancellation."""
        kind = OutcomeKind.NOT_SENT if proves_not_sent(cancelled) else OutcomeKind.AMBIGUOUS
        return Outcome(kind, "stopped while waiting for the answer")

    async def retrieve_token(self, token_id: str, sent: SentCard) -> Outcome:
        """Send `GET /tokens/{id}` once: does this token exist, and is it this card's?

        Nothing is made by it, so only OK, MISMATCH and FATAL mean what they say for a create;
        a used token's card is null (OMISE.md 0.5) and ends as AMBIGUOUS.

        Raises:
            ValueError: The id is not one of the vault's.
        """
        if not _TOKEN_ID.fullmatch(token_id):
            raise ValueError("not a token id")
        path = self._path + b"/" + token_id.encode("ascii")
        message = b"GET " + path + b" HTTP/1.1\r\n" + self._fields + b"\r\n"
        return await self._attempt(message, sent)

    async def _attempt(self, message: bytes | bytearray, sent: SentCard) -> Outcome:
        try:
            answer = await self._line.exchange(message)
        except httpx.TransportError as failure:
            return outcome_of_failure(failure)
        return classify(answer, sent, livemode=self._livemode, now=self._now)


def outcome_of_failure(failure: httpx.TransportError) -> Outcome:
    """Give what a transport's exception proves, in our phrase for it."""
    if isinstance(failure, CertificateRefused):
        return _CERTIFICATE_REFUSED
    kind = OutcomeKind.NOT_SENT if proves_not_sent(failure) else OutcomeKind.AMBIGUOUS
    return Outcome(kind, _EVIDENCE.get(type(failure), "request refused by our own transport"))
