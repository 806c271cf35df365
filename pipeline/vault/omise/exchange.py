"""Holds what requests to both hosts of Omise share: the head's fields, and what a failed request proves."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, Protocol

import httpx

from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.transport.failures import CertificateRefused, proves_not_sent

if TYPE_CHECKING:
    import asyncio

    from pipeline.vault.transport.answer_reader import Answer

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


def head_fields(url: str, key: str, api_version: str) -> tuple[bytes, bytes]:
    """Give the path of a base URL without its last slash, and the fields of each request's head.

    Args:
        url: The host's address.
        key: The public or secret key; the user name of Basic authentication.
        api_version: The `Omise-Version` to speak.
    """
    base = httpx.URL(url)
    credentials = base64.b64encode(f"{key}:".encode())
    fields = (
        (b"host", base.netloc),
        (b"authorization", b"Basic " + credentials),
        (b"user-agent", _USER_AGENT),
        (b"omise-version", api_version.encode("ascii")),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
    )
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    return base.raw_path.rstrip(b"/"), lines


def outcome_of_cancellation(cancelled: asyncio.CancelledError) -> Outcome:
    """Give what a cancelled attempt came to, by the transport's mark in the cancellation."""
    kind = OutcomeKind.NOT_SENT if proves_not_sent(cancelled) else OutcomeKind.AMBIGUOUS
    return Outcome(kind, "stopped while waiting for the answer")


def outcome_of_failure(failure: httpx.TransportError, url_setting: str) -> Outcome:
    """Give what a transport's exception proves, in our phrase for it.

    Args:
        failure: What the transport raised.
        url_setting: The setting that names the host which was asked.
    """
    if isinstance(failure, CertificateRefused):
        setting = f"{url_setting} or vault.ca_file: the vault could not prove who it is"
        return Outcome(OutcomeKind.FATAL, "certificate refused", setting=setting)
    kind = OutcomeKind.NOT_SENT if proves_not_sent(failure) else OutcomeKind.AMBIGUOUS
    return Outcome(kind, _EVIDENCE.get(type(failure), "request refused by our own transport"))
