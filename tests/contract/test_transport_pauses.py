"""What a paused process, a refusal told twice and an exhausted machine do to the truth."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import threading
import time

import httpx
import pytest

from pipeline.errors import LocalResourcesExhausted
from pipeline.vault.transport.pool import Timeouts, _connect_failure
from pipeline.vault.transport.transport import VaultTransport
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer, answer_all
from tests.support.sampled import sampled

REQUEST = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nHELLO"
REFUSAL = (
    b"HTTP/1.1 402 Payment Required\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\n\r\n{}"
)


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


def blocked_in_a_reader(loop, answered):
    """Stop the loop past its deadlines, until the answer lies there, while it handles a socket."""
    here, there = socket.socketpair()

    def block():
        loop.remove_reader(here)
        time.sleep(0.4)
        answered.wait(60)
        here.close()
        there.close()

    loop.add_reader(here, block)
    loop.call_later(0.1, there.send, b"x")


def blocked_in_timers(loop, answered):
    """Stop the loop past its deadlines, until the answer lies there, by timers due together."""
    for number in range(10):
        loop.call_later(0.1 + number / 100, time.sleep, 0.05)
    loop.call_later(0.195, answered.wait, 60)


# Deadlines of the read, of the whole, and of both.
@pytest.mark.parametrize(
    ("read_s", "total_s", "pause"),
    sampled(
        [
            (*deadlines, pause)
            for deadlines in ((0.3, 9), (9, 0.3), (0.3, 0.3))
            for pause in (blocked_in_a_reader, blocked_in_timers)
        ],
        3,
    ),
)
def test_an_answer_that_came_during_a_pause_is_no_timeout(run, pause, read_s, total_s):
    """A process that was stopped past its deadlines reads its sockets before it judges by them."""
    answered = threading.Event()

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.answer()
        talk.read_request()
        time.sleep(0.25)
        talk.answer(b"made")
        answered.set()
        talk.wait_until_client_leaves()

    async def main(url):
        bounds = Timeouts(read=read_s, total=total_s)
        async with VaultTransport(url) as transport:
            # A connection that is there already: connecting has a time of its own.
            await transport.exchange(REQUEST)
            pause(asyncio.get_running_loop(), answered)
            return await transport.exchange(REQUEST, bounds)

    with RawServer(behave) as server:
        answer = run(main(server.url))

    assert (200, b"made") == (answer.status, answer.body)


def test_an_overdue_answer_that_lies_in_the_socket_is_read_before_it_is_judged(run):
    """Time may be up at every look of a process that was paused again and again, up to a bound."""
    answered = threading.Event()

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.answer()
        talk.read_request()
        talk.answer(b"made")
        answered.set()
        talk.wait_until_client_leaves()

    async def main(url, looks):
        async with VaultTransport(url) as transport:
            await transport.exchange(REQUEST)
            (connection,) = transport._pool._connections
            sending = asyncio.create_task(transport.exchange(REQUEST))
            await asyncio.sleep(0)
            assert connection.waiting
            answered.wait(60)
            while not connection._poller.poll(1000):
                pass
            for _ in range(looks):
                connection.expire()
            return await sending

    for looks, is_judged in ((3, False), (4, True)):
        answered.clear()
        with RawServer(behave) as server:
            if is_judged:
                with pytest.raises(httpx.ReadTimeout):
                    run(main(server.url, looks))
            else:
                assert b"made" == run(main(server.url, looks)).body


def test_a_vault_that_drips_is_still_ended_by_the_total(run):
    """Bytes that keep coming put the end of an exchange off by a few looks, not for ever."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not talk.server.over.wait(0.01):
            try:
                talk.send(b"x")
            except OSError:
                return

    async def main(url):
        async with VaultTransport(url, timeouts=Timeouts(read=5, total=0.3)) as transport:
            await transport.exchange(REQUEST)

    with RawServer(behave) as server, pytest.raises(httpx.ReadTimeout):
        run(main(server.url))


@pytest.mark.parametrize("more", [REFUSAL, b"HTTP/1.1 200 OK\r\n", b"x"])
def test_bytes_after_a_refusal_leave_it_in_doubt(run, more):
    """The refusal may have been another request's; the true answer may be what follows."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.send(REFUSAL)
        time.sleep(0.01)
        talk.send(more)

    async def main(url):
        async with VaultTransport(url) as transport:
            await transport.exchange(REQUEST)

    with RawServer(behave) as server, pytest.raises(httpx.RemoteProtocolError):
        run(main(server.url))


@pytest.mark.parametrize("status", [302, 400, 402, 403, 404, 429, 500])
def test_a_line_that_refused_carries_no_other_request(run, status):
    """Whatever may still come over it can reach no other card."""

    def behave(talk: Conversation) -> None:
        while talk.read_request() is not None:
            talk.send(REFUSAL.replace(b"402", b"%d" % status))

    async def main(url):
        async with VaultTransport(url) as transport:
            return [(await transport.exchange(REQUEST)).status for _ in range(3)]

    with RawServer(behave) as server:
        assert [status] * 3 == run(main(server.url))

    assert [1, 1, 1] == [len(talk.requests) for talk in server.conversations]


@pytest.mark.parametrize(
    "number",
    [
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN),
        errno.EADDRNOTAVAIL,
    ],
)
def test_what_this_machine_lacks_is_told_by_its_name(number):
    """No descriptor, memory, buffer or port: 5, whatever of it is missing."""
    trouble = _connect_failure(OSError(number, os.strerror(number)))

    assert isinstance(trouble, LocalResourcesExhausted)
    assert (5, True) == (trouble.exit_code, errno.errorcode[number] in trouble.message)


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETDOWN])
def test_what_the_way_to_the_vault_lacks_is_an_outage(number):
    """A vault that cannot be reached is waited for."""
    assert isinstance(_connect_failure(OSError(number, "no")), httpx.ConnectError)


def test_a_machine_without_descriptors_is_no_outage(run):
    """EMFILE says so itself, by name, and is not taken for a vault that cannot be reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main(url):
        async with VaultTransport(url) as transport:
            # The loop and its resolver have their descriptors; the next one is the connection's.
            await asyncio.get_running_loop().getaddrinfo("localhost", 1)
            with socket.socket() as probe:
                last = probe.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (last, hard))
            try:
                await transport.exchange(REQUEST)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with RawServer(answer_all) as server, pytest.raises(LocalResourcesExhausted) as caught:
        run(main(server.url.replace("localhost", "127.0.0.1")))

    assert "EMFILE" in caught.value.message
    assert os.strerror(24) in caught.value.message
    assert 5 == caught.value.exit_code
