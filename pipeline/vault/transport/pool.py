"""Keeps the connections to one vault: opened on demand, kept alive, never too many."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from typing import Final, NamedTuple

import httpx

from pipeline.errors import LocalResourcesExhausted
from pipeline.vault.transport.connection import Connection
from pipeline.vault.transport.failures import LOCAL_ERRNOS, CertificateRefused
from pipeline.vault.transport.tls import Peer, peer_of

_SWEEP_S: Final = 0.05
"""Seconds between two looks at the deadlines: their precision, and cheaper than a timer each."""

_OTHER_NAME: Final = "is made out to another name"
_STRANGER: Final = "comes from an authority that is not trusted here"
_REFUSED: Final = {
    9: "is not valid yet, by this machine's clock",
    10: "has expired, by this machine's clock",
    **dict.fromkeys((18, 19, 20, 21), _STRANGER),
    **dict.fromkeys((62, 64), _OTHER_NAME),
}
"""Why a certificate is refused, by OpenSSL's number for it (X509_STORE_CTX_get_error(3))."""

_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's names for what a peer sends that speaks no TLS at all."""

_OLD_TLS: Final = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"}
)


class Timeouts(NamedTuple):
    """Bounds of one exchange in seconds; `read` counts from the last byte that came."""

    connect: float = 5.0
    read: float = 30.0
    write: float = 10.0
    pool: float = 30.0
    total: float = 60.0


class ConnectionPool:
    """Opens, lends, takes back and closes connections; ends the exchanges that are overdue.

    Args:
        host: Name or address of the vault.
        port: Its port.
        tls: The verifying context, `None` for plain TCP.
        connections_max: No more are ever open at once.
        keepalive_s: A connection that idled longer is not lent again.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        connections_max: int,
        keepalive_s: float,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._limit = connections_max
        self._keepalive_s = keepalive_s
        self._slots = 0
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self.peer: Peer | None = None
        """Who answered the first connection over TLS."""

    def take_idle(self, now: float) -> Connection | None:
        """Give the connection used last, if one is fit for another request."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable(now, self._keepalive_s):
                return connection
            connection.abort()
        return None

    async def acquire(self, bounds: Timeouts, total_at: float) -> Connection:
        """Open a connection, or wait for one when all are lent.

        Raises:
            httpx.PoolTimeout: None became free in time.
            httpx.ConnectTimeout: Name, TCP or TLS took too long.
            httpx.ConnectError: The vault cannot be reached (`CertificateRefused`: it could not prove
                who it is).
            LocalResourcesExhausted: This machine has no connection to give.
        """
        loop = asyncio.get_running_loop()
        while self._slots >= self._limit:
            free = await self._wait_for_turn(loop, bounds, total_at)
            if free is None:
                break
            if free.is_reusable(loop.time(), self._keepalive_s):
                return free
            free.abort()
        else:
            self._slots += 1
        return await self._connect(loop, bounds, total_at)

    def release(self, connection: Connection) -> None:
        """Take a connection back and lend it to whoever waits longest."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        self._idle.append(connection)

    async def aclose(self) -> None:
        """Close every connection; requests under way fail with the truth about each."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in tuple(self._connections):
            connection.close()
        # The sockets close within the next turns of the loop.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _wait_for_turn(
        self, loop: asyncio.AbstractEventLoop, bounds: Timeouts, total_at: float
    ) -> Connection | None:
        """Queue for a connection, or for the slot to open one (`None`)."""
        turn: asyncio.Future[Connection | None] = loop.create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout_at(_instant(loop.time() + bounds.pool, total_at)):
                return await turn
        except BaseException as failure:
            self._withdraw(turn)
            if isinstance(failure, TimeoutError):
                raise httpx.PoolTimeout("no connection became free in time") from None
            raise

    def _withdraw(self, turn: asyncio.Future[Connection | None]) -> None:
        """Leave the queue, or pass on what was given in the same moment."""
        if turn in self._queue:
            self._queue.remove(turn)
        elif turn.done() and not turn.cancelled():
            connection = turn.result()
            if connection is None:
                self._free_slot()
            else:
                self.release(connection)

    def _free_slot(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._slots -= 1

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, bounds: Timeouts, total_at: float
    ) -> Connection:
        try:
            async with asyncio.timeout_at(_instant(loop.time() + bounds.connect, total_at)):
                transport, connection = await loop.create_connection(
                    lambda: Connection(loop, sealed=self._tls is not None, lost=self._on_lost),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except BaseException as failure:
            self._free_slot()
            if isinstance(failure, OSError | UnicodeError):
                raise _connect_failure(failure) from None
            raise
        if connection.closed:
            self._free_slot()
            raise httpx.ConnectError("the vault hung up at once")
        if self.peer is None and self._tls is not None:
            self.peer = peer_of(transport)
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_S, self._sweep, loop)
        return connection

    def _on_lost(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is overdue and close what has idled too long."""
        now = loop.time()
        for connection in tuple(self._connections):
            if connection.waiting:
                if now >= connection.deadline:
                    connection.expire()
            elif now - connection.idle_since >= self._keepalive_s:
                connection.abort()
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep, loop) if self._connections else None


def _instant(first: float, second: float) -> float | None:
    """Give the earlier instant, `None` for never: some loops cannot wait for infinity."""
    earlier = min(first, second)
    return earlier if earlier < float("inf") else None


def _connect_failure(
    failure: OSError | UnicodeError,
) -> httpx.TransportError | LocalResourcesExhausted:
    """Name what kept the connection from being made; the original may quote names and paths."""
    if isinstance(failure, OSError) and failure.errno in LOCAL_ERRNOS:
        return LocalResourcesExhausted(failure)
    if isinstance(failure, TimeoutError):
        return httpx.ConnectTimeout("the vault could not be reached in time")
    if isinstance(failure, ssl.SSLCertVerificationError):
        why = _REFUSED.get(failure.verify_code, "is refused")
        return CertificateRefused(f"the vault's certificate {why}")
    if isinstance(failure, ssl.SSLError) and failure.reason in _OLD_TLS:
        return CertificateRefused("the vault offers no TLS 1.2 or newer")
    if isinstance(failure, ssl.SSLError):
        spoken = failure.reason not in _NO_TLS
        said = "the TLS handshake failed" if spoken else "what answers there does not speak TLS"
        return httpx.ConnectError(said)
    return httpx.ConnectError(_cause_in_words(failure))


def _cause_in_words(failure: OSError | UnicodeError) -> str:
    if isinstance(failure, socket.gaierror | UnicodeError):
        return "there is no such name, or nobody to ask for it"
    if isinstance(failure, ConnectionRefusedError):
        return "it refuses connections"
    return os.strerror(failure.errno) if failure.errno else "no connection could be made"
