"""What a ledger in PostgreSQL takes for many rows: planning, opening and publishing them.

    python -m tests.bench.many_rows [--rows 200000] [--sqlite] [--folder DIR]

Each step is a process of its own, so that its memory is its own; rows are settled in between, in big
commits, which is not measured. Seconds and rows a second are by the clock, memory is what is resident
when three tenths of a step's time are over, at nine tenths, and at most. `opening` is the proof of
all of the ledger with which every run begins, `again` a publication when nothing new is there.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pipeline import __version__
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.records import row_id
from pipeline.ledger.settling import Settling
from pipeline.outputs.publisher import publish
from tests.support import postgres
from tests.support.ledgers import BATCH_ROWS, URL_NAME, Builder, StepClock, batched, place_of

EARLIER, LATER = datetime(2026, 11, 20, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
RANGE_ROWS = 100_000


def builder_in(folder, moment=EARLIER):
    clock = StepClock(moment)
    return Builder(Ledger(place_of(folder), clock), clock)


def plan(folder, rows):
    """Plan an export of so many rows in a run of its own."""
    builder = builder_in(folder)
    builder.begin("plan")
    builder.plan("cards.csv.pgp", rows)
    builder.end(0)
    builder.ledger.close()


def settle(folder, rows):
    """Give every row a token, some ranges at a time, so that nobody has to hold all claims."""
    builder = builder_in(folder, LATER)
    builder.begin("settle")
    settling = Settling(builder.ledger, BATCH_ROWS)
    for start in range(1, rows + 1, RANGE_ROWS):
        claims = settling.claimable(row_id(1, start), row_id(1, start + RANGE_ROWS - 1))
        for block in batched(claims, BATCH_ROWS):
            intents = [settling.intent(claim.id, 1) for claim in block]
            settling.apply(intents)
            pairs = zip(block, intents, strict=True)
            settling.apply([builder._settlement(*pair, 0, 0, 0) for pair in pairs])
    builder.end(0)
    builder.ledger.close()


def opening(folder, _rows):
    with closing(Ledger(place_of(folder), StepClock(LATER))) as ledger:
        ledger.verify()


def publishing(folder, _rows):
    with closing(Ledger(place_of(folder), StepClock(LATER))) as ledger:
        ledger.attend("bench", "here:1", files=False)
        publish(ledger, folder, __version__)


STEPS = {
    "plan": plan,
    "settle": settle,
    "publishing": publishing,
    "opening": opening,
    "again": publishing,
}


def resident_mb():
    """Give the memory that is resident now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def measured(name, folder, rows, answer):
    """Do a step in this process, and tell its seconds and its memory."""
    seen, over = [], threading.Event()

    def watch():
        while not over.wait(0.1):
            seen.append(resident_mb())

    watching = threading.Thread(target=watch)
    watching.start()
    begun = time.monotonic()
    try:
        STEPS[name](folder, rows)
    finally:
        took_s = time.monotonic() - begun
        over.set()
        watching.join()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    seen = seen or [most]
    answer.send((took_s, seen[len(seen) * 3 // 10], seen[len(seen) * 9 // 10], most))


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--sqlite", action="store_true", help="for comparison")
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="cfpg-", dir=chosen.folder))
    server = None
    if not chosen.sqlite:
        # On the disk, as it has to be: in memory a commit would cost nothing.
        server = postgres.new_server(home)
        os.environ[URL_NAME] = server.database("bench")
    processes = multiprocessing.get_context("spawn")
    try:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            folder = Path(name) / "out"
            folder.mkdir(0o700)
            for step in STEPS:
                ours, theirs = processes.Pipe()
                process = processes.Process(
                    target=measured, args=(step, folder, chosen.rows, theirs)
                )
                process.start()
                theirs.close()
                took_s, early, late, most = ours.recv()
                process.join()
                print(
                    f"{step:>10} {took_s:8.1f} s {chosen.rows / took_s:10,.0f} rows/s"
                    f"  {early:6.0f} {late:6.0f} {most:6.0f} MB",
                    flush=True,
                )
    finally:
        if server is not None:
            server.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
