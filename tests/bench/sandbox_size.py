"""Times a sandbox that holds 100,000 customers with cards: `POST /customers` and a list of 100.

Run it on an idle machine: `python -m tests.bench.sandbox_size [FILE]`; with FILE the state is kept
there. Marks: a customer in under 3 ms, a list in under 50 ms.
"""

import sys
import time
from pathlib import Path

from pipeline.sandbox.opening import open_router
from pipeline.sandbox.options import Options
from tests.support.sandbox import RouterClient

CUSTOMERS = 100_000
TRIES = 50


def main(path=None):
    with open_router(Options(db=path and Path(path), tokens_max=10_000)) as router:
        vault = RouterClient(router)
        began = time.perf_counter()
        for _ in range(CUSTOMERS):
            make(vault)
        filled_s = time.perf_counter() - began
        print(
            f"filled: {filled_s / CUSTOMERS * 1000:.3f} ms a token and its customer, checks and all"
        )
        print(f"POST /customers: {median(lambda: customer(router, vault)):.2f} ms")
        for offset in (0, CUSTOMERS - 200):
            query = f"/customers?limit=100&offset={offset}".encode()
            print(f"a list of 100 from {offset}: {median(lambda q=query: page(vault, q)):.1f} ms")


def make(vault):
    vault.ask("POST", "/customers", {"card": vault.token()["id"], "email": "a@example.com"})


def customer(_router, vault):
    token = vault.token()["id"]
    return timed(lambda: vault.ask("POST", "/customers", {"card": token}))


def page(vault, query):
    return timed(lambda: vault.ask("GET", query.decode()))


def timed(call):
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def median(measure):
    return sorted(measure() for _ in range(TRIES))[TRIES // 2]


if __name__ == "__main__":
    main(*sys.argv[1:])
