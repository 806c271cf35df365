"""The Tokens API: a card's body in, the outcome of one attempt out; never a retry.

Every way an attempt can end is an `Outcome`; only a cancellation passes through, and says whether
the last byte had left (`pipeline.vault.transport.failures.proves_not_sent`).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, Protocol

import httpx

from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.omise.answers import classify, request_id_of
from pipeline.vault.omise.request_body import CardBody, wipe
from pipeline.vault.omise.token_answer import SentCard
from pipeline.vault.transport.failures import CertificateRefused, proves_not_sent

if TYPE_CHECKING:
    from pipeline.clock import Clock
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
        clock: For latencies and for a Retry-After without a date.
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
        self._monotonic = clock.monotonic
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

    async def create_token(
        self,
        body: bytes | bytearray,
        *,
        last_digits: str,
        expiration_month: int,
        expiration_year: int,
    ) -> Outcome:
        """Send `POST /tokens` once.

        Args:
            body: JSON from `pipeline.vault.omise.request_body.encode_card`; the caller wipes it.
            last_digits: The last four digits of the number in it.
            expiration_month: The month in it, 1 to 12.
            expiration_year: The year in it, four digits.

        Returns:
            The outcome by the tables of `pipeline.vault.omise.answers` and `pipeline.vault.transport.failures`.

        Raises:
            asyncio.CancelledError: Marked when the last byte had not left.
        """
        message = CardBody(self._create_head)
        message += b"%d\r\n\r\n" % len(body)
        message += body
        sent = SentCard(last_digits, expiration_month, expiration_year)
        try:
            return await self._attempt(message, sent)
        finally:
            wipe(message)

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
        started = self._monotonic()
        try:
            answer = await self._line.exchange(message)
        except httpx.TransportError as failure:
            kind, evidence = kind_of_failure(failure)
            return Outcome(kind, evidence, latency_s=self._monotonic() - started)
        kind, evidence, token, code, wait = classify(
            answer, sent, livemode=self._livemode, now=self._now
        )
        latency = self._monotonic() - started
        return Outcome(kind, evidence, token, code, request_id_of(answer), wait, latency)


def kind_of_failure(failure: httpx.TransportError) -> tuple[OutcomeKind, str]:
    """Give what a transport's exception proves, and our phrase for it."""
    if isinstance(failure, CertificateRefused):
        return OutcomeKind.FATAL, "certificate refused"
    kind = OutcomeKind.NOT_SENT if proves_not_sent(failure) else OutcomeKind.AMBIGUOUS
    return kind, _EVIDENCE.get(type(failure), "request refused by our own transport")
