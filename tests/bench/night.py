"""Measures what a night costs at so many settled rows: one that brings nothing, and 100 new rows.

    python -m tests.bench.night [--rows 500000] [--turns 5] [--folder FOLDER]

First as whole commands, by the clock: `run` of 100 new rows, the same again, `inbox` of a folder
that holds nothing new, `status`; medians of so many turns. Then in processor time, in one process
that has loaded everything: `opening` is the proof that nobody changed the ledger, `publishing` all
that is written. The marks of issue 15 stand beside them. The bytes of what is made of rows must be
the same after a night without new ones. The settled rows take long to make: with `--folder` they
stay there and are found again, some hundred more than before. Measure on a machine that does nothing
else.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pipeline import __version__
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.migration.status import status_of
from pipeline.outputs.publisher import publish
from tests.bench.__main__ import stub
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.ledgers import StepClock, new_builder, settled_builder

NOTHING_S, NEW_ROWS_S, STATUS_S = 1.5, 3.0, 0.4
NEW_ROWS = 100
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def measured(work):
    """Give the seconds of processor time that something takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def nothing_new(folder):
    """Open the ledger for a run, end it and publish; give both parts' seconds."""
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        known, facts = ledger.recall("settings_digest"), {"operator": "bench"}
        opening = measured(lambda: ledger.begin_run(f"night-{time.time_ns()}", facts, known))
        ledger.end_run(0, {})
        return opening, measured(lambda: publish(ledger, folder, __version__))


def settled(folder, rows):
    """Make so many settled rows and publish them; give the seconds of publishing."""
    with closing(settled_builder(folder, rows).ledger) as ledger:
        return measured(lambda: publish(ledger, folder, __version__))


def new_rows(folder):
    """Open the ledger, settle 100 rows and publish, as the next night does; give the seconds of publishing."""
    builder = new_builder(folder)
    builder.tokens_made = time.time_ns()
    name = f"top-up-{time.time_ns()}"
    builder.begin(name)
    builder.settle(builder.plan(name, NEW_ROWS, first=time.time_ns()))
    builder.end(0)
    with closing(builder.ledger):
        return measured(lambda: publish(builder.ledger, folder, __version__))


def made_of_rows(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in {".parquet", ".csv"}
    }


def clocked(*words):
    """Give the seconds that one whole command takes, start of Python included."""
    begun = time.perf_counter()
    cardferry(*words, afresh=True, timeout=600)
    return time.perf_counter() - begun


def commands(aside, folder, turns):
    """Run each command of a night so often; give what it is called, its mark and its seconds."""
    inbox = aside / "inbox"
    inbox.mkdir()
    with stub() as url:
        config = settings(aside, url, "in_flight_max = 16")
        asked = ("-c", config, "-o", folder, "-q")
        # No two measurings of a kept folder bring the same rows.
        new, again, first = [], [], int(time.time()) * 1_000
        for turn in range(turns):
            plain = rows_csv(NEW_ROWS, seed=first + turn, first=first + turn * NEW_ROWS)
            export = sealed(aside, plain, f"night-{turn}.csv.pgp")
            new.append(clocked("run", export, *asked))
            before = made_of_rows(folder)
            again.append(clocked("run", export, *asked))
            assert before == made_of_rows(folder)
        yield "`run` of 100 new rows", NEW_ROWS_S, new
        yield "`run`, nothing new", NOTHING_S, again
        yield "`inbox`, nothing new", NOTHING_S, [clocked("inbox", inbox, *asked) for _ in new]
    yield "`status`", STATUS_S, [clocked("status", folder) for _ in new]


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--folder", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (chosen.folder or Path(name)) / f"settled-{chosen.rows}"
        if not folder.is_dir():
            print(
                f"first publication        {settled(folder, chosen.rows):7.2f} s of processor time"
            )
        print(f"{chosen.rows:,} settled rows, whole commands:", flush=True)
        for called, most, seconds in commands(Path(name), folder, chosen.turns):
            print(f"{called:24} {statistics.median(seconds):7.2f} s (at most {most})", flush=True)
        topped_up = new_rows(folder)
        before = made_of_rows(folder)
        opening, publishing = nothing_new(folder)
        assert before == made_of_rows(folder)
        status = measured(lambda: status_of(folder, StepClock(LATER)))
    print("in processor time, of one process that has loaded everything:")
    print(f"publishing 100 new rows  {topped_up:7.2f} s")
    print(f"a night of nothing new   {opening + publishing:7.2f} s")
    print(f"  of it opening          {opening:7.2f} s")
    print(f"  of it publishing       {publishing:7.2f} s")
    print(f"status                   {status:7.2f} s")


if __name__ == "__main__":
    main()
