"""Measures pass 1 alone: rows a second of `check` (opening, reading, rules, plan) on one core.

    python -m tests.bench.pass1 [--rows 200000] [--turns 3] [--profile]

The export is sealed, so decryption counts: it runs in a process of its own, whose time is added.
Rows a second of processor time, the best of the turns; the marks of issue 12 stand beside them.
"""

import argparse
import cProfile
import gc
import json
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path

from pipeline import startup
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.metrics import Listeners
from pipeline.migration.check import CheckRequest, profile
from tests.support.commands import HEADER, rows_csv, sealed, settings

MARKS = {"csv": 100_000, "jsonl": 30_000, "json": 30_000}


def as_json(plain, form):
    """Give the rows of a CSV export as JSON."""
    names = HEADER.split(",")
    objects = [
        json.dumps(dict(zip(names, line.split(","), strict=True)))
        for line in plain.decode().splitlines()[1:]
    ]
    if form == "jsonl":
        return "\n".join([*objects, ""]).encode()
    return ("[" + ",\n".join(objects) + "]").encode()


def cpu_s():
    """Give the processor time of this process and of those that it waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def measured(form, rows, turns, *, profiled):
    """Give rows a second of processor time and of the clock, the best turn of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = rows_csv(rows)
        export = sealed(folder, plain if form == "csv" else as_json(plain, form))
        config = settings(folder, "http://127.0.0.1:9")
        loaded = load_settings(config, {})
        best = [0.0, 0.0]
        for _ in range(turns):
            profiler = cProfile.Profile(time.process_time) if profiled else None
            before, began = cpu_s(), time.perf_counter()
            if profiler:
                profiler.enable()
            figures = profile(CheckRequest([export]), *loaded, SystemClock(), Listeners())
            if profiler:
                profiler.disable()
                pstats.Stats(profiler).sort_stats("cumtime").print_stats("pipeline|executemany", 75)
            took = (cpu_s() - before, time.perf_counter() - began)
            assert figures["rows"] == rows
            best = [max(one, rows / seconds) for one, seconds in zip(best, took, strict=True)]
    return best


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--form", choices=MARKS, action="append")
    options.add_argument("--profile", action="store_true")
    asked = options.parse_args()
    gc.set_threshold(*startup.SEARCHES_FOR_CYCLES)
    for form in asked.form or MARKS:
        by_cpu, by_clock = measured(form, asked.rows, asked.turns, profiled=asked.profile)
        print(
            f"{form:6} {by_cpu:>9,.0f} rows/s of processor time, {by_clock:>9,.0f} by the clock "
            f"(at least {MARKS[form]:,})"
        )


if __name__ == "__main__":
    sys.exit(main())
