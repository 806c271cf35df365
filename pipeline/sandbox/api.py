"""Speaks ASGI: reads a request, lets the router answer it, answers wrongly by the script."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.sandbox.fault_answers import HAVE_IDS, altered, encoded, instead_of_work
from pipeline.sandbox.http_protocol import drop, reset, transport_of
from pipeline.sandbox.refusals import body_too_large, internal_error
from pipeline.sandbox.router import Request, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipeline.sandbox.faults import Script
    from pipeline.sandbox.router import Reply, Router

Message = dict[str, Any]
_DRAINED_BYTES_MAX: Final = 64 * 1024 * 1024
_REASONS: Final = {
    status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus
}
_ALWAYS: Final = [(b"server", b"cardferry-sandbox"), (b"cache-control", b"no-cache, no-store")]
_ON_SUCCESS: Final = [
    (b"strict-transport-security", b"max-age=31536000; includeSubdomains; preload"),
    (b"vary", b"Accept-Encoding"),
]
_OF_THE_VAULT: Final = [
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-xss-protection", b"1; mode=block"),
]
_OF_THE_API: Final = [(b"content-type", b"application/json; charset=utf-8")]


class Scripts(NamedTuple):
    """The faults of `/tokens`, and those of everything else; they may be one script."""

    vault: Script
    api: Script

    def take(self, path: str) -> str:
        """Give the letter of the request that has just arrived for a path."""
        return (self.vault if path.startswith("/tokens") else self.api).take()


class _HalfSent(Exception):
    """A request that never came whole: nothing may be done for it."""


class Application:
    """The sandbox as an ASGI application.

    Args:
        router: What answers.
        scripts: The faults.
        latency_s: Seconds that every answer takes at least.
        late_s: How late the fault `Z` does its work, in seconds.
        body_bytes_max: Bytes that a body may have.
    """

    def __init__(
        self,
        router: Router,
        scripts: Scripts,
        *,
        latency_s: float,
        late_s: float,
        body_bytes_max: int,
    ) -> None:
        self._router = router
        self._scripts = scripts
        self._latency_s = latency_s
        self._late_s = late_s
        self._body_bytes_max = body_bytes_max
        self._last_ids: dict[str, str] = {}
        self._hanging: set[asyncio.Transport] = set()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        arrived = time.perf_counter()
        # A look at the root only asks whether somebody is there; it is no request to either API.
        letter = "." if scope["path"] == "/" else self._scripts.take(scope["path"])
        try:
            body = await self._read(scope, receive)
        except _HalfSent:
            return
        if letter in "RH":
            await self._abandon(scope, receive, hangs=letter == "H")
            return
        if letter == "Z":
            drop(transport_of(scope))
            await asyncio.sleep(self._late_s)
            self._answer(scope, body, letter)
            return
        reply, raw = self._answer(scope, body, letter)
        if self._latency_s:
            await asyncio.sleep(self._latency_s - (time.perf_counter() - arrived))
        if letter == "D":
            drop(transport_of(scope))
            await _until_gone(receive)
            return
        headers = _headers(reply, raw, time.perf_counter() - arrived, is_page=letter == "J")
        if body is None:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": raw})

    def release(self) -> None:
        """Hang up on every client that a fault keeps hanging, so that the server can stop."""
        for transport in self._hanging:
            transport.abort()

    def _answer(self, scope: Message, body: bytes | None, letter: str) -> tuple[Reply, bytes]:
        is_vaults = scope["path"].startswith("/tokens")
        reply = instead_of_work(letter, is_vaults=is_vaults)
        if reply is None:
            reply = self._work(scope, body, is_vaults=is_vaults)
        kind = reply.shown.get("object", "")
        shown = altered(letter, reply.shown, self._last_ids.get(kind))
        if kind in HAVE_IDS and letter not in "DTZ":
            self._last_ids[kind] = shown["id"]
        return reply, encoded(letter, shown)

    def _work(self, scope: Message, body: bytes | None, *, is_vaults: bool) -> Reply:
        if body is None:
            return refused(body_too_large(), is_vaults=is_vaults)
        try:
            return self._router.answer(_request(scope, body))
        except Exception as error:  # noqa: BLE001 - a bug must not show what the request held.
            _print_bug(error)
            return refused(internal_error(), is_vaults=is_vaults)

    async def _read(
        self, scope: Message, receive: Callable[[], Awaitable[Message]]
    ) -> bytes | None:
        """Read the body; None when it is over the limit.

        A body that is too large is read and thrown away, so that the client gets to see the
        answer; beyond a second limit it is not. One that waits for `100 Continue` never gets it.

        Raises:
            _HalfSent: The client went away in the middle of it.
        """
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        too_large = length.isdigit() and int(length) > self._body_bytes_max
        if too_large and headers.get(b"expect", b"").lower() == b"100-continue":
            return None
        body = bytearray()
        taken = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _HalfSent
            part = message.get("body", b"")
            taken += len(part)
            if taken <= self._body_bytes_max:
                body += part
            if not message.get("more_body") or taken > _DRAINED_BYTES_MAX:
                return bytes(body) if taken <= self._body_bytes_max else None

    async def _abandon(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], *, hangs: bool
    ) -> None:
        """Never answer: reset the connection, or hang until the client gives up."""
        transport = transport_of(scope)
        if not hangs:
            reset(transport)
        self._hanging.add(transport)
        try:
            await _until_gone(receive)
        finally:
            self._hanging.discard(transport)


async def _until_gone(receive: Callable[[], Awaitable[Message]]) -> None:
    """Wait until the connection is closed, so that nobody answers in our place."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _request(scope: Message, body: bytes) -> Request:
    found = {b"content-type": b"", b"authorization": b"", b"omise-version": b""}
    for name, value in scope["headers"]:
        if name in found:
            found[name] = value
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        body=body,
        content_type=found[b"content-type"],
        authorization=found[b"authorization"],
        version=found[b"omise-version"],
        address=scope["client"][0] if scope.get("client") else "",
    )


def _headers(
    reply: Reply, raw: bytes, took_s: float, *, is_page: bool
) -> list[tuple[bytes, bytes]]:
    """Give the recorded headers: the vault's differ from the API's, errors carry fewer."""
    headers = [
        *_ALWAYS,
        (b"status", _REASONS[reply.status]),
        (b"x-request-id", str(uuid.uuid4()).encode()),
        (b"x-runtime", b"%.6f" % took_s),
        (b"content-length", str(len(raw)).encode()),
    ]
    if is_page:
        headers.append((b"content-type", b"text/html; charset=utf-8"))
    else:
        headers += _OF_THE_VAULT if reply.is_vaults else _OF_THE_API
    if reply.status == HTTPStatus.OK:
        headers += _ON_SUCCESS
    if reply.version:
        headers.append((b"omise-version", reply.version.encode()))
    if reply.wait_s is not None:
        headers.append((b"retry-after", str(reply.wait_s).encode()))
    return headers


def _print_bug(error: Exception) -> None:
    """Say on stderr what kind of bug it was and where; its message could hold a card number."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    sys.stderr.write(f"sandbox: {type(error).__name__} in {place.name}, line {place.lineno}\n")
