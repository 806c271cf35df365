"""What a ledger in PostgreSQL takes for many rows: planning, opening and publishing them.

    python -m tests.bench.many_rows [--rows 200000] [--sqlite] [--folder DIR]

Each step is a process of its own, so that its memory is its own; rows are settled in between, by SQL
for whole ranges, which says nothing of how fast rows are sent. Seconds and rows a second are by the
clock, memory is what is resident when three tenths of a step's time are over, at nine tenths, and at
most. `opening` is the proof of all of the ledger with which a run begins where it is not noted that
nobody wrote to it since the last one; `again` is a publication when nothing new is there.
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

from sqlalchemy import text

from pipeline import __version__
from pipeline.clock import milliseconds
from pipeline.ledger.last_close import NOTE_NAME
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.records import row_id
from pipeline.outputs.publisher import publish
from tests.support import postgres
from tests.support.ledgers import URL_NAME, Builder, StepClock, place_of

EARLIER, LATER = datetime(2026, 11, 20, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
RANGE_ROWS = 100_000
_HERE = "WHERE id BETWEEN :first AND :last"
_NO_RULES = text("SET LOCAL session_replication_role = replica")
_SENT = text(f"UPDATE rows SET state = 'sent' {_HERE}")
# Only words of our own are put together here.
# ruff: noqa: S608
# What one attempt a row leaves behind; every twentieth card is one that the vault has seen before.
_FILLS = tuple(
    map(
        text,
        (
            f"""INSERT INTO attempts (id, row_id, number, epoch, at_ms)
            SELECT id - :base, id, 1, :epoch, :at_ms + (id - :base) % 10000 FROM rows {_HERE}""",
            f"""INSERT INTO outcomes
                (attempt_id, kind, evidence, request_id, latency_us, at_ms)
            SELECT id - :base, 'ok', 'token', 'req-' || CAST(id - :base AS text),
                18000 + (id - :base) * 7919 % 25000, :at_ms + (id - :base) % 10000
            FROM rows {_HERE}""",
            f"UPDATE rows SET state = 'tokenized', attempts = 1 {_HERE}",
            f"""INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country,
                livemode, created_s, epoch)
            SELECT id, 'tokn_test_' || CAST(1000000000000000000 + id AS text),
                'card_test_' || CAST(1000000000000000000 + id AS text), brand,
                'a fingerprint of 44 characters ' || CAST(1000000000000 + id - :base
                    - CASE WHEN id % 20 = 0 THEN 1 ELSE 0 END AS text),
                CASE id % 4 WHEN 0 THEN 'jp' WHEN 1 THEN NULL ELSE 'th' END,
                0, :at_ms / 1000, :epoch
            FROM rows {_HERE}""",
        ),
    )
)


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
    """Give every row a token by statements for whole ranges, with the ledger's rules in force."""
    builder = builder_in(folder, LATER)
    builder.begin("settle")
    ledger = builder.ledger
    # A server's rules are put aside for the fill; the publication proves all of it first.
    ahead = _NO_RULES if ledger.store.has_server else _SENT
    for start in range(1, rows + 1, RANGE_ROWS):
        about = {
            "first": row_id(1, start),
            "last": row_id(1, min(rows, start + RANGE_ROWS - 1)),
            "base": row_id(1, 0),
            "epoch": ledger.epoch,
            "at_ms": milliseconds(builder.clock) + start // 10,
        }
        with ledger.transaction() as connection:
            for statement in (ahead, *_FILLS):
                connection.execute(statement, about)
    builder.end(0)
    ledger.close()


def opening(folder, _rows):
    (folder / NOTE_NAME).unlink()
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
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
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
