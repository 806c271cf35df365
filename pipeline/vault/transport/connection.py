"""Carries one request at a time over one HTTP/1.1 connection, and says how that ended.

The vault's API has no idempotency key, so whether the last byte of a request left this process
is what the ledger's safety rests on. This class hands that byte to the kernel itself and
remembers whether the kernel took it.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Final, cast

import httpx

from pipeline.vault.transport.answer_reader import Answer, AnswerReader, InvalidAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOKS_MAX: Final = 4
"""So often an overdue answer is waited for because bytes of it lie in the socket."""

_POLL_EVENTS: Final = select.POLLIN | select.POLLPRI | getattr(select, "POLLRDHUP", 0)


class Connection(asyncio.Protocol):
    """One connection that carries one request at a time.

    Whoever holds it calls `send` and awaits the future. Bytes that arrive while nobody waits close
    the connection, because they could only be taken for the answer to another request.

    Args:
        loop: The running event loop.
        sealed: Whether TLS lies between this protocol and the socket.
        lost: Called once with this connection when it can never be used again.
    """

    __slots__ = (
        "_loop",
        "_lost",
        "_overdue",
        "_poller",
        "_read_s",
        "_reader",
        "_sealed",
        "_silence",
        "_total_at",
        "_transport",
        "_unsent",
        "_waiter",
        "deadline",
        "idle_since",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, sealed: bool, lost: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._sealed = sealed
        self._lost: Callable[[Connection], None] | None = lost
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._silence: asyncio.Future[bool] | None = None
        self._overdue = 0
        self._unsent = False
        self._reader = AnswerReader()
        self.deadline = float("inf")
        self.idle_since = loop.time()

    # What the pool asks.

    @property
    def transport(self) -> asyncio.Transport | None:
        """The event loop's side of the connection; `None` before it is made."""
        return self._transport

    @property
    def waiting(self) -> bool:
        """Whether a request is under way."""
        return self._waiter is not None

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def is_reusable(self, now: float, keepalive_s: float) -> bool:
        """Say whether a next request may be written: open, not idle for long, nothing to read.

        The look at the socket finds a hang-up or an unasked answer that the event loop has not
        read yet; written over, the first would cost an ambiguous row, the second a wrong one.
        """
        transport = self._transport
        return (
            transport is not None
            and not transport.is_closing()
            and now - self.idle_since < keepalive_s
            and not self._poller.poll(0)
        )

    def send(
        self,
        message: bytes | bytearray,
        now: float,
        *,
        write_s: float,
        read_s: float,
        total_at: float,
    ) -> asyncio.Future[Answer]:
        """Hand a whole request to the kernel in one write and give the future of its answer.

        Args:
            message: Head and body.
            now: The event loop's time.
            write_s: Seconds until the last byte must have left.
            read_s: Seconds that may pass without a byte of the answer.
            total_at: Loop time at which the exchange ends whatever happens.
        """
        transport = self._transport
        assert transport is not None  # noqa: S101 - the pool never hands out an unconnected one.
        self._waiter = waiter = self._loop.create_future()
        self._total_at, self._read_s = total_at, read_s
        self._overdue = 0
        closed = transport.is_closing()
        if not closed:
            transport.write(message)
            # A plain connection that closed by this write failed in its one attempt to send: the
            # kernel took nothing.
            closed = not self._sealed and transport.is_closing()
        if closed:
            self._fail(httpx.WriteError("the connection had broken before the request was sent"))
        self.deadline = min(now + (write_s if self._unsent else read_s), total_at)
        return waiter

    def finish(self, now: float) -> bool:
        """End an exchange whose answer was taken; say whether the connection may be used again."""
        self.deadline = float("inf")
        if not self._reader.keep_alive or self._unsent:
            self.abort()
            return False
        self.idle_since = now
        return True

    async def is_silent(self, seconds: float) -> bool:
        """Wait whether bytes follow an answer, then close; say whether none did.

        An end of our own is sent where it can be, so that a peer with nothing more to say hangs up
        and need not be waited for.
        """
        transport = self._transport
        if transport is None:
            return True
        self._silence = silence = self._loop.create_future()
        if not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
        timer = self._loop.call_later(seconds, self._end_silence, True)  # noqa: FBT003
        try:
            return bool(await silence)
        finally:
            timer.cancel()
            self._silence = None
            self.abort()

    def _end_silence(self, silent: bool) -> None:  # noqa: FBT001 - a future's result.
        if self._silence is not None and not self._silence.done():
            self._silence.set_result(silent)

    def expire(self) -> None:
        """Give up waiting, in the class of timeout that the evidence allows, but not at once.

        A process that was paused finds its timers due before it has read its sockets: the first
        call only notes that time is up, and as long as there is something to read the next few do.
        """
        self._overdue += 1
        if self._overdue == 1 or (self._overdue < _LOOKS_MAX and self._poller.poll(0)):
            return
        if self._unsent:
            self._fail(httpx.WriteTimeout("the request could not be written in time"))
        else:
            self._fail(httpx.ReadTimeout("no whole answer came in time"))

    def close(self) -> None:
        """Close whatever goes on; a request under way learns what can be said about it."""
        self._break("this side closed the connection")

    def abandon(self) -> bool:
        """Drop a request that nobody waits for; say whether its last byte may have left."""
        unsent = self._unsent
        self._waiter = None
        self.abort()
        return not unsent

    def abort(self) -> None:
        """Close at once; what is still buffered never leaves."""
        if self._transport is not None:
            self._transport.abort()
        self._report_lost()

    def _report_lost(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(self)

    def _fail(self, error: httpx.TransportError) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    def _break(self, why: str, sent: type[httpx.TransportError] = httpx.ReadError) -> None:
        """End the exchange with the truth about its last byte."""
        self._fail(httpx.WriteError(why) if self._unsent else sent(why))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and make it say whenever a byte of ours is still in its buffer."""
        self._transport = made = cast("asyncio.Transport", transport)
        if not self._sealed:
            made.set_write_buffer_limits(high=0)
        self._poller = select.poll()
        self._poller.register(made.get_extra_info("socket").fileno(), _POLL_EVENTS)

    def pause_writing(self) -> None:
        """Note that the last byte is still ours.

        Exact over plain TCP, where the limit is zero. The TLS layer passes all it is given to a
        transport below that we cannot see, so behind it a request counts as sent once written.
        """
        self._unsent = not self._sealed

    def resume_writing(self) -> None:
        """Note that the kernel took the last byte; from here on the vault may have acted."""
        self._unsent = False
        if self._waiter is not None:
            self.deadline = min(self._loop.time() + self._read_s, self._total_at)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        waiter = self._waiter
        if waiter is None:
            self._end_silence(False)  # noqa: FBT003
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except InvalidAnswer:
            self._break("no single answer within our bounds", httpx.RemoteProtocolError)
            return
        if answer is None:
            self.deadline = min(self._loop.time() + self._read_s, self._total_at)
            return
        self._waiter = None
        if not waiter.done():
            waiter.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Turn the end of the connection into the truth about the request under way."""
        waiter = self._waiter
        if waiter is None:
            self._end_silence(True)  # noqa: FBT003
            self._report_lost()
            return
        answer = self._reader.end() if exc is None else None
        if answer is not None and not waiter.done():
            self._waiter = None
            waiter.set_result(answer)
            self._report_lost()
        elif exc is None:
            self._break("the vault hung up without a whole answer", httpx.RemoteProtocolError)
        else:
            self._break("the connection broke")
