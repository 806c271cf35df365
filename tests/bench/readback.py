"""Reads many customers back: requests, seconds, memory, and whether every difference is found.

    python -m tests.bench.readback [--rows 100000]

Each customer has one card. One card is deleted at the vault, one expiration changed, one customer
of ours made that the ledger does not know. Marks of issue 13: 100,000 customers in at most 1,100
requests with flat memory: it grows by no more than 10 MB from where three tenths of the cards are
read to where all are. What writing the file takes after that has a bound of its own, a row group of
Parquet, and shows in the peak only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from pipeline.migration.readback_progress import PROGRESS_NAME
from tests.bench.attach import written
from tests.support.attach_runs import AttachRun
from tests.support.sandbox import spawned

REQUESTS_A_ROW = 1_100 / 100_000
GROWTH_MB_MAX = 10
LOOK_EVERY_S = 0.05


def command(out, *words, beside=None):
    """Run a command that prints into a file; give wall seconds, peak, exit code, and what was seen.

    The peak, in MB, is the kernel's own of the process's memory after its start: what `wait4` tells
    counts the memory of whoever started it, too. Seen are pairs of how long the file `beside` was
    and how many MB the process had then.
    """
    begun, peak, seen = time.perf_counter(), 0, []
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *map(str, words)], stdout=file
        )
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            with suppress(OSError, KeyError):
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                peak = int(lines["VmHWM"].split()[0]) / 1024
                if beside is not None:
                    now = int(lines["VmRSS"].split()[0]) / 1024
                    seen.append((beside.stat().st_size, now))
            time.sleep(LOOK_EVERY_S)
    return time.perf_counter() - begun, peak, process.returncode, seen


def growth(seen):
    """Give by how many MB the memory grew from three tenths of the longest file to nearly all."""
    longest = max(length for length, _ in seen)
    early = [mb for length, mb in seen if length <= 0.3 * longest]
    # Of a few rows nothing is seen between; there is no growth to tell then.
    late = [mb for length, mb in seen if 0.9 * longest <= length < longest] or early
    return max(late) - max(early)


def spoil(work):
    """Delete a card, change an expiration, and make a customer that bears our mark."""
    first, second, *_ = work.mapping()
    ask = work.sandbox.request
    ask("DELETE", f"/customers/{first['customer_id']}/cards/{first['card_id']}")
    path = f"/customers/{second['customer_id']}/cards/{second['card_id']}"
    ask("PATCH", path, json={"expiration_month": second["expiration_month"] % 12 + 1})
    mark = work.customer(second["customer_id"])["metadata"]["cardferry"]
    metadata = {"cardferry": mark.rpartition("/")[0] + "/0"}
    ask("POST", "/customers", json={"card": work.sandbox.token()["id"], "metadata": metadata})


def measured(folder, rows):
    """Attach so many cards, spoil three things, read all back; print what it took."""
    flow = (
        "vault.read_timeout_s=30",
        "flow.in_flight_max=64",
        "flow.rate_per_s=100000",
        "attach.rate_per_s=100000",
    )
    told = folder / "told"
    with spawned("--tokens-max", rows + 10, journal=folder / "journal") as vault:
        work = AttachRun(folder, vault, list(flow))
        export = written(folder, rows, customers=rows)
        rules = [word for rule in work.overrides() for word in ("--set", rule)]
        words = ("run", export, "-o", work.out, "-q", "--yes", *rules)
        took_s, peak, code, _ = command(told, *words)
        print(f"attached {rows:,} cards in {took_s:.0f} s, peak {peak:.0f} MB, exit code {code}")
        assert code == 0
        spoil(work)
        words = ("readback", work.out, "--all", "--json", "-q", *rules)
        beside = work.out / PROGRESS_NAME
        took_s, peak, code, seen = command(told, *words, beside=beside)
    found, most = json.loads(told.read_bytes()), max(rows * REQUESTS_A_ROW, 10)
    print(
        f"read {found['read']:,} back in {took_s:.0f} s with {found['requests']:,} requests "
        f"(mark {most:,.0f}, ratio {found['requests'] / most:.2f}), peak {peak:.0f} MB, "
        f"exit code {code}: {found['findings']}",
        flush=True,
    )
    # The customer whose only card is gone has no default any more, which the card's absence says.
    assert [found["findings"][name] for name in ("missing", "changed", "stranger")] == [1, 1, 1]
    assert (code, found["requests"] <= most) == (8, True)
    print(f"memory grows by {growth(seen):.1f} MB from three tenths on, mark {GROWTH_MB_MAX} MB")


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        measured(Path(place), chosen.rows)
