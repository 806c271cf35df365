"""Measures what is made and proved of all rows at once, beside what reading them takes.

    python -m tests.bench.whole_ledger [--rows 1000000] [--turns 3] [--folder FOLDER]

The ledger is copied and published for the first time, then verified; by turns SQLite compares every
index with its table (`integrity_check`) and Python takes up every row of every table, which is the
least that anybody needs who looks at all of them. Printed are seconds, peak memory, and how many
times as long as that least each takes. The settled rows take long to make: with `--folder` they stay
there and are found again. Measure on a machine that does nothing else.
"""

import argparse
import shutil
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from pipeline.ledger.ledger_url import LEDGER_NAME
from tests.bench.readback import command
from tests.support.ledgers import settled_builder

MEMORY_MB = 300
"""The mark that `tests/functional/test_publisher_scale.py` keeps for a million rows."""


def read_whole(file):
    """Give the seconds that it takes to check and take up all that is in a database."""
    begun = time.perf_counter()
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as driver:
        assert driver.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = driver.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in tables:
            # The names are the schema's own.
            rows = driver.execute(f'SELECT * FROM "{name}"')  # noqa: S608
            while rows.fetchmany(1_000):
                pass
    return time.perf_counter() - begun


def turn(made, folder):
    """Publish a copy and verify it; give the seconds of each and of reading, and the peaks in MB."""
    shutil.copytree(made, folder)
    figures = {}
    for word in ("publish", "verify"):
        seconds, peak, code, _ = command(folder.with_suffix(".txt"), word, folder)
        assert code == 0, (word, code)
        figures[word] = seconds, peak
    least = read_whole(folder / LEDGER_NAME)
    shutil.rmtree(folder)
    return figures, least


def main():
    """Print what each turn took, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = (given.folder or Path(name)) / "made"
        if not made.exists():
            settled_builder(made, given.rows).ledger.close()
        ratios = {"publish": [], "verify": []}
        for number in range(given.turns):
            figures, least = turn(made, Path(name, f"turn-{number}"))
            for word, (seconds, peak) in figures.items():
                ratios[word].append(seconds / least)
                over = "" if peak < MEMORY_MB else f" (over {MEMORY_MB})"
                print(f"{word} {seconds:.1f} s, {peak:.0f} MB{over}, ", end="")
            print(f"reading {least:.1f} s", flush=True)
        for word, found in ratios.items():
            print(f"{word}: {statistics.median(found):.2f} of reading all of it")


if __name__ == "__main__":
    main()
