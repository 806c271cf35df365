"""What a ledger in PostgreSQL costs one writer against SQLite, and what a second carrier brings.

    python -m tests.bench.carriers [--case writer|second] [--rows N] [--rounds R] [--folder DIR]

Whole commands send to a stub that notes when each request comes; counted is what comes between a
fifth and four fifths of all, so that neither start nor end matters. `writer`: 64 cards in flight at a
vault that answers at once, both ledgers in the same folder's file system, by turns; mark 0.8.
`second`: 32 cards in flight for each carrier at 50 ms latency, as C grows with the machines; mark 1.8.
Each round prints its ratio, and the last line the median of each case. Nothing else may run meanwhile.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.quota import Case, stub
from tests.support import postgres
from tests.support.commands import ROOT, rows_csv, sealed, settings
from tests.support.ledgers import URL_NAME

NO_LIMIT = Case((10_000_000,), 0, 0, 0, 0, 0)
MARKS = {"writer": 0.8, "second": 1.8}


def rows_per_s(folder, rows, words, *, latency_ms, url=None):
    """Run a command over so many rows; give how many a second came to the vault in its middle."""
    environment = {name: value for name, value in os.environ.items() if name != URL_NAME}
    with (
        tempfile.TemporaryDirectory(dir=folder) as made,
        stub(NO_LIMIT, latency_ms) as (vault, seen),
    ):
        place = Path(made)
        config = settings(place, vault, "chunk_rows = 500")
        command = ["run", sealed(place, rows_csv(rows)), "-c", config, "-o", place / "out", "-q"]
        subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, [*command, *words])],
            cwd=ROOT,
            env=environment if url is None else environment | {URL_NAME: url},
            check=True,
        )
    at = sorted(moment for moment, _ in seen)
    first, last = len(at) // 5, len(at) * 4 // 5
    return (last - first) / (at[last] - at[first])


def in_flight(count):
    return ["--set", f"flow.in_flight_max={count}"]


def writer(folder, rows, server):
    """Give the rows a second of one writer over SQLite, and over PostgreSQL."""
    url = server.database("bench")
    return [
        rows_per_s(folder, rows, in_flight(64), latency_ms=0, url=where) for where in (None, url)
    ]


def second(folder, rows, server):
    """Give the rows a second of one carrier, and of two with as many slots each."""
    return [
        rows_per_s(
            folder,
            rows * carriers,
            [*in_flight(32 * carriers), "--carriers", carriers],
            latency_ms=50,
            url=server.database("bench"),
        )
        for carriers in (1, 2)
    ]


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--case", action="append", choices=MARKS, help="only this; repeatable")
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = options.parse_args()
    # Where the other ledger is, too: in memory a commit would cost nothing.
    home = Path(tempfile.mkdtemp(prefix="cfpg-", dir=chosen.folder))
    server, is_good = postgres.new_server(home), True
    try:
        for name in chosen.case or MARKS:
            ratios = []
            for _ in range(chosen.rounds):
                before, after = globals()[name](chosen.folder, chosen.rows, server)
                ratios.append(after / before)
                print(
                    f"{name:8} {before:8.0f} {after:8.0f} rows/s  {after / before:.2f}", flush=True
                )
            median = statistics.median(ratios)
            is_good = is_good and median >= MARKS[name]
            print(f"{name:8} median {median:.2f} (mark {MARKS[name]})", flush=True)
    finally:
        server.remove()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
