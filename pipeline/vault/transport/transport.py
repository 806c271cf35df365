"""Sends an `httpx.Request`, or its bytes, and gives an answer or the truth about what was sent.

`httpx` stays the API (requests, responses, timeouts, exceptions, `AsyncBaseTransport`). The engine
is our own because its default one costs 1.5 to 4 ms of CPU a request under load and the fast ones
report a lost answer as a failed connect. HTTP/1.1, one host, one request a connection at a time;
nothing is ever resent, redirected or proxied, and the environment is not read.
`pipeline.vault.transport.failures` says what each exception proves.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self

import httpx

from pipeline.vault.transport.failures import mark_unsent
from pipeline.vault.transport.pool import ConnectionPool, Timeouts

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from pipeline.vault.transport.answer_reader import Answer
    from pipeline.vault.transport.connection import Connection
    from pipeline.vault.transport.tls import Peer

SILENCE_S: Final = 0.05
"""A refusal is believed when nothing follows it on its line for so long; and no line that refused
carries another request, because a refusal told twice would be taken for the next card's."""

_SUCCESS: Final = int(HTTPStatus.OK)
_IDENTITY: Final = frozenset({b"", b"identity"})
_OWN_FIELDS: Final = frozenset({b"transfer-encoding", b"content-length", b"connection"})


class VaultTransport(httpx.AsyncBaseTransport):
    """A bounded pool of kept-alive connections to one vault.

    Args:
        url: Scheme, host and port; a path is ignored.
        tls: The verifying context (`pipeline.vault.transport.tls`); needed exactly when the scheme
            is https.
        connections_max: No more are ever open at once.
        keepalive_s: An idle connection older than this is not used again; shorter than the
            server's patience, or requests would meet its hang-up.
        timeouts: Bounds for `exchange`, and for what a request's extensions leave open.

    Raises:
        httpx.UnsupportedProtocol: The scheme is neither http nor https, or TLS is missing.
    """

    def __init__(
        self,
        url: httpx.URL | str,
        *,
        tls: ssl.SSLContext | None = None,
        connections_max: int = 8,
        keepalive_s: float = 4.0,
        timeouts: Timeouts | None = None,
    ) -> None:
        base = httpx.URL(url)
        if base.scheme not in {"http", "https"} or (base.scheme == "https") != (tls is not None):
            raise httpx.UnsupportedProtocol("the vault speaks http, or https with a TLS context")
        self._origin = (base.scheme, base.host, base.port)
        self._timeouts = timeouts or Timeouts()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ConnectionPool(
            base.host,
            base.port or (443 if tls else 80),
            tls,
            connections_max=connections_max,
            keepalive_s=keepalive_s,
        )

    @property
    def peer(self) -> Peer | None:
        """Who answered over TLS; `None` over plain http or before a connection."""
        return self._pool.peer

    async def exchange(
        self, message: bytes | bytearray, timeouts: Timeouts | None = None
    ) -> Answer:
        """Send a whole HTTP/1.1 request (head and body) once and give the answer.

        The caller keeps `message` and may wipe it afterwards.

        Raises:
            httpx.TransportError: As `pipeline.vault.transport.failures` lists.
        """
        bounds = timeouts or self._timeouts
        loop = self._loop or self._bind()
        now = loop.time()
        total_at = now + bounds.total
        connection = self._pool.take_idle(now)
        if connection is None:
            try:
                connection = await self._pool.acquire(bounds, total_at)
            except asyncio.CancelledError as cancelled:
                mark_unsent(cancelled)
                raise
            now = loop.time()
        try:
            answer = await connection.send(
                message, now, write_s=bounds.write, read_s=bounds.read, total_at=total_at
            )
        except asyncio.CancelledError as cancelled:
            if not connection.abandon():
                mark_unsent(cancelled)
            raise
        if answer.status != _SUCCESS:
            await _require_silence(connection)
        elif connection.finish(loop.time()):
            self._pool.release(connection)
        if answer.fields.get(b"content-encoding", b"") not in _IDENTITY:
            raise httpx.RemoteProtocolError("the answer is compressed, which was not asked for")
        return answer

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.get_running_loop()
        return loop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request of the `httpx` API; the seam that any `httpx.AsyncClient` fits.

        Raises:
            httpx.TransportError: As `pipeline.vault.transport.failures` lists.
        """
        url = request.url
        if (url.scheme, url.host, url.port) != self._origin:
            raise httpx.UnsupportedProtocol("this line leads to one vault only")
        message = _message(request, await request.aread())
        given = request.extensions.get("timeout", {})
        chosen = {name: float("inf") if limit is None else limit for name, limit in given.items()}
        answer = await self.exchange(message, self._timeouts._replace(**chosen))
        return httpx.Response(
            answer.status,
            headers=list(answer.fields.items()),
            content=answer.body,
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close every connection; requests under way fail with the truth about each."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        """Give itself; connections are opened when they are needed."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close every connection."""
        await self.aclose()


async def _require_silence(connection: Connection) -> None:
    if not await connection.is_silent(SILENCE_S):
        raise httpx.RemoteProtocolError("bytes that nobody asked for followed a refusal")


def _message(request: httpx.Request, body: bytes) -> bytes:
    """Give the request as it goes over the wire, with a length of its own."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [
        name + b": " + value
        for name, value in request.headers.raw
        if name.lower() not in _OWN_FIELDS
    ]
    lines.append(b"content-length: %d" % len(body))
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise httpx.LocalProtocolError("a header field holds a line break")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
