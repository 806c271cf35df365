"""Asks the vault something harmless: can it be reached, who answers over TLS, what time is it there."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import httpx

from pipeline.vault.transport.failures import CertificateRefused

if TYPE_CHECKING:
    from pydantic import SecretStr

    from pipeline.vault.transport.tls import Peer
    from pipeline.vault.transport.transport import VaultTransport


class Probe(NamedTuple):
    """What a harmless request found.

    Attributes:
        address: Host and port.
        status: The HTTP status; any proves that somebody answers.
        date: The answer's `Date` as it came, or None.
        peer: TLS version, cipher and the end of the certificate's validity; None over http.
        body: The answer's body; whoever reads it repeats nothing of it.
    """

    address: str
    status: int
    date: str | None
    peer: Peer | None
    body: bytes = b""


class NotReached(Exception):
    """No connection could be made; the text says why."""


class NotTrusted(Exception):
    """The vault could not prove over TLS who it is; the text says why."""


class NoAnswer(Exception):
    """A connection was made and no answer came."""


def address_of(url: str) -> str:
    """Give the host and port that a URL leads to."""
    base = httpx.URL(url)
    return f"{base.host}:{base.port or (443 if base.scheme == 'https' else 80)}"


async def probe(
    line: VaultTransport, url: str, *, path: bytes = b"/", key: SecretStr | None = None
) -> Probe:
    """Send one GET over a line; nothing is made by it.

    Args:
        line: The way to the vault.
        url: The vault's address.
        path: What to ask for below the address; the default names no resource.
        key: A key to authenticate with, where it is to be learnt whether it is accepted.

    Raises:
        NotReached: No connection could be made.
        NotTrusted: The vault could not prove who it is.
        NoAnswer: Nobody answered on a connection that was made.
    """
    base = httpx.URL(url)
    fields = [b"host: " + base.netloc, b"user-agent: cardferry", b"accept-encoding: identity"]
    if key is not None:
        fields.append(
            b"authorization: Basic " + base64.b64encode(f"{key.get_secret_value()}:".encode())
        )
    target = base.raw_path.rstrip(b"/") + path
    message = b"GET " + target + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"
    try:
        answer = await line.exchange(message)
    except CertificateRefused as refused:
        raise NotTrusted(str(refused)) from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
        raise NotReached(str(failure)) from None
    except httpx.TransportError:
        raise NoAnswer from None
    date = answer.fields.get(b"date")
    return Probe(
        address_of(url),
        answer.status,
        None if date is None else date.decode("latin-1"),
        line.peer,
        answer.body,
    )
