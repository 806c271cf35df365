"""The suite itself: what a run leaves in its temporary folder is named, and goes."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.commands import ROOT

PROGRAM = """
import tempfile
from tests.support import leftovers
folder = leftovers.begin_run()
tempfile.mkdtemp(prefix="left-")
print(folder, *leftovers.left_in(folder), folder.exists())
"""


def test_what_a_run_leaves_is_named_and_what_a_killed_one_left_goes():
    """A process that has ended owns nothing; one that makes a temporary folder has to remove it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale = Path(tempfile.mkdtemp(prefix=f"cf-run-{ended.pid}-", dir="/tmp"))

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=ROOT
    )
    folder, left, is_there = done.stdout.split()

    assert folder.startswith("/tmp/cf-run-")  # noqa: S108 - as theirs.
    assert left.startswith("left-")
    assert is_there == "False"
    assert not stale.exists()
