"""Measures how fast `cardferry scan` reads a migration folder and a text log, and what it finds.

    python -m tests.bench.scan [--rows 430000] [--folder PATH] [--log-mb 100] [--before]

Megabytes a second of processor time and by the clock; the marks of issue 15 stand beside them, and
the folder of 430,000 rows has 200 MB. A folder that is there already is measured as it is; one that
is not is made there and stays. With `--before` the search that was replaced is measured too, and
both must find the same.
"""

import argparse
import json
import tempfile
import time
from contextlib import closing
from pathlib import Path
from random import Random

from pipeline import __version__
from pipeline.cards import scan
from pipeline.outputs.publisher import publish
from tests.support.ledgers import settled_builder
from tests.support.reference_scan import scan_parquet, scan_sqlite, scan_streams

FOLDER_MB_S, LOG_MB_S = 60, 150


def log_lines(random):
    """Give a log of a few megabytes, as programs write them."""
    for number in range(50_000):
        yield json.dumps(
            {
                "at": f"2026-11-23T22:54:{number % 60:02d}.{number % 1000:03d}Z",
                "level": random.choice(("info", "debug", "warning")),
                "event": "a card was sent",
                "in_flight": number % 64,
                "rate": round(random.random(), 3),
            }
        )


def measured(path):
    """Give the findings of a search and megabytes a second, of processor time and by the clock."""
    totals, begun, clock = scan.ScanTotals(), time.process_time(), time.perf_counter()
    found = sorted((f.place, f.encoding, f.last_digits) for f in scan.scan([path], totals))
    size = totals.bytes / 1e6
    told = (
        f"{size:7.1f} MB {size / (time.process_time() - begun):7.1f} MB/s of processor time, "
        f"{size / (time.perf_counter() - clock):7.1f} by the clock, {len(found)} found"
    )
    return found, told


def make_folder(folder, rows):
    """Publish a migration of so many rows."""
    with closing(settled_builder(folder, rows).ledger) as ledger:
        ledger.attend("bench", "here:1")
        publish(ledger, folder, __version__)


def use_the_search_before():
    scan.search_parquet = scan_parquet.search_parquet
    scan.search_sqlite = scan_sqlite.search_sqlite
    scan.search_stream = scan_streams.search_stream
    scan.search_packed = scan_streams.search_packed


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=430_000)
    options.add_argument("--folder", type=Path)
    options.add_argument("--log-mb", type=int, default=100)
    options.add_argument("--before", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, log = chosen.folder or Path(name) / "out", Path(name) / "run.log"
        if not folder.exists():
            make_folder(folder, chosen.rows)
        lines = "\n".join(log_lines(Random(1))).encode() + b"\n"
        log.write_bytes(lines * (chosen.log_mb * 1_000_000 // len(lines) + 1))
        marks = ((folder, "migration folder", FOLDER_MB_S), (log, "text log", LOG_MB_S))
        now = {what: measured(path) for path, what, _ in marks}
        for _, what, least in marks:
            print(f"{what:17} {now[what][1]} (at least {least})")
        if chosen.before:
            use_the_search_before()
            for path, what, _ in marks:
                found, told = measured(path)
                print(f"{what:17} {told} before")
                assert found == now[what][0], what


if __name__ == "__main__":
    main()
