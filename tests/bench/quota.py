"""What `cardferry run` makes of a vault's quota, known or hidden, in real time; prints the marks.

    python -m tests.bench.quota [--case known|hidden|moving|low] [--latency-ms 20] [--in-flight 64]
                                [--carriers N]

The whole command runs against a stub that admits a rate (a bucket of a tenth of a second's worth,
one at least), says 429 to the rest and gives no hint when to come back. Requests are counted where
they arrive. All four take a quarter of an hour, nearly all of it asleep; a machine that is busy
with something else delays sends and arrivals, and the figures suffer for it.

With `--carriers` so many processes share the rate, and a ledger in PostgreSQL: `known` or `hidden`, a
minute and a half each. Another carrier joins in the middle; later the first one, which knows most of
the vault's limit, is told to leave, and the run starts one in its place.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from pipeline.ledger.ledger_url import POINTER_NAME, pointer_of
from tests.support import leftovers, postgres
from tests.support.commands import ROOT, rows_csv, sealed, settings
from tests.support.ledgers import URL_NAME
from tests.support.quota_vault import Bucket, Traffic

START_S = 12.0
"""Time for the command to start and prove its export, before the first request; carriers start, too."""


STEP_S = 5


class Case(NamedTuple):
    """A quota, what the settings say of it, and the marks to reach between two instants."""

    rates: tuple[float, ...]
    rate_per_s: float
    since: float
    until: float
    goodput: float
    refused: float
    every_s: float = 120.0
    over_rate: float | None = None
    """No window of one second holds more sends than `rate_per_s` and this."""
    joins_at: float | None = None
    """When another carrier joins, and `leaves_at` when the first one leaves, once all are there."""
    leaves_at: float | None = None


CASES = {
    "known": Case((50,), 50, 5, 65, 0.97, 0.0, over_rate=2),
    "hidden": Case((20,), 500, 30, 150, 0.92, 0.03),
    "moving": Case((20, 5, 40), 500, 30, 360, 0.88, 0.04),
    "low": Case((3,), 500, 30, 150, 0.80, 0.08),
}
BY_CARRIERS = {
    # Each of five may send one more than its part within any second.
    "known": Case((50,), 50, 30, 90, 0.97, 0.0, over_rate=5, joins_at=20, leaves_at=40),
    "hidden": Case((20,), 500, 30, 90, 0.90, 0.03, joins_at=20, leaves_at=40),
}


@contextmanager
def stub(case, latency_ms):
    """Run the stub vault; give its address and a list that holds every request once it is over."""
    words = ["--latency-ms", latency_ms, "--every", case.every_s]
    words += ["--rate", ",".join(map(str, case.rates))]
    command = [sys.executable, "-m", "tests.bench.stub", *map(str, words)]
    seen = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process.stdout.readline().strip(), seen
        finally:
            process.terminate()
            seen += json.loads(process.stdout.read() or "[]")


def run(case, folder, url, in_flight, more=()):
    """Run the command long enough, then stop it; give its exit code."""
    lasts_s = case.until + START_S
    export = sealed(folder, rows_csv(round(1.1 * max(case.rates) * lasts_s)))
    config = settings(folder, url, f"in_flight_max = {in_flight}")
    words = ["run", export, "-c", config, "-o", folder / "out", "-q", *more]
    words += ["--set", f"flow.rate_per_s={case.rate_per_s}"]
    command = [sys.executable, "-m", "pipeline", *map(str, words)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, **quiet) as process:
        if more:
            come_and_go(case, process, folder / "out", config, more[1])
        try:
            return process.wait(lasts_s - (case.leaves_at or 0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            return process.wait(60)


def come_and_go(case, run, out, config, carriers):
    """Once all carriers are there let another one join, and later the first one leave."""
    while run.poll() is None and len(live_carriers(out)) < carriers:
        time.sleep(0.2)
    time.sleep(case.joins_at)
    words = [sys.executable, "-m", "pipeline", "carry", "-c", config, "-o", out, "-q"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(list(map(str, words)), cwd=ROOT, **quiet)
    time.sleep(case.leaves_at - case.joins_at)
    live = live_carriers(out)
    print(f"{len(live)} carriers, and the first one leaves", flush=True)
    os.kill(live[0], signal.SIGTERM)


def live_carriers(out):
    """Give the process numbers of the carriers at work, in the order in which they came."""
    if not (out / POINTER_NAME).exists():
        return []
    schema = pointer_of(out).schema
    with psycopg.connect(os.environ[URL_NAME], autocommit=True) as connection:
        if not connection.execute("SELECT to_regclass(%s)", (f"{schema}.sessions",)).fetchone()[0]:
            return []
        connection.execute(f'SET search_path = "{schema}"')
        asked = "SELECT origin FROM sessions WHERE state = 'live' ORDER BY id"
        found = connection.execute(asked).fetchall()
    return [int(origin.rpartition(":")[2]) for (origin,) in found]


def measured(case, seen):
    """Give goodput as a share of the quota, the share of 429s, and the fullest second."""
    bucket = Bucket([(number * case.every_s, rate) for number, rate in enumerate(case.rates)])
    traffic = Traffic(
        [at for at, _ in seen],
        [at for at, admitted in seen if admitted],
        [at for at, admitted in seen if not admitted],
        bucket,
    )
    return (
        traffic.goodput(case.since, case.until),
        traffic.refused_share(case.since, case.until),
        traffic.most_in_a_second(),
    )


def judged(name, case, latency_ms, in_flight, more=()):
    """Run one case, print its figures, and say whether it reached its marks."""
    with tempfile.TemporaryDirectory() as folder, stub(case, latency_ms) as (url, seen):
        started = time.monotonic()
        code = run(case, Path(folder), url, in_flight, more)
        took_s = time.monotonic() - started
    if code not in {0, 128 + signal.SIGTERM} or not seen or seen[-1][0] < case.until - 1:
        print(f"{name:8} no figures: ended with exit code {code} after {took_s:.0f} s", flush=True)
        return False
    goodput, refused, most = measured(case, seen)
    good = goodput >= case.goodput and refused <= case.refused
    line = f"{name:8} {goodput:6.1%} of the quota (mark {case.goodput:.0%})"
    line += f", {refused:.1%} refused (mark {case.refused:.0%})"
    if case.over_rate is not None:
        mark = case.rate_per_s + case.over_rate
        good = good and most <= mark
        line += f", {most} sends in the fullest second (mark {mark:.0f})"
    print(line + ("" if good else "  MISSED"), flush=True)
    if not good:
        print(f"         every {STEP_S} s: {' '.join(timeline(case, seen))}", flush=True)
    return good


def timeline(case, seen):
    """Give what was admitted, and behind a sign what was refused, step by step."""
    for start in range(0, int(case.until), STEP_S):
        here = [admitted for at, admitted in seen if start <= at < start + STEP_S]
        yield f"{sum(here)}-{len(here) - sum(here)}"


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--case", action="append", choices=CASES, help="only this; repeatable")
    options.add_argument("--latency-ms", type=float, default=20.0)
    options.add_argument("--in-flight", type=int, default=64)
    options.add_argument("--carriers", type=int)
    chosen = options.parse_args()
    results = []
    cases = BY_CARRIERS if chosen.carriers else CASES
    for name in chosen.case or cases:
        more = []
        if chosen.carriers:
            os.environ[URL_NAME] = postgres.server().database("quota")
            more = ["--carriers", chosen.carriers, "--set", "flow.chunk_rows=50"]
        results.append(judged(name, cases[name], chosen.latency_ms, chosen.in_flight, more))
    leftovers.remove_all()
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
