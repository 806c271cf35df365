"""Measures how fast `cardferry scan` reads a migration folder and a text log, and what it finds.

    python -m tests.bench.scan [--rows 100000] [--log-mb 100] [--before]

Megabytes a second of processor time on one core; the marks of issue 15 stand beside them. With
`--before` the search that was replaced is measured too, and both must find the same.
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
    """Give the findings of a search, the megabytes of what was searched and the seconds."""
    totals, begun = scan.ScanTotals(), time.process_time()
    found = sorted((f.place, f.encoding, f.last_digits) for f in scan.scan([path], totals))
    return found, totals.bytes / 1e6, time.process_time() - begun


def use_the_search_before():
    scan.search_parquet = scan_parquet.search_parquet
    scan.search_sqlite = scan_sqlite.search_sqlite
    scan.search_stream = scan_streams.search_stream
    scan.search_packed = scan_streams.search_packed


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--log-mb", type=int, default=100)
    options.add_argument("--before", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name) / "out", Path(name) / "run.log"
        with closing(settled_builder(folder, chosen.rows).ledger) as ledger:
            ledger.attend("bench", "here:1")
            publish(ledger, folder, __version__)
        lines = "\n".join(log_lines(Random(1))).encode() + b"\n"
        log.write_bytes(lines * (chosen.log_mb * 1_000_000 // len(lines) + 1))
        marks = ((folder, "migration folder", FOLDER_MB_S), (log, "text log", LOG_MB_S))
        now = {what: measured(path) for path, what, _ in marks}
        for _, what, least in marks:
            found, size, seconds = now[what]
            print(
                f"{what:17} {size:7.1f} MB {size / seconds:7.1f} MB/s (at least {least}), "
                f"{len(found)} found"
            )
        if chosen.before:
            use_the_search_before()
            for path, what, _ in marks:
                found, size, seconds = measured(path)
                print(f"{what:17} before: {size / seconds:7.1f} MB/s, {len(found)} found")
                assert found == now[what][0], what


if __name__ == "__main__":
    main()
