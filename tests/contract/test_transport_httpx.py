"""The `httpx` API over our line."""

from __future__ import annotations

import httpx
import pytest

from pipeline.vault.transport.failures import proves_not_sent
from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.transport import VaultTransport
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer, answer_all

BRISK = Timeouts(connect=2, read=2, write=2, pool=2, total=4)


def request(number: int) -> bytes:
    body = b"%d" % number
    head = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def echo(talk: Conversation) -> None:
    """Answer each request with its own body."""
    while (message := talk.read_request()) is not None:
        talk.answer(message.partition(b"\r\n\r\n")[2])


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


def over(run, url, script, **options):
    """Run a script of exchanges over one transport."""

    async def main():
        async with VaultTransport(url, timeouts=BRISK, **options) as transport:
            return await script(transport)

    return run(main())


def test_a_client_of_httpx_works_over_the_line(run):
    """Posting and getting through `httpx.AsyncClient` give ordinary responses."""

    async def script(transport):
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            posted = await client.post(server.url + "/tokens", json={"a": 1})
            got = await client.get(server.url + "/tokens/x", params={"b": "2"})
            return posted.content, got.status_code, got.headers["content-type"]

    with RawServer(echo) as server:
        posted, status, kind = over(run, server.url, script)

    assert (posted, status, kind) == (b'{"a":1}', 200, "application/json")
    assert server.requests[1].startswith(b"GET /tokens/x?b=2 HTTP/1.1\r\n")


def test_a_redirect_is_an_answer_like_any_other(run):
    """The line never follows, so a card number goes to the configured vault only."""

    def behave(talk: Conversation) -> None:
        while talk.read_request():
            talk.answer(b"", "307 Temporary Redirect", b"location: /elsewhere\r\n")

    async def script(transport):
        return await transport.exchange(request(1))

    with RawServer(behave) as server:
        answer = over(run, server.url, script)

    assert answer.status == 307
    assert [request(1)] == server.requests


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"url": "http://127.0.0.1:1/tokens"}, httpx.UnsupportedProtocol),
        ({"url": "https://localhost/tokens"}, httpx.UnsupportedProtocol),
        ({"headers": {"x": "a\r\nb: c"}}, httpx.LocalProtocolError),
    ],
)
def test_a_request_for_elsewhere_or_with_a_line_break_is_not_sent(run, change, kind):
    """Another origin, or a field that would split the request, is refused here."""

    async def script(transport):
        options = {"method": "POST", "url": server.url + "/tokens", "content": b"{}"} | change
        with pytest.raises(kind) as caught:
            await transport.handle_async_request(httpx.Request(**options))
        return caught.value

    with RawServer(answer_all) as server:
        failure = over(run, server.url, script)

    assert proves_not_sent(failure)
    assert server.requests == []


def test_timeouts_of_a_request_are_obeyed(run):
    """A request's own read timeout ends it, whatever the line was built with."""

    async def script(transport):
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(server.url, timeout=httpx.Timeout(None, read=0.2))

    with RawServer(lambda talk: (talk.read_request(), talk.hang())) as server:
        over(run, server.url, script)
        server.over.set()
