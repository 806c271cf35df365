"""A vault that does next to nothing, so that a figure measures the client and not the server.

Every request gets a new token for the number in its body; nothing is checked or kept.
`python -m tests.bench.stub [--latency-ms L]` prints its address when it listens.
"""

import argparse
import asyncio
import itertools
import re

import httptools
import uvloop

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


class Stub(asyncio.Protocol):
    """One connection."""

    serials = itertools.count(1)

    def __init__(self, latency_s):
        self._latency_s = latency_s
        self._body = b""

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
        serial = next(self.serials)
        digits = CARD.search(self._body)[1][-4:]
        month, year = int(MONTH.search(self._body)[1]), int(YEAR.search(self._body)[1])
        answer = ANSWER % (serial, serial, digits, month, year)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        asyncio.get_running_loop().call_later(
            self._latency_s, self._answer, head % len(answer) + answer
        ) if self._latency_s else self._answer(head % len(answer) + answer)

    def _answer(self, message):
        if not self._transport.is_closing():
            self._transport.write(message)


async def _serve(latency_s):
    server = await asyncio.get_running_loop().create_server(
        lambda: Stub(latency_s), "127.0.0.1", 0, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--latency-ms", type=float, default=0.0)
    uvloop.run(_serve(options.parse_args().latency_ms / 1000))
