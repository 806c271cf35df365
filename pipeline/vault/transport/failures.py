"""Says what a transport's exception proves: that a request was sent, or that it was not.

| exception | when | the last byte |
|---|---|---|
| `httpx.UnsupportedProtocol`, `httpx.LocalProtocolError` | the request is not one we send | never left |
| `httpx.PoolTimeout` | no connection became free in time | never left |
| `httpx.ConnectError` | no such name, refused, unreachable, TLS handshake failed | never left |
| `CertificateRefused` | certificate unknown, expired, of another host; TLS older than 1.2 | never left |
| `httpx.ConnectTimeout` | name, TCP or TLS took longer than allowed | never left |
| `httpx.WriteError` | the connection broke while a byte of the request was still ours (plain TCP) | never left |
| `httpx.WriteTimeout` | the peer took no more bytes in time (plain TCP) | never left |
| `asyncio.CancelledError` marked by the transport | cancelled before the last byte left | never left |
| `httpx.ReadTimeout` | no whole answer in time | may have arrived |
| `httpx.ReadError` | the connection broke after the last byte | may have arrived |
| `httpx.RemoteProtocolError` | half an answer, junk, too long, more than one, hung up | may have arrived |
| `LocalResourcesExhausted` (ends the run) | this machine gives no descriptor, memory or port | never left |
| anything else | a bug of ours, a cancellation after the last byte | may have arrived |

Behind TLS the kernel's side cannot be seen: a request counts as sent once the TLS layer has it.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Final

import httpx


class CertificateRefused(httpx.ConnectError):
    """The peer could not prove to be the vault over TLS 1.2 or newer; nothing was sent."""


NOT_SENT: Final = (
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
)
"""The exceptions that prove that the last byte of the request never left this process."""

LOCAL_ERRNOS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EADDRNOTAVAIL}
)
"""What the operating system says when this machine has no connection to give; tried again and again,
that would be taken for an outage of the vault."""

_CANCELLED_UNSENT: Final = "cancelled before the last byte left"


def mark_unsent(cancelled: asyncio.CancelledError) -> None:
    """Write into a cancellation that the request's last byte had not left.

    The exception itself is marked, not replaced by a subclass: `asyncio.timeout` and task groups
    of Python 3.11 recognise the exact class only. `asyncio.gather` makes a new exception, so read
    the mark inside the task that was cancelled.
    """
    cancelled.args = (_CANCELLED_UNSENT,)


def proves_not_sent(error: BaseException) -> bool:
    """Say whether this failure proves that the vault cannot have acted on the request."""
    if isinstance(error, asyncio.CancelledError):
        return error.args == (_CANCELLED_UNSENT,)
    return isinstance(error, NOT_SENT)
