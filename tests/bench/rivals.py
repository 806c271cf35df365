"""What a user would write instead: bare aiohttp (the floor) and an afternoon's script.

`python -m tests.bench.rivals floor|script URL CARDS.csv IN_FLIGHT` prints seconds and CPU seconds.
Neither decrypts, validates beyond Luhn, keeps a ledger or can resume.
"""

import asyncio
import csv
import json
import sys
import time

import aiohttp
import httpx
import orjson
import pandas as pd
import tenacity
import uvloop

AUTHORIZATION = {"Authorization": "Basic cGtleV90ZXN0X3g6"}
FIELDS = ("name", "number", "expiration_month", "expiration_year", "city")


def luhn_fits(number):
    """The check digit, one digit at a time."""
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in number[-2::-2])
    return (sum(map(int, number[-1::-2])) + sum(doubled)) % 10 == 0


async def floor(url, cards, in_flight):
    """Post every card with aiohttp and read the answers; nothing else."""
    with open(cards, newline="") as file:  # noqa: ASYNC230, PTH123 - read before the clock starts.
        bodies = iter(
            [
                orjson.dumps({"card": {name: row[name] for name in FIELDS}})
                for row in csv.DictReader(file)
            ]
        )
    connector = aiohttp.TCPConnector(limit=in_flight)
    headers = {**AUTHORIZATION, "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def work():
            for body in bodies:
                async with session.post(f"{url}/tokens", data=body) as answer:
                    assert orjson.loads(await answer.read())["object"] == "token"

        with measured():
            await asyncio.gather(*(work() for _ in range(in_flight)))


async def script(url, cards, in_flight):
    """Pandas chunks, httpx, tenacity, a semaphore, and Parquet at the end."""
    made, gate = [], asyncio.Semaphore(in_flight)
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_random_exponential(0.2, max=10),
        retry=tenacity.retry_if_exception_type(httpx.HTTPError),
    )
    async with httpx.AsyncClient(auth=("pkey_test_x", ""), limits=limits, timeout=30) as client:

        async def post(row):
            card = {name: getattr(row, name) for name in FIELDS}
            answer = await client.post(f"{url}/tokens", json={"card": card})
            answer.raise_for_status()
            return answer.json()["id"]

        async def work(row):
            async with gate:
                made.append((row.legacy_id, await retrying(post, row)))

        with measured():
            for chunk in pd.read_csv(cards, dtype=str, chunksize=5000, keep_default_na=False):
                good = chunk[chunk["number"].map(luhn_fits)]
                await asyncio.gather(*(work(row) for row in good.itertuples(index=False)))
            frame = pd.DataFrame(made, columns=["legacy_id", "token_id"])
            frame.to_parquet(f"{cards}.parquet")


class measured:  # noqa: N801 - reads as a word where it is used.
    """Prints seconds and CPU seconds of its block as JSON."""

    def __enter__(self):
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        seconds, cpu = self._start
        print(json.dumps([time.perf_counter() - seconds, time.process_time() - cpu]))


if __name__ == "__main__":
    which, url, cards, in_flight = sys.argv[1:]
    uvloop.run({"floor": floor, "script": script}[which](url, cards, int(in_flight)))
