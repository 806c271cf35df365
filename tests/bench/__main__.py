"""Floor, peer and pipeline side by side on this machine, in the same minute; prints ratios.

    python -m tests.bench [--rows 50000] [--in-flight 64] [--rounds 3]

The pipeline's time is that of the whole `cardferry run`, start of Python, decryption, both passes,
ledger and Parquet included; `sending` is the part between the first and the last send.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.commands import cardferry, rows_csv, sealed, settings


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
    """Give rows a second of the whole command and of its sending alone."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "out"
    config = settings(folder, url, f"in_flight_max = {in_flight}", "chunk_rows = 5000")
    started = time.perf_counter()
    cardferry("run", export, "-c", config, "-o", out, "--set", "flow.rate_per_s=1000000", "-q")
    seconds = time.perf_counter() - started
    assert pq.read_metadata(out / "mapping.parquet").num_rows == rows
    report = json.loads((out / "report.json").read_text("utf-8"))
    return rows / seconds, report["runs"][-1]["statistics"]["rows_per_s"]


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--in-flight", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    rows, in_flight = chosen.rows, chosen.in_flight
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = rows_csv(rows)
        cards = folder / "cards.csv"
        cards.write_bytes(plain)
        export = sealed(folder, plain)
        ratios = []
        for turn in range(1, chosen.rounds + 1):
            with stub() as url:
                floor = rival("floor", url, cards, rows, in_flight)
                fewer = min(rows, 10_000)
                small = folder / "small.csv"
                small.write_bytes(rows_csv(fewer))
                script = max(rival("script", url, small, fewer, n) for n in (10, 64))
                whole, sending = pipeline(url, folder, export, rows, in_flight)
            ratios.append((whole / floor, sending / floor, sending / script))
            say(
                f"round {turn}: floor {floor:,.0f}/s, script {script:,.0f}/s, "
                f"pipeline {sending:,.0f}/s sending, {whole:,.0f}/s whole"
            )
        with stub(latency_ms=200) as url:
            _, slow = pipeline(url, folder, export, rows, 256)
    columns = [statistics.median(column) for column in zip(*ratios, strict=True)]
    say(f"whole command / floor    {columns[0]:.2f}")
    say(f"sending / floor          {columns[1]:.2f}")
    say(f"sending / better script  {columns[2]:.1f}")
    say(f"256 in flight at 200 ms  {slow / (256 / 0.2):.2f} of what 256 can do")


def say(line):
    """Print a result."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
