"""Measures what a command costs before it works: processor time of starts, and of a run of 100 rows.

    python -m tests.bench.start [--turns 20]

Seconds of user and system time, the least of so many turns, so that a neighbour on the machine
counts little; the marks of issue 15 stand beside them. The sum of a run includes its decryptor.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.cli.commands import COMMANDS
from tests.bench.__main__ import children_cpu_s, stub
from tests.support.commands import ROOT, rows_csv, sealed, settings

STARTS = (("--help", 0.12), ("--version", 0.10))
RUN_MAX_S = 1.0


def cpu_s(words):
    """Give the processor time of one command and of the processes that it started."""
    before = children_cpu_s()
    command = [sys.executable, "-m", "pipeline", *map(str, words)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
    return children_cpu_s() - before


def runs(turns):
    """Give the processor time of a fresh run of 100 rows, and of the same run again."""
    with tempfile.TemporaryDirectory() as name, stub() as url:
        folder = Path(name)
        export = sealed(folder, rows_csv(100))
        config = settings(folder, url, "in_flight_max = 16")
        for turn in range(turns):
            words = ["run", export, "-c", config, "-o", folder / f"out-{turn}", "-q"]
            words += ["--set", "flow.rate_per_s=100000"]
            yield cpu_s(words), cpu_s(words)


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--turns", type=int, default=20)
    turns = options.parse_args().turns
    for words, most in STARTS:
        least = min(cpu_s(words.split()) for _ in range(turns))
        print(f"{words:20} {least:.3f} s" + (f" (at most {most})" if most else ""))
    helps = {name: min(cpu_s([name, "--help"]) for _ in range(turns)) for name in COMMANDS}
    slowest = max(helps, key=helps.get)
    print(f"{'slowest command help':20} {helps[slowest]:.3f} s ({slowest})")
    fresh, again = (min(column) for column in zip(*runs(max(turns // 4, 2)), strict=True))
    print(f"{'fresh run, 100 rows':20} {fresh:.3f} s (at most {RUN_MAX_S})")
    print(f"{'the same run again':20} {again:.3f} s")


if __name__ == "__main__":
    main()
