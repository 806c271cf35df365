"""The connection of the vaults that tests write themselves; they differ in what they answer."""

from __future__ import annotations

import asyncio

import httptools


class VaultProtocol(asyncio.Protocol):
    """One connection; whoever derives from it answers the cards.

    Args:
        latency_s: How long every answer takes.
    """

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._body = b""

    def card_came(self, body: bytes) -> None:
        """Take in the body of a `POST`; answer it with `reply`, now or later."""
        raise NotImplementedError

    def reply(self, status: int, body: bytes, fields: dict[bytes, bytes] | None = None) -> None:
        head = b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\n" % status
        head += b"".join(b"%s: %s\r\n" % pair for pair in (fields or {}).items())
        if not self._transport.is_closing():
            self._transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    def later(self, call, *arguments) -> None:
        """Call something once the latency is over, or at once where there is none."""
        if self._latency_s:
            asyncio.get_running_loop().call_later(self._latency_s, call, *arguments)
        else:
            call(*arguments)

    def connection_made(self, transport):
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data):
        self._parser.feed_data(data)

    def on_message_begin(self):
        self._body = b""

    def on_body(self, body):
        self._body += body

    def on_message_complete(self):
        if self._parser.get_method() == b"GET":
            # The look before the first card, which makes nothing.
            self.reply(404, b"{}")
        else:
            self.card_came(self._body)
