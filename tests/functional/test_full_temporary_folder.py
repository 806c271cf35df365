"""A night is the same with no room for temporary files, and no sender is blamed for the want of it.

The folders are small disks that are truly full, mounted where only the command sees them.
"""

import os
import subprocess
import sys

import pytest

from tests.support.commands import ROOT, rows_csv, settings
from tests.support.exports import by_gpg
from tests.support.programs import require
from tests.support.sampled import slow
from tests.support.sandbox import running

FILLED = (
    'mount -t tmpfs -o size=16k tmpfs "$1"; head -c 16k /dev/zero > "$1/full" 2>/dev/null;'
    "mount -t tmpfs -o size=16k tmpfs /dev/shm; head -c 16k /dev/zero > /dev/shm/full 2>/dev/null;"
    'mount -t tmpfs -o ro tmpfs "$2"; shift 2; exec "$@"'
)


@pytest.fixture(scope="module")
def vault():
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def full(tmp_path):
    """Run a command where temporary folders are full and the home cannot be written to."""
    require("gpg")
    require("unshare")
    places = [tmp_path / "tmp", tmp_path / "home"]
    for place in places:
        place.mkdir()
    alone = ["unshare", "--mount", "sh", "-c", FILLED, "sh", *map(str, places)]
    tried = subprocess.run([*alone, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("small disks need the right to mount one")
    surroundings = {"TMPDIR": str(places[0]), "HOME": str(places[1]), "PYTHONPATH": str(ROOT)}

    def run(*words):
        return subprocess.run(
            [*alone, sys.executable, "-m", "pipeline", *map(str, words)],
            env={**os.environ, **surroundings},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("engine", [slow("sequoia"), "gpg"])
def test_a_night_with_fulltemporary_folders_carries_all_the_same(tmp_path, vault, full, engine):
    """Opening an export needs no temporary file, or gpg's keys find room where there is some."""
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    (inbox / "a.csv.pgp").write_bytes(by_gpg(rows_csv(2)))
    config = settings(tmp_path, vault.base_url)
    words = ["inbox", inbox, "-o", out, "--quiet-for", "0s", "-c", config]

    done = full(*words, "--set", f"export.engine={engine}")

    assert 0 == done.returncode, done.stderr
    assert "a.csv.pgp: carried (2 tokenized)" in done.stderr
