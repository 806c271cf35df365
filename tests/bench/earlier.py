"""Compares the throughput of this tree with that of an earlier commit, by turns in the same minutes.

    python -m tests.bench.earlier [COMMIT] [--rows 100000] [--in-flight 64] [--rounds 7]

Each of the two is laid out as a folder with a virtual environment of its own, over the same
libraries, so that the code is all that differs: the commit as it stands, this one with whatever is
not committed yet. They carry the same export to the same stub, one after the other, and change
places every round. A round gives this tree's rows a second over the earlier one's: of the whole
`cardferry run`, between the first and the last send as the reports tell it, and for a second of
processor time. The exit code is 1 where the median of one of the first two is below 0.97. Measure
on a machine that does nothing else. The libraries have to include what the earlier commit needs.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

import pyarrow.parquet as pq

from tests.bench.__main__ import children_cpu_s, say, stub
from tests.support.commands import ROOT, rows_csv, sealed, settings

BEFORE_THE_ROOMS = "3bfc95c"
"""The last commit whose modules lay by floor, and not by subject."""
LEAST = 0.97
FIGURES = ("whole command", "sending", "processor time")
"""In rows a second; the last is what one core would carry, and only for machines that do more."""


def laid_out(folder, commit=None):
    """Lay out a commit, or what is there now, with an environment; give its Python and its folder."""
    tree, environment = folder / "tree", folder / "environment"
    tree.mkdir(parents=True)
    if commit is None:
        for name in ("pipeline", "configs", "sample_data"):
            shutil.copytree(ROOT / name, tree / name)
    else:
        archive = folder / "tree.tar"
        words = ["git", "archive", "--output", archive, commit]
        subprocess.run(words, check=True, cwd=ROOT)
        shutil.unpack_archive(archive, tree, filter="data")
    venv.create(environment)
    site = next((environment / "lib").glob("python*")) / "site-packages"
    # The decryptor's process ignores PYTHONPATH, but reads this.
    (site / "tree.pth").write_text(f"{tree}\n{sysconfig.get_path('purelib')}\n", "utf-8")
    return environment / "bin" / "python", tree


def carried(python, tree, words, out, rows):
    """Carry the export once; give rows a second: the whole command, sending alone, processor time."""
    command = [python, "-m", "pipeline", *words, "-o", out]
    started, used = time.perf_counter(), children_cpu_s()
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    seconds, used = time.perf_counter() - started, children_cpu_s() - used
    if done.returncode:
        sys.exit(f"{tree}: exit code {done.returncode}\n{done.stderr}")
    assert pq.read_metadata(out / "mapping.parquet").num_rows == rows
    report = json.loads((out / "report.json").read_text("utf-8"))
    shutil.rmtree(out)
    return rows / seconds, report["runs"][-1]["statistics"]["rows_per_s"], rows / used


def compared(turn, trees, words, folder, rows):
    """Run both, the other first every other time; give this tree's figures over the earlier one's."""
    speeds = {}
    for name in sorted(trees, reverse=turn % 2 == 0):
        speeds[name] = carried(*trees[name], words, folder / name / "out", rows)
    ratios = [now / then for now, then in zip(speeds["now"], speeds["earlier"], strict=True)]
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    for name, speed in speeds.items():
        say(f"round {turn}, {name:7}: " + ", ".join(f"{rows_per_s:,.0f}/s" for rows_per_s in speed))
    say(f"round {turn}, ratios : {shown}")
    return ratios


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("commit", nargs="?", default=BEFORE_THE_ROOMS)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--in-flight", type=int, default=64)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name, stub() as url:
        folder = Path(name)
        trees = {
            "earlier": laid_out(folder / "earlier", chosen.commit),
            "now": laid_out(folder / "now"),
        }
        config = settings(folder, url, f"in_flight_max = {chosen.in_flight}", "chunk_rows = 5000")
        words = ["-c", config, "--set", "flow.rate_per_s=1000000", "-q"]
        small = ["run", sealed(folder, rows_csv(100), "small.csv.pgp"), *words]
        compared(0, trees, small, folder, 100)  # Compiles what is imported.
        export = ["run", sealed(folder, rows_csv(chosen.rows)), *words]
        rounds = [
            compared(turn, trees, export, folder, chosen.rows)
            for turn in range(1, chosen.rounds + 1)
        ]
    columns = dict(zip(FIGURES, zip(*rounds, strict=True), strict=True))
    for what, column in columns.items():
        say(
            f"{what}: {statistics.median(column):.3f} of {chosen.commit} (at least {LEAST}; "
            f"rounds from {min(column):.3f} to {max(column):.3f})"
        )
    sys.exit(any(statistics.median(columns[what]) < LEAST for what in FIGURES[:2]))


if __name__ == "__main__":
    main()
