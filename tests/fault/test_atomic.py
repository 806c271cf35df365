"""The disk refuses, or the process dies, at the Nth system call, for N = 1, 2, 3, ..."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import product

import pytest

from pipeline.disk import write_together
from tests.support.programs import require
from tests.support.sampled import sampled


@pytest.fixture(autouse=True)
def _strace():
    require("strace")


OLD, NEW = b"old" * 5000, b"new" * 5000
NAMES = ("first", "last")
CALLS_MAX = 20

WRITER = """
import sys
from pathlib import Path
from pipeline.errors import LocalStorageFailed
from pipeline.disk import write_together
try:
    with write_together(Path(sys.argv[1])) as staged:
        for name in ("first", "last"):
            staged.new_file(name).write(b"new" * 5000)
except LocalStorageFailed as trouble:
    sys.exit(trouble.exit_code)
"""


def write_with_fault(folder, trace, call, fault, count):
    """Replace both files while the `count`th such call fails; give the exit code."""
    ended = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", trace, "-e", f"trace={call}"),
            *("-e", f"inject={call}:{fault}:when={count}"),
            *(sys.executable, "-B", "-c", WRITER, folder),
        ],
        check=False,
        capture_output=True,
    )
    return ended.returncode


def prepare(tmp_path):
    folder = tmp_path / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(OLD)
    return folder


def visible(folder):
    return [(folder / name).read_bytes() for name in NAMES]


@pytest.mark.parametrize(
    ("call", "error"),
    sampled(product(["write", "fsync", "/rename.*"], ["EIO", "ENOSPC", "EROFS"]), 4),
)
def test_a_refusing_disk_leaves_whole_files_and_exit_5(tmp_path, call, error):
    """Whichever call fails: each file is old or new, the last never before the first."""
    for count in range(1, CALLS_MAX):
        folder = prepare(tmp_path)
        code = write_with_fault(folder, tmp_path / "trace", call, f"error={error}", count)
        if code == 0:
            break

        assert code == 5
        assert visible(folder) in ([OLD, OLD], [NEW, OLD], [NEW, NEW])
        assert set(NAMES) == {path.name for path in folder.iterdir()}

    assert 2 < count < CALLS_MAX
    assert visible(folder) == [NEW, NEW]


def test_a_failed_sync_is_never_tried_again(tmp_path):
    """After the Nth sync failed there is no further one."""
    for count in (1, 2, 3):
        write_with_fault(prepare(tmp_path), tmp_path / "trace", "fsync", "error=EIO", count)

        assert count == len(re.findall(r"fsync\(", (tmp_path / "trace").read_text()))


@pytest.mark.parametrize("call", ["write", "fsync", "/rename.*", "flock"])
def test_a_killed_writer_leaves_whole_files_and_is_cleaned_up_after(tmp_path, call):
    """A kill at any call leaves old or new files, and the next write removes the rest."""
    for count in range(1, CALLS_MAX):
        folder = prepare(tmp_path)
        code = write_with_fault(folder, tmp_path / "trace", call, "signal=KILL", count)
        if code == 0:
            break

        assert visible(folder) in ([OLD, OLD], [NEW, OLD], [NEW, NEW])
        with write_together(folder) as staged:
            for name in NAMES:
                staged.new_file(name).write(NEW)
        assert set(NAMES) == {path.name for path in folder.iterdir()}

    assert 2 < count < CALLS_MAX
