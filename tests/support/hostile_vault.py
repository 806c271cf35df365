"""A vault that hates single cards: what it answers depends on the cardholder's name.

A name that ends with `poison-403`, `-404`, `-302`, `-429` (with a Retry-After of a second),
`-echo` (the number in the fingerprint) or `-bad` (400 bad_request) is answered so, every time;
`-brand` gets a token with a brand of the vault's own spelling; all others a token.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench.stub import ANSWER, CARD, MONTH, YEAR
from tests.support.http_vault import VaultProtocol

POISON = re.compile(rb"poison-([a-z0-9]+)")
ERROR = b'{"object":"error","code":"%s","message":"no"}'
PAUSE = {b"retry-after": b"1"}


@dataclass
class Seen:
    """What came, by what it was: `good`, or the poison's name; and the digits under way."""

    url: str = ""
    port: int = 0
    requests: Counter = field(default_factory=Counter)
    under_way: Counter = field(default_factory=Counter)
    most_alike: int = 0
    good_since: float | None = None
    good_until: float = 0.0


class Hostile(VaultProtocol):
    """One connection."""

    serials = itertools.count(1)

    def __init__(self, seen: Seen, latency_s: float, healed: frozenset[str]) -> None:
        super().__init__(latency_s)
        self._healed = healed
        self._seen = seen

    def card_came(self, body):
        poison = POISON.search(body)
        what = poison[1].decode() if poison else "good"
        what = "good" if what in self._healed else what
        self._seen.requests[what] += 1
        if what == "good":
            self._seen.good_until = time.monotonic()
            self._seen.good_since = self._seen.good_since or self._seen.good_until
        number = CARD.search(body)[1]
        alike = number[-4:], MONTH.search(body)[1], YEAR.search(body)[1]
        self._seen.under_way[alike] += 1
        self._seen.most_alike = max(self._seen.most_alike, self._seen.under_way[alike])
        self.later(self._answer, what, number, alike)

    def _answer(self, what, number, alike):
        self._seen.under_way[alike] -= 1
        self.reply(*self._decide(what, number, alike))

    def _decide(self, what, number, alike):
        if what == "bad":
            return 400, ERROR % b"bad_request", {}
        if what.isdigit():
            return int(what), ERROR % b"no", PAUSE if what == "429" else {b"location": b"/"}
        serial = next(self.serials)
        digits, month, year = alike
        answer = json.loads(ANSWER % (serial, serial, digits, int(month), int(year)))
        if what == "echo":
            answer["card"]["fingerprint"] = f"fingerprint-{number.decode()}"
        if what == "brand":
            answer["card"]["brand"] = "House Brand"
        return 200, json.dumps(answer).encode(), {}


@contextmanager
def hostile_vault(latency_s=0.005, healed=(), port=0):
    """Run the vault in a thread, without the hatreds that are healed; give what it has seen."""
    seen, loop, over = Seen(), asyncio.new_event_loop(), threading.Event()

    async def main():
        server = await loop.create_server(
            lambda: Hostile(seen, latency_s, frozenset(healed)), "127.0.0.1", port, backlog=512
        )
        seen.port = server.sockets[0].getsockname()[1]
        seen.url = f"http://127.0.0.1:{seen.port}"
        over.set()
        await stop.wait()
        server.close()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    over.wait(10)
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
