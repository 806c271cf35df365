"""A vault that does next to nothing, so that a figure measures the client and not the server.

Every request gets a new token for the number in its body; nothing is checked or kept.

    python -m tests.bench.stub [--latency-ms L] [--rate 20,5,40 [--every 120]]

It prints its address when it listens. With `--rate` it admits so many requests a second, changing
to the next rate every so many seconds from the first request on, and answers the rest 429 without
a Retry-After; ended by SIGTERM it prints one JSON list, [seconds since the first request,
whether it was admitted] for every request.
"""

import argparse
import asyncio
import itertools
import json
import re
import signal
import time

import uvloop

from tests.support.http_vault import VaultProtocol
from tests.support.quota_vault import Bucket

CARD = re.compile(rb"number[^0-9]*(\d{12,19})")
MONTH = re.compile(rb"expiration_month[^0-9]*(?:5D=)?(\d{1,2})\b")
YEAR = re.compile(rb"expiration_year[^0-9]*(?:5D=)?(\d{4})")
ANSWER = (
    b'{"object":"token","id":"tokn_test_%019d","livemode":false,"location":null,"used":false,'
    b'"charge_status":"unknown","card":{"object":"card","id":"card_test_%019d","livemode":false,'
    b'"location":null,"deleted":false,"city":"Bangkok","country":"th","financing":"credit",'
    b'"bank":"STUB","brand":"Visa","fingerprint":"c3R1YnN0dWJzdHVic3R1YnN0dWJzdHVic3R1YnN0dWI=",'
    b'"first_digits":null,"last_digits":"%s","name":"STUB","expiration_month":%d,'
    b'"expiration_year":%d,"security_code_check":false,"tokenization_method":null,'
    b'"created_at":"2026-01-01T00:00:00Z"},"created_at":"2026-01-01T00:00:00Z"}'
)
NOTHING = b'{"object":"error","code":"not_found","message":"nothing is here"}'
REFUSAL = b'{"object":"error","code":"too_many_requests","message":"too many requests"}'


class Gate:
    """Admits what a schedule of rates allows and remembers every request."""

    def __init__(self, rates, every_s):
        self._bucket = Bucket([(number * every_s, rate) for number, rate in enumerate(rates)])
        self._started = None
        self.seen = []

    def admits(self):
        if self._started is None:
            self._started = time.monotonic()
        at = time.monotonic() - self._started
        admitted = self._bucket.admit(at)
        self.seen.append((round(at, 6), admitted))
        return admitted


class Stub(VaultProtocol):
    """One connection."""

    # No two stubs make the same token.
    serials = itertools.count(time.time_ns())

    def __init__(self, latency_s, gate=None):
        super().__init__(latency_s)
        self._gate = gate

    def card_came(self, body):
        if self._gate is not None and not self._gate.admits():
            self.later(self.reply, 429, REFUSAL)
            return
        serial = next(self.serials)
        digits = CARD.search(body)[1][-4:]
        month, year = int(MONTH.search(body)[1]), int(YEAR.search(body)[1])
        self.later(self.reply, 200, ANSWER % (serial, serial, digits, month, year))


async def _serve(latency_s, gate):
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: Stub(latency_s, gate), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await over.wait()
    server.close()
    if gate is not None:
        print(json.dumps(gate.seen), flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--latency-ms", type=float, default=0.0)
    options.add_argument("--rate", help="requests a second; several, with commas, take turns")
    options.add_argument("--every", type=float, default=120.0, help="seconds that a rate lasts")
    chosen = options.parse_args()
    schedule = [float(rate) for rate in chosen.rate.split(",")] if chosen.rate else []
    limit = Gate(schedule, chosen.every) if schedule else None
    uvloop.run(_serve(chosen.latency_ms / 1000, limit))
