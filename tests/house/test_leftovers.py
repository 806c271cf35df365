"""The suite itself: what a run leaves in its temporary folder is named, and goes."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.commands import ROOT
from tests.support.crash import wait_until

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


SERVER = """
from tests.support import postgres
server = postgres.server()
print(server.folder, server.data, flush=True)
input()
"""


@pytest.mark.slow
def test_the_tests_database_server_ends_with_a_test_process_that_is_killed():
    """Neither the server nor its folder in memory lives on."""
    postgres.server()
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        folder, files = map(Path, process.stdout.readline().decode().split())
        server = int((files / "postmaster.pid").read_text("ascii").split()[0])
        assert Path("/proc", str(server)).exists()
        process.kill()
    wait_until(lambda: not folder.exists() and not Path("/proc", str(server)).exists())
