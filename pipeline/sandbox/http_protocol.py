"""Gives uvicorn's HTTP protocol two more abilities: to reset a connection and to drop it.

ASGI has no word for either, so the connection's transport rides in the scope as an extension.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.sandbox.refusals import bad_request

if TYPE_CHECKING:
    import asyncio

_EXTENSION: Final = "sandbox.transport"
_OFFER: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_LINGER_FOR_NOTHING: Final = struct.pack("ii", 1, 0)


class SandboxProtocol(HttpToolsProtocol):
    """Shows every request the transport it came by, and answers junk with an error object."""

    def data_received(self, data: bytes) -> None:
        """Take bytes, with an offer to change the protocol declined.

        Java's own client offers HTTP/2 with its first request, and the parser would take that
        request's body for the new protocol's first bytes.
        """
        if b"pgrade" in data:
            head, blank, rest = data.partition(b"\r\n\r\n")
            data = _OFFER.sub(b"\r\ndeclined:", head) + blank + rest
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request, with its transport in the scope."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with an error object instead of a text, and hang up."""
        body = orjson.dumps(bad_request(msg.rstrip(".").lower()).body())
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def transport_of(scope: dict[str, Any]) -> asyncio.Transport:
    """Give the transport that a request came by.

    Raises:
        ConnectionResetError: There is none, as when the application is called without a socket.
    """
    extension = scope.get("extensions", {}).get(_EXTENSION)
    if extension is None:
        raise ConnectionResetError
    transport: asyncio.Transport = extension["transport"]
    return transport


def reset(transport: asyncio.Transport) -> None:
    """Send a RST: what a client sees when the vault's machine dies."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_FOR_NOTHING)
    transport.abort()


def drop(transport: asyncio.Transport) -> None:
    """Send a FIN and no answer: what a client sees when the vault hangs up."""
    transport.close()
