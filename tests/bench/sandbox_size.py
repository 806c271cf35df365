"""Times a sandbox that holds 100,000 customers with cards: `POST /customers` and a list of 100.

    python -m tests.bench.sandbox_size [--db] [--customers 100000]

With `--db` the state is kept in a file. Marks of issue 13: a customer in under 3 ms, a list in
under 50 ms, wherever in the list. Measure on a machine that does nothing else.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from pipeline.sandbox.accounts import DEFAULT_PUBLIC_KEY, DEFAULT_SECRET_KEY
from pipeline.sandbox.opening import open_router
from pipeline.sandbox.options import Options
from pipeline.sandbox.router import Request
from tests.support.sandbox import basic, card

TRIES = 50
CUSTOMER_MS_MAX, LIST_MS_MAX = 3.0, 50.0


def main(customers, path=None):
    with open_router(Options(db=path, tokens_max=2 * TRIES)) as router:
        vault = Client(router)
        began = time.perf_counter()
        for _ in range(customers):
            make(vault)
        filled_s = time.perf_counter() - began
        print(
            f"filled in {filled_s:.0f} s: {filled_s / customers * 1000:.3f} ms a token and customer"
        )
        told("POST /customers", CUSTOMER_MS_MAX, lambda: customer(vault))
        for offset in (0, customers // 2, max(customers - 200, 0)):
            query = f"limit=100&offset={offset}".encode()
            told(f"a list of 100 from {offset:,}", LIST_MS_MAX, lambda q=query: page(vault, q))


def told(what, mark_ms, measure):
    """Print the median of a request, its mark, and the part of it that it takes."""
    took_ms = sorted(measure() for _ in range(TRIES))[TRIES // 2]
    print(f"{what}: {took_ms:.2f} ms, mark {mark_ms:g} ms, ratio {took_ms / mark_ms:.2f}")


class Client:
    """Asks a router without any socket; unlike the tests' client it checks no answer's shape."""

    def __init__(self, router):
        self._router = router
        self._keys = {
            path: basic(key).encode()
            for path, key in {
                "/tokens": DEFAULT_PUBLIC_KEY,
                "/customers": DEFAULT_SECRET_KEY,
            }.items()
        }

    def ask(self, method, path, params=None, query=b""):
        reply = self._router.answer(
            Request(
                method=method,
                path=path,
                query=query,
                body=b"" if params is None else json.dumps(params).encode(),
                content_type=b"application/json",
                authorization=self._keys[path],
                version=b"2019-05-29",
                address="127.0.0.1",
            )
        )
        assert reply.status == 200, reply
        return reply.shown

    def token(self):
        return self.ask("POST", "/tokens", {"card": card()})


def make(vault):
    params = {"card": vault.token()["id"], "email": "a@example.com"}
    return vault.ask("POST", "/customers", params)


def customer(vault):
    token = vault.token()["id"]
    return timed(lambda: vault.ask("POST", "/customers", {"card": token}))


def page(vault, query):
    return timed(lambda: vault.ask("GET", "/customers", query=query))


def timed(call):
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--db", action="store_true")
    options.add_argument("--customers", type=int, default=100_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        main(chosen.customers, Path(place) / "state" if chosen.db else None)
