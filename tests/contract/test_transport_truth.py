"""What the transport says about sent or not sent, against sockets that misbehave."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from pipeline.vault.transport.failures import NOT_SENT, proves_not_sent
from pipeline.vault.transport.transport import VaultTransport
from tests.support.exchanges import BRISK, HUGE, SMALL, outcome
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer, answer_all


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


# Before the last byte.


def test_a_refused_connection_is_not_sent(run):
    """A port that nobody listens on gives ConnectError."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert httpx.ConnectError is type(outcome(run, f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("host", ["no-such-vault.invalid", "a" * 64 + ".invalid"])
def test_a_name_that_cannot_be_resolved_is_not_sent(run, host):
    """A name without an address, or that is no name, gives ConnectError."""
    assert httpx.ConnectError is type(outcome(run, f"http://{host}:1"))


def test_a_name_that_is_resolved_too_late_is_not_sent(monkeypatch):
    """The time for a name is part of the time to connect: ConnectTimeout, and no connection."""
    honest = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *a, **k: (time.sleep(0.6), honest(*a, **k))[1]
    )
    with RawServer(answer_all) as server:
        result = outcome(asyncio.run, server.url, timeouts=BRISK._replace(connect=0.2))

    assert httpx.ConnectTimeout is type(result)
    assert [] == server.conversations


def test_a_connect_that_hangs_is_not_sent(run):
    """A listener whose queue is full leaves the SYN unanswered: ConnectTimeout."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        assert httpx.ConnectTimeout is type(outcome(run, url, timeouts=BRISK._replace(connect=0.3)))


def test_a_drop_half_way_through_the_request_is_not_sent(run):
    """A reset while bytes of the request are still ours gives WriteError."""

    def behave(talk: Conversation) -> None:
        talk.read(4096)
        talk.reset()

    with RawServer(behave) as server:
        result = outcome(run, server.url, HUGE)

    assert httpx.WriteError is type(result)


def test_a_peer_that_stops_reading_is_not_sent(run):
    """A peer that takes no more bytes gives WriteTimeout, and the rest never follows."""

    def behave(talk: Conversation) -> None:
        time.sleep(0.8)
        talk.wait_until_client_leaves()

    with RawServer(behave) as server:
        result = outcome(run, server.url, HUGE, BRISK._replace(write=0.4))

    assert httpx.WriteTimeout is type(result)
    assert len(HUGE) > len(server.received)


@pytest.mark.parametrize(
    ("end", "kind"),
    [(Conversation.hang, httpx.ReadTimeout), (Conversation.reset, httpx.ReadError)],
)
def test_a_large_request_that_was_taken_whole_may_have_acted(run, end, kind):
    """Once the kernel took the last byte, however late, nothing proves that it did not arrive."""

    def behave(talk: Conversation) -> None:
        left = len(HUGE)
        while left > 0:
            left -= len(talk.sock.recv(1 << 20))
        end(talk)

    with RawServer(behave) as server:
        result = outcome(run, server.url, HUGE, BRISK._replace(read=0.4))
        server.over.set()

    assert kind is type(result)


def test_an_answer_before_the_whole_request_ends_the_sending(run):
    """An early refusal is an answer; what is left of the request stays here."""

    def behave(talk: Conversation) -> None:
        talk.read(4096)
        talk.answer(status="413 Content Too Large")
        time.sleep(0.3)
        talk.wait_until_client_leaves()

    with RawServer(behave) as server:
        result = outcome(run, server.url, HUGE)

    assert result.status == 413
    assert len(HUGE) > len(server.received)


# After the last byte.


def test_silence_is_a_read_timeout(run):
    """A server that reads and hangs gives ReadTimeout."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.wait_until_client_leaves()

    with RawServer(behave) as server:
        result = outcome(run, server.url, timeouts=BRISK._replace(read=0.3))

    assert httpx.ReadTimeout is type(result)
    assert server.requests == [SMALL]


def test_a_trickle_ends_with_the_total_timeout(run):
    """One byte at a time keeps the read timeout away, never the total one."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + b"x" * 99:
            talk.send(bytes([byte]))
            time.sleep(0.02)

    started = time.monotonic()
    with RawServer(behave) as server:
        result = outcome(run, server.url, timeouts=BRISK._replace(read=60, total=0.8))

    # The whole answer takes some seconds, and would have been no failure.
    assert httpx.ReadTimeout is type(result)
    assert time.monotonic() - started >= 0.8


def test_a_server_that_hangs_up_after_reading_may_have_acted(run):
    """The end of the connection instead of an answer gives RemoteProtocolError, once."""
    with RawServer(lambda talk: talk.read_request()) as server:
        result = outcome(run, server.url)

    assert httpx.RemoteProtocolError is type(result)
    assert server.requests == [SMALL]


def test_a_reset_after_reading_may_have_acted(run):
    """RST instead of an answer gives ReadError, and the request is not sent again."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.reset()

    with RawServer(behave) as server:
        result = outcome(run, server.url)

    assert httpx.ReadError is type(result)
    assert server.requests == [SMALL]


# Cancellation.


def cancelled(run, url, message, after_s) -> BaseException:
    """Give what an exchange ends in that is cancelled after so many seconds."""

    async def exchange(transport):
        try:
            return await transport.exchange(message)
        except asyncio.CancelledError as failure:
            return failure

    async def attempt():
        async with VaultTransport(url, timeouts=BRISK) as transport:
            task = asyncio.create_task(exchange(transport))
            await asyncio.sleep(after_s)
            task.cancel()
            return await task

    return run(attempt())


def test_cancelling_while_connecting_proves_not_sent(run):
    """A task cancelled before its request left says so."""
    with RawServer(answer_all) as server:
        failure = cancelled(run, server.url, SMALL, 0)

    assert isinstance(failure, asyncio.CancelledError)
    assert proves_not_sent(failure)


@pytest.mark.parametrize(("message", "not_sent"), [(SMALL, False), (HUGE, True)])
def test_cancelling_under_way_tells_whether_the_last_byte_left(run, message, not_sent):
    """After the last byte a cancellation proves nothing; before it, it proves not sent."""

    def behave(talk: Conversation) -> None:
        talk.read(1)
        talk.hang()

    with RawServer(behave) as server:
        failure = cancelled(run, server.url, message, 0.3)

    assert isinstance(failure, asyncio.CancelledError)
    assert not_sent is proves_not_sent(failure)


def test_every_exception_of_httpx_has_a_place_in_the_table():
    """A transport exception that a new httpx adds counts as sent until somebody decides."""

    def leaves(kind):
        below = kind.__subclasses__()
        return {kind} if not below else {leaf for child in below for leaf in leaves(child)}

    may_have_arrived = {httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError}
    never_raised = {httpx.CloseError, httpx.ProxyError}
    known = may_have_arrived | never_raised | {leaf for kind in NOT_SENT for leaf in leaves(kind)}

    assert known == leaves(httpx.TransportError)
