"""A vault and an API host that do next to nothing: tokens, and customers who keep their cards.

    python -m tests.bench.attach_stub [--latency-ms L]

It prints its address when it listens. Nothing is checked; a token is never used up.
"""

import argparse
import asyncio
import itertools
import re
import signal

import uvloop

from tests.bench.stub import ANSWER, CARD, MONTH, YEAR
from tests.support.http_vault import VaultProtocol

TOKEN = re.compile(rb'"card":"tokn_test_0*(\d+)"')
CUSTOMER = re.compile(rb"cust_test_0*(\d+)")
INNER = re.compile(rb'"card":(\{.*?\}),"created_at"')
ACCOUNT = (
    b'{"object":"account","id":"account_test_stub","livemode":false,"team":"team_x",'
    b'"api_version":"2019-05-29","webhook_uri":null}'
)
WHOLE = (
    b'{"object":"customer","id":"cust_test_%019d","livemode":false,"location":null,'
    b'"deleted":false,"metadata":{},"cards":{"object":"list","data":[%s],"total":%d},'
    b'"default_card":"card_test_%019d","description":null,"email":null,'
    b'"created_at":"2026-01-01T00:00:00Z"}'
)


CARDS = {}
"""A card's object by its number."""
CUSTOMERS = []
"""The numbers of the cards on each customer."""


class Stub(VaultProtocol):
    """One connection; what it keeps is everybody's."""

    serials = itertools.count(1)

    def on_url(self, url):
        self._path = url

    def on_message_complete(self):
        method = self._parser.get_method()
        if self._path == b"/tokens":
            self.later(self.reply, 200, self._token(self._body))
        elif self._path == b"/account":
            self.later(self.reply, 200, ACCOUNT)
        elif method == b"GET" and b"/cards/" in self._path:
            number = int(self._path.rpartition(b"_")[2])
            self.later(self.reply, 200, CARDS[number])
        elif method == b"GET":
            self.later(self.reply, 404, b"{}")
        else:
            self.later(self.reply, 200, self._customer())

    def _token(self, body):
        serial = next(self.serials)
        digits = CARD.search(body)[1][-4:]
        month, year = int(MONTH.search(body)[1]), int(YEAR.search(body)[1])
        answer = ANSWER % (serial, serial, digits, month, year)
        CARDS[serial] = INNER.search(answer)[1]
        return answer

    def _customer(self):
        card, known = int(TOKEN.search(self._body)[1]), CUSTOMER.search(self._path)
        if known is None:
            CUSTOMERS.append([])
        number = len(CUSTOMERS) - 1 if known is None else int(known[1]) - 1
        theirs = CUSTOMERS[number]
        theirs.append(card)
        shown = b",".join(CARDS[one] for one in theirs)
        return WHOLE % (number + 1, shown, len(theirs), theirs[0])


async def _serve(latency_s):
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: Stub(latency_s), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await over.wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--latency-ms", type=float, default=0.0)
    uvloop.run(_serve(options.parse_args().latency_ms / 1000))
