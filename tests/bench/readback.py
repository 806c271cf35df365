"""Reads many customers back: requests, seconds, memory, and whether every difference is found.

    python -m tests.bench.readback [--rows 100000]

Each customer has one card. One card is deleted at the vault, one expiration changed, one customer
of ours made that the ledger does not know. Marks of issue 13: 100,000 customers in at most 1,100
requests with flat memory (`peak` grows by no more than a few MB from a tenth of the rows on).
Measure on a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.attach import written
from tests.support.attach_runs import AttachRun
from tests.support.sandbox import spawned

REQUESTS_A_ROW = 1_100 / 100_000


def command(*words):
    """Run a command; give its standard output, its wall seconds and its peak in MB."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, words)], stdout=subprocess.PIPE
    )
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    return out, time.perf_counter() - begun, usage.ru_maxrss / 1024, process.returncode


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


def main(folder, rows):
    flow = ("flow.in_flight_max=64", "flow.rate_per_s=100000", "attach.rate_per_s=100000")
    with spawned("--tokens-max", rows + 10, journal=folder / "journal") as vault:
        work = AttachRun(folder, vault, list(flow))
        export = written(folder, rows, customers=rows)
        rules = [word for rule in work.overrides() for word in ("--set", rule)]
        _, took_s, peak, code = command("run", export, "-o", work.out, "-q", "--yes", *rules)
        print(f"attached {rows:,} cards in {took_s:.0f} s, peak {peak:.0f} MB, exit code {code}")
        spoil(work)
        words = ("readback", work.out, "--all", "--json", "-q", *rules)
        out, took_s, peak, code = command(*words)
        found = json.loads(out)
    print(
        f"read {found['read']:,} back in {took_s:.0f} s with {found['requests']:,} requests "
        f"(mark {max(rows * REQUESTS_A_ROW, 10):,.0f}), peak {peak:.0f} MB, exit code {code}"
    )
    print(found["findings"])
    is_found = [found["findings"][name] for name in ("missing", "changed", "stranger")]
    # The customer whose only card is gone has no default any more, which the card's absence says.
    assert is_found == [1, 1, 1], is_found
    assert found["requests"] <= max(rows * REQUESTS_A_ROW, 10)


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        main(Path(place), chosen.rows)
