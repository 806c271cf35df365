"""Measures what reading again costs a run of which most is settled, with places to begin at and without.

    python -m tests.bench.resume [--rows 300000] [--settled 0.95] [--turns 3]

Processor time of the second reading alone, decryption included, of this process and of those that
it waited for: by turns with the places that the first reading noted and without them, the best of
each. Beside it what noting them costs the first reading, a row: by counting what is done for it,
as it is too little to be seen among the rest.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pipeline.config.loading import load_settings
from pipeline.exports.reader import read
from pipeline.exports.reading_points import NeededRows
from pipeline.exports.record_cursor import RecordCursor
from pipeline.exports.records import Records
from pipeline.exports.sealed_export import SealedExport
from pipeline.migration import export_factory
from tests.bench.pass1 import cpu_s
from tests.support.commands import rows_csv, sealed, settings

ROWS_A_BATCH = 3_000
"""About as many as a quarter of a megabyte has."""


def noted(blocks, options):
    """Read everything; give the places."""
    given = read(blocks, options)
    while True:
        try:
            next(given).numbers.wipe()
        except StopIteration as end:
            return end.value


def reading_s(opened, file, options, needed):
    """Give the seconds for the rows that are needed."""
    begun, rows = cpu_s(), 0
    with opened.reread(file) as blocks:
        for chunk in read(blocks, options, needed):
            rows += len(chunk.rows)
            chunk.numbers.wipe()
    return cpu_s() - begun, rows


def noting_us():
    """Give the microseconds a row that a cursor takes beyond the records' own work."""
    batches, took = 10_000, []
    for at in (None, 1):
        blocks = [Records([], ROWS_A_BATCH, {}, begins_at=at and n * at) for n in range(batches)]
        cursor = RecordCursor(iter(blocks), None)
        begun = time.process_time()
        while cursor.take(ROWS_A_BATCH) is not None:
            pass
        took.append(time.process_time() - begun)
    return (took[1] - took[0]) / batches / ROWS_A_BATCH * 1e6


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=300_000)
    options.add_argument("--settled", type=float, default=0.95)
    options.add_argument("--turns", type=int, default=3)
    asked = options.parse_args()
    first = int(asked.rows * asked.settled) + 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = sealed(folder, rows_csv(asked.rows))
        loaded, credentials = load_settings(settings(folder, "http://127.0.0.1:9"), {})
        keys = export_factory.envelope_keys(loaded, credentials)
        how = export_factory.reading(loaded).options
        with SealedExport(export, keys, export_factory.envelope_limits(loaded)) as opened:
            file = opened.digest()
            with opened.prove() as blocks:
                points = noted(blocks, how)
            whole, begun = [], []
            for _ in range(asked.turns):
                whole.append(reading_s(opened, file, how, None)[0])
                needed = NeededRows(lambda row: max(row, first), points.fitting(how))
                took, rows = reading_s(opened, file, how, needed)
                begun.append(took)
    print(
        f"read whole {min(whole):.2f} s, from the row {first:,} on {min(begun):.2f} s ({rows:,} rows)"
    )
    print(f"{len(points.points):,} places in {len(points.as_text() or ''):,} bytes")
    print(f"noting them {noting_us():.4f} us a row")
    return 0


if __name__ == "__main__":
    sys.exit(main())
