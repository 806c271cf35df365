"""A million rows: publishing and verifying stay within their memory, and give the same bytes.

How long they take is measured by `tests.bench.whole_ledger`.
"""

import os
import resource
import subprocess
import sys

import pytest

from tests.support.folders import SIGNED_NAMES

ROWS = 1_000_000
MEMORY_MB = 300
BUILD = """
import pathlib, sys
from tests.support.ledgers import settled_builder
settled_builder(pathlib.Path(sys.argv[1]), int(sys.argv[2])).ledger.close()
"""


def measured(*arguments, **environment):
    """Run a command; give its exit code and peak memory in MB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A settled ledger of a million rows and a top-up."""
    folder = tmp_path_factory.mktemp("million") / "out"
    # In a process of its own: a child's peak memory begins with that of the parent it came from.
    subprocess.run([sys.executable, "-c", BUILD, str(folder), str(ROWS)], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_rows_are_published_and_verified_in_little_memory(million):
    """Publishing and verifying take less than 300 MB; what is published twice has the same bytes."""
    published = measured("publish", million)
    before = {name: _bytes(million / name) for name in SIGNED_NAMES}
    again = measured("publish", million, LC_ALL="C", TZ="Asia/Kathmandu", PYTHONHASHSEED="3")
    verified = measured("verify", million)
    told = {"publish": published, "again": again, "verify": verified}
    print({name: [round(x, 1) for x in figures] for name, figures in told.items()})

    assert [0, 0, 0] == [figures[0] for figures in told.values()]
    assert before == {name: _bytes(million / name) for name in SIGNED_NAMES}
    assert max(published[1], again[1], verified[1]) < MEMORY_MB, told


def _bytes(path):
    return path.read_bytes() if path.exists() else None


def test_memory_is_measured_in_this_systems_unit():
    """`ru_maxrss` is kilobytes on Linux; the limits above mean something only then."""
    assert 10_000 < resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 10_000_000
