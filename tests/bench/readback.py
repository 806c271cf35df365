"""Reads many customers back: requests, seconds, memory, and whether every difference is found.

    python -m tests.bench.readback [--rows 100000]

Each customer has one card. One card is deleted at the vault, one expiration changed, one customer
of ours made that the ledger does not know. Marks of issue 13: 100,000 customers in at most 1,100
requests with flat memory: the peak grows by no more than 10 MB from 30,000 rows on, where a row
group of the output is full; three tenths of the rows are read back first. Measure on a machine
that does nothing else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.bench.attach import written
from tests.support.attach_runs import AttachRun
from tests.support.sandbox import spawned

REQUESTS_A_ROW = 1_100 / 100_000
GROWTH_MB_MAX = 10
LOOK_EVERY_S = 0.05


def command(out, *words):
    """Run a command that prints into a file; give its wall seconds, peak in MB and exit code.

    The peak is the kernel's own of the process's memory after its start: what `wait4` tells counts
    the memory of whoever started it, too.
    """
    begun, peak = time.perf_counter(), 0
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *map(str, words)], stdout=file
        )
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            with suppress(OSError, StopIteration):
                lines = status.read_text().splitlines()
                peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
            time.sleep(LOOK_EVERY_S)
    return time.perf_counter() - begun, peak / 1024, process.returncode


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
    """Attach so many cards, spoil three things, read all back; give the peak of reading in MB."""
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
        took_s, peak, code = command(told, *words)
        print(f"attached {rows:,} cards in {took_s:.0f} s, peak {peak:.0f} MB, exit code {code}")
        assert code == 0
        spoil(work)
        words = ("readback", work.out, "--all", "--json", "-q", *rules)
        took_s, peak, code = command(told, *words)
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
    return peak


def main(folder, rows):
    peaks = []
    for part in (rows * 3 // 10, rows):
        here = folder / f"{part}"
        here.mkdir()
        peaks.append(measured(here, part))
    growth = peaks[1] - peaks[0]
    print(f"memory grows by {growth:.1f} MB from three tenths on, mark {GROWTH_MB_MAX} MB")


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        main(Path(place), chosen.rows)
