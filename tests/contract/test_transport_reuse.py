"""Which connections may carry another request, and which answers may be believed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import httpx
import pytest

from pipeline.vault.transport.connection import Connection
from tests.support.exchanges import over, request
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


async def happened(event, *, asleep):
    """Wait for what the other side does, and until it has come over."""
    if asleep:
        # The point is that the loop reads nothing meanwhile.
        event.wait(60)
        time.sleep(0.1)  # noqa: ASYNC251
    else:
        await asyncio.to_thread(event.wait, 60)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("asleep", [False, True], ids=["loop runs", "loop is blocked"])
def test_an_unasked_answer_is_never_given_to_another_request(run, asleep):
    """Bytes on an idle connection condemn it, read by the event loop or still in the kernel."""
    mine, stale = threading.Event(), threading.Event()

    def unasked(talk: Conversation) -> None:
        talk.read_request()
        talk.answer(b"mine")
        mine.wait(60)
        if not stale.is_set():
            talk.answer(b"stale")
            stale.set()
        while talk.read_request() is not None:
            talk.answer(b"wrong line")

    async def script(transport):
        first = await transport.exchange(request(1))
        mine.set()
        await happened(stale, asleep=asleep)
        return first.body, (await transport.exchange(request(2))).body

    with RawServer(unasked) as server:
        bodies = over(run, server.url, script)

    assert bodies == (b"mine", b"mine")
    assert len(server.conversations) == 2


@pytest.mark.parametrize("asleep", [False, True], ids=["loop runs", "loop is blocked"])
def test_a_hang_up_between_requests_costs_nothing(run, asleep):
    """A server that closes an idle connection makes no request ambiguous."""
    gone = threading.Event()

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.answer()
        talk.sock.shutdown(socket.SHUT_RDWR)
        gone.set()

    async def script(transport):
        await transport.exchange(request(1))
        await happened(gone, asleep=asleep)
        return await transport.exchange(request(2))

    with RawServer(behave) as server:
        answer = over(run, server.url, script)

    assert answer.status == 200
    assert [request(1), request(2)] == server.requests


def test_writing_into_a_broken_connection_is_not_sent(run):
    """When the kernel refuses the one attempt to send, nothing left, and WriteError says so."""
    gone = threading.Event()

    def behave(talk: Conversation) -> None:
        talk.read(1)
        talk.reset()
        gone.set()

    async def script(url):
        loop = asyncio.get_running_loop()
        port = httpx.URL(url).port
        _, connection = await loop.create_connection(
            lambda: Connection(loop, sealed=False, lost=lambda _: None), "localhost", port
        )
        connection.transport.write(b"x")
        await happened(gone, asleep=True)
        # The first write meets the reset, so the connection is known broken to the kernel only.
        answer = connection.send(request(1), loop.time(), write_s=1, read_s=1, total_at=9e9)
        try:
            await answer
        except httpx.TransportError as failure:
            return failure

    with RawServer(behave) as server:
        failure = run(script(server.url))

    assert httpx.WriteError is type(failure)
    assert server.received == b"x"


ONCE = {
    "connection: close": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    "http 1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "ended by hang-up": b"HTTP/1.0 200 OK\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", ONCE.values(), ids=ONCE)
def test_a_connection_that_ends_is_not_used_again(run, answer):
    """An answer that closes its connection is taken, and the next request opens another."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.send(answer)

    async def script(transport):
        return [(await transport.exchange(request(number))).body for number in range(3)]

    with RawServer(behave) as server:
        bodies = over(run, server.url, script)

    assert bodies == [b"{}"] * 3
    assert len(server.conversations) == 3


SHAPES = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\n{\r\n1\r\n}\r\n0\r\nX-Late: 1\r\n\r\n",
    "after 1xx": b"HTTP/1.1 100 Continue\r\nX-Late: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_answer_is_the_same_in_any_pieces(run, answer, step):
    """Chunks, interim answers and cuts anywhere give one answer and a connection for the next."""

    def behave(talk: Conversation) -> None:
        while talk.read_request() is not None:
            for start in range(0, len(answer), step):
                talk.send(answer[start : start + step])
                time.sleep(0.001 if step < 1000 else 0)

    async def script(transport):
        return [await transport.exchange(request(number)) for number in range(2)]

    with RawServer(behave) as server:
        answers = over(run, server.url, script)

    assert [(answer.status, answer.body) for answer in answers] == [(200, b"{}")] * 2
    assert b"x-late" not in answers[1].fields
    assert len(server.conversations) == 1
