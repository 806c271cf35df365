"""What a carrier pays for each row of an export, and what N of them come to by that.

    python -m tests.bench.carrier_costs [--rows 100000]

A carrier decrypts every row, and parses and sends its own, as the first reading noted where chunks
begin. Measured is processor time a row: `decrypt` and `parse` by reading an export again, `send` by
whole runs of two lengths against a stub that answers at once. With machines of two such cores, one
for each, N carriers of R rows take decrypt x R + (parse + send) x R / N. `parsing all` is what it
comes to where there are no such places, as in a JSON document. No measure of N machines: it says where more of them bring nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.config.loading import load_settings
from pipeline.exports.reader import read
from pipeline.exports.sealed_export import SealedExport
from pipeline.migration import export_factory
from tests.bench.pass1 import cpu_s
from tests.bench.quota import Case, stub
from tests.support.commands import ROOT, rows_csv, sealed, settings

COUNTS = (1, 20, 200)
NO_LIMIT = Case((10_000_000,), 0, 0, 0, 0, 0)
FEW_ROWS, MANY_ROWS = 500, 4_500


def reading_us(rows):
    """Give the microseconds of processor time for decrypting a row, and for parsing it besides."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = sealed(folder, rows_csv(rows))
        loaded, credentials = load_settings(settings(folder, "http://127.0.0.1:9"), {})
        keys = export_factory.envelope_keys(loaded, credentials)
        options = export_factory.reading(loaded).options
        took = []
        with SealedExport(export, keys, export_factory.envelope_limits(loaded)) as opened:
            file = opened.digest()
            for use in (_pass_by, lambda blocks: _parse(blocks, options)):
                begun = cpu_s()
                with opened.reread(file) as blocks:
                    use(blocks)
                took.append((cpu_s() - begun) / rows * 1e6)
    return took[0], took[1] - took[0]


def _pass_by(blocks):
    for _ in blocks:
        pass


def _parse(blocks, options):
    for chunk in read(blocks, options):
        chunk.numbers.wipe()


def sending_us():
    """Give the microseconds for sending a row, by what a longer run takes more than a shorter one."""
    with tempfile.TemporaryDirectory() as name, stub(NO_LIMIT, 0) as (url, _):
        took = [_run(Path(name) / str(rows), url, rows) for rows in (FEW_ROWS, MANY_ROWS)]
    return (took[1] - took[0]) / (MANY_ROWS - FEW_ROWS) * 1e6


def _run(folder, url, rows):
    folder.mkdir()
    words = ["run", sealed(folder, rows_csv(rows)), "-c", settings(folder, url)]
    command = [sys.executable, "-m", "pipeline", *map(str, [*words, "-o", folder / "out", "-q"])]
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    decrypt, parse = reading_us(options.parse_args().rows)
    send = sending_us()
    print(f"decrypt {decrypt:.2f}, parse {parse:.2f}, send {send:.0f} us a row")
    for count in COUNTS:
        ideal = count / (decrypt + parse + send)
        for words, read_us in (
            ("as it is", decrypt + parse / count),
            ("parsing all", decrypt + parse),
        ):
            rate = 1 / (read_us + send / count)
            print(
                f"{count:4} {words}: {rate * 1e6:10,.0f} rows/s, {rate / ideal:4.0%} of {count} x one"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
