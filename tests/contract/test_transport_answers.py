"""Answers that are no answers: halves, junk, floods."""

from __future__ import annotations

import httpx
import pytest

from pipeline.vault.transport.pool import Timeouts
from tests.support.exchanges import outcome
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"a": 12}'


@pytest.mark.parametrize("cut", [1, 9, 17, 40, 68, 73, len(ANSWER) - 1])
def test_half_an_answer_may_have_acted(run, cut):
    """However much of the answer came, less than all of it gives RemoteProtocolError."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.send(ANSWER[:cut])

    with RawServer(behave) as server:
        result = outcome(run, server.url)

    assert httpx.RemoteProtocolError is type(result)


JUNK = {
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(512),
    "http 0.9": b"<html>hello</html>",
    "http 2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    "no such status": b"HTTP/1.1 20x OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n",
    "folded field": b"HTTP/1.1 200 OK\r\nx: 1\r\n content-length: 0\r\ncontent-length: 2\r\n\r\n{}",
    "line feed in a field": b"HTTP/1.1 200 OK\r\nx: a\nb\r\ncontent-length: 2\r\n\r\n{}",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhi",
    "1xx flood": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + ANSWER,
    "answer and junk": ANSWER + b"junk",
    "two answers": ANSWER + ANSWER,
    "compressed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_may_have_acted(run, junk):
    """Anything but one clean HTTP/1.1 answer gives RemoteProtocolError."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.send(junk)
        talk.wait_until_client_leaves()

    with RawServer(behave) as server:
        result = outcome(run, server.url)

    assert httpx.RemoteProtocolError is type(result)


ENDLESS = {
    "header line": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 65536),
    "header fields": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10000),
    "chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"ffff\r\n" + b"y" * 65535 + b"\r\n",
    ),
    "body without length": (b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65536),
    "long body": (b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n", b"y" * 65536),
    "1xx": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
}


TAKEN_MAX = 64 * 2**20
"""Bytes, with all that the sockets on both sides may hold."""


@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_an_endless_answer_is_cut_short(run, start, piece):
    """Past its bound an answer is refused at once, long before a timeout."""

    def behave(talk: Conversation) -> None:
        talk.read_request()
        talk.send(start)
        while not talk.server.over.is_set():
            talk.send(piece)
            sent.append(len(piece))

    sent = []
    with RawServer(behave) as server:
        result = outcome(run, server.url, timeouts=Timeouts())

    # A timeout would be another failure. What the sockets hold was sent as well.
    assert httpx.RemoteProtocolError is type(result)
    assert sum(sent) < TAKEN_MAX
