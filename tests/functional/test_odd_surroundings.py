"""A run does the same wherever a scheduler starts it: no home, no locale, no mask, no temporary room."""

import os
import stat
import subprocess
import sys

import pytest

from tests.support.commands import ROOT, rows_csv, sealed, settings
from tests.support.sampled import slow
from tests.support.sandbox import running

SURROUNDINGS = {
    "an ASCII locale, no home, no temporary folder and a mask that hides nothing": {
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "HOME": None,
        "TMPDIR": "/proc",
    },
}
OTHERS = {
    "an ASCII locale and no home": {
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "HOME": None,
    },
    "no place to write to and a mask that hides nothing": {"HOME": "/proc", "TMPDIR": "/proc"},
    "an ASCII locale": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no home": {"HOME": None},
    "a home that cannot be written to": {"HOME": "/proc"},
    "no temporary folder": {"TMPDIR": "/proc"},
    "a mask that hides nothing": {},
}


@pytest.fixture(scope="module")
def vault():
    with running() as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", [*SURROUNDINGS, *map(slow, OTHERS)])
def test_a_run_does_not_depend_on_what_surrounds_it(tmp_path, vault, name):
    """Exit code 0, every file 0600, and words that the terminal's locale can show."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(SURROUNDINGS | OTHERS)[name]}
    words = ["run", sealed(tmp_path, rows_csv(2)), "-c", settings(tmp_path, vault.base_url)]
    words += ["-o", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        env={key: value for key, value in environment.items() if value is not None},
        umask=0 if "mask" in name else -1,
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )

    assert 0 == done.returncode, done.stderr
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "out").iterdir()}
    assert b"Traceback" not in done.stderr
    if "ASCII" in name:
        (done.stdout + done.stderr).decode("ascii")
