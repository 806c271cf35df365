"""Connections kept, counted and lent."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest

from pipeline.vault.transport.failures import proves_not_sent
from tests.support.exchanges import BRISK, echo, over, request
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


def test_a_connection_serves_many_requests(run):
    """Requests that follow one another share one connection, each with its own answer."""

    async def script(transport):
        return [(await transport.exchange(request(number))).body for number in range(20)]

    with RawServer(echo) as server:
        bodies = over(run, server.url, script)

    assert [b"%d" % number for number in range(20)] == bodies
    assert len(server.conversations) == 1


def test_no_more_connections_than_allowed(run):
    """Sixty requests at once over at most three connections all get their own answer."""

    async def script(transport):
        return await asyncio.gather(*(transport.exchange(request(n)) for n in range(60)))

    with RawServer(echo) as server:
        answers = over(run, server.url, script, connections_max=3)

    assert [b"%d" % number for number in range(60)] == [answer.body for answer in answers]
    assert len(server.conversations) == 3


def test_waiting_too_long_for_a_connection_is_not_sent(run):
    """When all connections are lent, the next request ends in PoolTimeout and harms nobody."""
    go = threading.Event()

    def behave(talk: Conversation) -> None:
        while talk.read_request():
            go.wait(5)
            talk.answer()

    async def script(transport):
        first = asyncio.create_task(transport.exchange(request(1)))
        await asyncio.sleep(0.1)
        try:
            await transport.exchange(request(2), BRISK._replace(pool=0.2))
        except httpx.PoolTimeout as failure:
            go.set()
            return failure, await first, await transport.exchange(request(3))

    with RawServer(behave) as server:
        failure, first, third = over(run, server.url, script, connections_max=1)

    assert proves_not_sent(failure)
    assert (first.status, third.status) == (200, 200)
    assert [request(1), request(3)] == server.requests


def test_a_failed_connect_frees_its_place(run):
    """Connections that cannot be made never use the pool up."""

    async def script(transport):
        return await asyncio.gather(
            *(transport.exchange(request(n)) for n in range(9)), return_exceptions=True
        )

    with RawServer(echo) as server:
        url = server.url
    failures = over(run, url, script, connections_max=2)

    assert {httpx.ConnectError} == {type(failure) for failure in failures}


def test_a_cancelled_wait_passes_its_turn_on(run):
    """Cancelling one that queues for a connection leaves the queue working."""

    async def script(transport):
        tasks = [asyncio.create_task(transport.exchange(request(n))) for n in range(10)]
        await asyncio.sleep(0.01)
        for task in tasks[1:9]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    def behave(talk: Conversation) -> None:
        while (message := talk.read_request()) is not None:
            time.sleep(0.1)
            talk.answer(message.partition(b"\r\n\r\n")[2])

    with RawServer(behave) as server:
        results = over(run, server.url, script, connections_max=1)

    assert (results[0].body, results[9].body) == (b"0", b"9")
    assert all(isinstance(result, asyncio.CancelledError) for result in results[1:9])


def test_a_connection_handed_to_somebody_who_just_left_goes_to_the_next(run):
    """Cancelled in the very moment it is given a connection, a waiter gives it back."""

    async def script(transport):
        async def first():
            await transport.exchange(request(1))
            second.cancel()

        head = asyncio.create_task(first())
        await asyncio.sleep(0.05)
        second = asyncio.create_task(transport.exchange(request(2)))
        await head
        return await transport.exchange(request(3))

    def behave(talk: Conversation) -> None:
        while talk.read_request():
            time.sleep(0.15)
            talk.answer()

    with RawServer(behave) as server:
        answer = over(run, server.url, script, connections_max=1)

    assert 200 == answer.status
    assert [request(1), request(3)] == server.requests


def test_an_idle_connection_is_closed_in_time(run):
    """After `keepalive_s` without use the connection is gone, so no server is first."""
    left = threading.Event()

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.answer()
        talk.wait_until_client_leaves()
        left.set()

    async def script(transport):
        await transport.exchange(request(1))
        return await asyncio.to_thread(left.wait, 60)

    with RawServer(behave) as server:
        assert over(run, server.url, script, keepalive_s=0.1)


def test_closing_tells_those_under_way(run):
    """A transport closed under a request ends it, as possibly sent."""
    came = threading.Event()

    async def script(transport):
        task = asyncio.create_task(transport.exchange(request(1)))
        await asyncio.to_thread(came.wait, 60)
        await transport.aclose()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    with RawServer(lambda talk: (talk.read_request(), came.set(), talk.hang())) as server:
        failure = over(run, server.url, script)
        server.over.set()

    assert httpx.ReadError is type(failure)
