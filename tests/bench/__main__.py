"""Floor, peer and pipeline side by side on this machine, in the same minute; prints ratios.

    python -m tests.bench [--rows 100000] [--in-flight 64] [--rounds 5]

The pipeline's time is that of the whole `cardferry run`: start of Python, decryption, both passes,
ledger, Parquet and report included. `sending` is the part between the first and the last send, as
the report tells it. The floor and the peer read a plain file and keep nothing. Measure on a machine
that does nothing else.
"""

import argparse
import compileall
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from tests.support.commands import cardferry, rows_csv, sealed, settings

PACKAGE = Path(__file__).parents[2] / "pipeline"
SCRIPT_ROWS = 10_000
SCRIPT_IN_FLIGHT = (10, 64)
CPU_IN_FLIGHT = (16, 64, 256)
LATENCY_MS, LATENCY_IN_FLIGHT = 200, 256


class Speed(NamedTuple):
    """What one run of the pipeline came to."""

    whole: float
    """Rows a second of the whole command."""
    sending: float
    """Rows a second between the first and the last send."""
    cpu_us: float
    """Microseconds of CPU a row, of the command and its children."""


@contextmanager
def stub(latency_ms=0.0):
    """Run the stub vault and give its address."""
    command = [sys.executable, "-m", "tests.bench.stub", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def rival(which, url, cards, rows, in_flight):
    """Give rows a second of one of the rivals."""
    words = [which, url, cards, in_flight]
    command = [sys.executable, "-m", "tests.bench.rivals", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return rows / json.loads(done.stdout.splitlines()[-1])[0]


def pipeline(url, folder, export, rows, in_flight):
    """Carry the export once."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "out"
    config = settings(folder, url, f"in_flight_max = {in_flight}", "chunk_rows = 5000")
    before, started = children_cpu_s(), time.perf_counter()
    words = ["run", export, "-c", config, "-o", out, "--set", "flow.rate_per_s=1000000", "-q"]
    cardferry(*words, afresh=True)
    seconds, cpu_s = time.perf_counter() - started, children_cpu_s() - before
    assert pq.read_metadata(out / "mapping.parquet").num_rows == rows
    report = json.loads((out / "report.json").read_text("utf-8"))
    return Speed(rows / seconds, report["runs"][-1]["statistics"]["rows_per_s"], 1e6 * cpu_s / rows)


def children_cpu_s():
    """Give the processor time of all commands that have ended, and of what they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(turn, cards, small, export, rows, in_flight):
    """Measure floor, script and pipeline against one stub and give the ratios."""
    with stub() as url:
        floor = rival("floor", url, cards, rows, in_flight)
        script = max(rival("script", url, small, SCRIPT_ROWS, n) for n in SCRIPT_IN_FLIGHT)
        speed = pipeline(url, cards.parent, export, rows, in_flight)
    say(
        f"round {turn}: floor {floor:,.0f}/s, script {script:,.0f}/s, "
        f"pipeline {speed.whole:,.0f}/s, of it sending {speed.sending:,.0f}/s"
    )
    return speed.whole / floor, speed.sending / floor, speed.whole / script


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--in-flight", type=int, default=64)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    rows, in_flight = chosen.rows, chosen.in_flight
    # As installing does; else each command would compile what changed, where Python may not write.
    compileall.compile_dir(PACKAGE, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cards, small = folder / "cards.csv", folder / "small.csv"
        cards.write_bytes(rows_csv(rows))
        small.write_bytes(rows_csv(SCRIPT_ROWS))
        export = sealed(folder, cards.read_bytes())
        ratios = [
            compare(turn, cards, small, export, rows, in_flight)
            for turn in range(1, chosen.rounds + 1)
        ]
        with stub() as url:
            cpu = {n: pipeline(url, folder, export, rows, n).cpu_us for n in CPU_IN_FLIGHT}
        with stub(latency_ms=LATENCY_MS) as url:
            late = pipeline(url, folder, export, rows, LATENCY_IN_FLIGHT)
    whole, sending, script = (statistics.median(column) for column in zip(*ratios, strict=True))
    say(f"whole command / floor        {whole:.2f}")
    say(f"sending / floor              {sending:.2f}")
    say(f"whole command / best script  {script:.1f}")
    for n, cpu_us in cpu.items():
        say(f"CPU a row at {n:3} in flight   {cpu_us:.0f} us")
    share = late.sending / (LATENCY_IN_FLIGHT / (LATENCY_MS / 1000))
    say(f"sending at {LATENCY_MS} ms, {LATENCY_IN_FLIGHT} in flight  {share:.2f} of what can be")


def say(line):
    """Print a result."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
