"""Tokens alone against tokens on customers, side by side on this machine; prints the ratio.

    python -m tests.bench.attach [--rows 20000] [--rounds 3]
    python -m tests.bench.attach --paced [--rows 600]

Marks of issue 13: on a loopback vault that costs nothing, attaching runs at 0.45 of the rows a
second of tokens alone or better; at rate 5 with 10 a second for the API host and 200 ms an answer
(`--paced`) it takes 1 % more wall time at most. Three cards in ten are a customer's second.
Measure on a machine that does nothing else.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.support.attach_runs import HEADER
from tests.support.cards import card_number

RATIO_MIN, MORE_MAX = 0.45, 0.01


@contextmanager
def stub(latency_ms):
    words = [sys.executable, "-m", "tests.bench.attach_stub", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def written(folder, rows, customers=None):
    """Write an export of so many rows, for so many customers."""
    customers = customers or max(1, rows * 7 // 10)
    dice = Random(1)
    numbers = [card_number(dice) for _ in range(rows)]
    lines = [
        f"id-{n},c{n % customers},,,Holder {n},{number},{n % 12 + 1},2031,"
        for n, number in enumerate(numbers)
    ]
    path = folder / "cards.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")
    return path


def seconds(folder, url, export, *flow, attach):
    """Give the wall seconds of a whole `cardferry run`."""
    rules = [
        f'vault.url="{url}"',
        "vault.public_key=pkey_test_x",
        "export.allow_plaintext=true",
        "export.columns.legacy_id=id",
        "export.columns.expiration_month=exp_month",
        "export.columns.expiration_year=exp_year",
        *flow,
    ]
    if attach:
        rules += ["export.columns.customer=owner", f'attach.url="{url}"']
        rules += ["attach.secret_key=skey_test_x"]
    words = [word for rule in rules for word in ("--set", rule)]
    out = folder / f"out-{time.monotonic_ns()}"
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipeline", "run", export, "-o", out, "-q", "--yes", *words],
        check=True,
    )
    return time.perf_counter() - begun


def at_full_speed(folder, rows, rounds):
    """Print rows a second of both, and the ratio."""
    export = written(folder, rows)
    flow = ("flow.rate_per_s=100000", "flow.in_flight_max=64", "attach.rate_per_s=100000")
    speeds = {False: [], True: []}
    for _ in range(rounds):
        for attach in (False, True):
            with stub(0) as url:
                used = flow if attach else flow[:2]
                speeds[attach].append(rows / seconds(folder, url, export, *used, attach=attach))
    alone, both = (statistics.median(speeds[attach]) for attach in (False, True))
    print(f"tokens alone {alone:,.0f} rows/s, on customers {both:,.0f} rows/s")
    print(f"ratio {both / alone:.2f}, mark {RATIO_MIN} or more")


def at_a_pace(folder, rows):
    """Print wall seconds of both, and how much more attaching takes."""
    export = written(folder, rows)
    took = []
    for attach in (False, True):
        flow = ["flow.rate_per_s=5", *(["attach.rate_per_s=10"] if attach else [])]
        with stub(200) as url:
            took.append(seconds(folder, url, export, *flow, attach=attach))
    more = took[1] / took[0] - 1
    print(f"tokens alone {took[0]:.1f} s, on customers {took[1]:.1f} s")
    print(f"{more:+.1%} wall time, mark {MORE_MAX:.0%} or less")


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--paced", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if chosen.paced:
            at_a_pace(Path(place), chosen.rows or 600)
        else:
            at_full_speed(Path(place), chosen.rows or 20_000, chosen.rounds)
