"""Measure how many tokens a second one sandbox process makes, and how much memory it takes.

    python -m tests.bench.sandbox [--tokens 50000] [--connections 32] [-- SANDBOX OPTIONS]

The sandbox runs as a process of its own; this process keeps CONNECTIONS keep-alive connections
busy, one request at a time on each, with requests built beforehand (JSON, Basic authentication).
Every answer's status is looked at. The same with wrk, which needs a script for the POST:

    wrk -t1 -c32 -d10s -s post.lua http://127.0.0.1:8787/tokens
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import psutil
import uvloop

from tests.support.sandbox import basic, card, spawned


def request_bytes(sandbox):
    body = json.dumps({"card": card(security_code="123", city="Bangkok")}).encode()
    head = (
        "POST /tokens HTTP/1.1\r\nHost: vault\r\nContent-Type: application/json\r\n"
        f"Authorization: {basic(sandbox.public_key)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Caller(asyncio.Protocol):
    """Sends the next request when an answer is whole."""

    def __init__(self, work, request, done):
        self.work, self.request, self.done = work, request, done
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        if self.work["left"] <= 0:
            self.transport.close()
            return
        self.work["left"] -= 1
        self.transport.write(self.request)

    def data_received(self, received):
        self.buffer += received
        head, blank, body = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        if len(body) < length:
            return
        self.work["ok"] += head.startswith(b"HTTP/1.1 200")
        self.buffer = b""
        self.send()

    def connection_lost(self, _error):
        self.done.release()


async def load(sandbox, tokens, connections):
    """Make tokens; give how many succeeded and how long it took."""
    work = {"left": tokens, "ok": 0}
    done = asyncio.Semaphore(0)
    request = request_bytes(sandbox)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(work, request, done), *sandbox.address)
    for _ in range(connections):
        await done.acquire()
    return work["ok"], time.perf_counter() - started


def measure(tokens, connections, options):
    """Run one measurement.

    Returns:
        Creations; creations a second; creations a second of the sandbox's own processor time, which
        hardly depends on what else a machine does; resident megabytes.
    """
    with spawned(*options) as sandbox:
        ok, took = uvloop.run(load(sandbox, tokens, connections))
        process = psutil.Process(sandbox.process.pid)
        worked = process.cpu_times()
        return ok, ok / took, ok / (worked.user + worked.system), process.memory_info().rss / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("options", nargs="*", help="options of cardferry sandbox, after --")
    given = parser.parse_args()
    ok, rate, own, resident = measure(given.tokens, given.connections, given.options)
    sys.stdout.write(
        f"{ok} tokens, {rate:.0f} a second, {own:.0f} a second of the sandbox's processor time, "
        f"{resident:.0f} MB resident\n"
    )


if __name__ == "__main__":
    main()
