"""One exchange, or a script of them, over the transport, on both event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.transport import VaultTransport

if TYPE_CHECKING:
    from pipeline.vault.transport.answer_reader import Answer
    from tests.support.raw_server import Conversation

BRISK = Timeouts(connect=2, read=2, write=2, pool=2, total=4)
SMALL = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nHELLO"
HUGE_BODY = bytes(48 * 1024 * 1024)
HUGE = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(HUGE_BODY)
HUGE += HUGE_BODY


def request(number: int) -> bytes:
    body = b"%d" % number
    head = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def echo(talk: Conversation) -> None:
    """Answer each request with its own body."""
    while (message := talk.read_request()) is not None:
        talk.answer(message.partition(b"\r\n\r\n")[2])


def outcome(run, url, message=SMALL, timeouts=BRISK) -> BaseException | Answer:
    """Give what one exchange ended in."""

    async def attempt():
        async with VaultTransport(url, timeouts=timeouts) as transport:
            try:
                return await transport.exchange(message)
            except httpx.TransportError as failure:
                return failure

    return run(attempt())


def over(run, url, script, **options):
    """Run a script of exchanges over one transport."""

    async def main():
        async with VaultTransport(url, timeouts=BRISK, **options) as transport:
            return await script(transport)

    return run(main())
