"""A coverage-guided search for an input that breaks a claim, one process a target.

Hypothesis tries the same claims with every run of the tests; this search is longer and learns
from the branches that an input takes.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SEED = "6"
SECONDS_MAX = 1200
BRANCHES_MIN = 8
DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+)", re.MULTILINE)


def search(name, runs, seconds):
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, str(runs), SEED],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
        timeout=seconds,
    )


def require_atheris():
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed; it has builds for Linux on x86_64 only")


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_search_starts_from_keeps_the_claim(name):
    """Every seed of every target holds; this needs no atheris."""
    for given in TARGETS[name].seeds:
        TARGETS[name].claim(given)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 60)
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_a_long_search_breaks_the_claim(name):
    """All runs of the target end without a broken claim, and inputs did reach its branches."""
    require_atheris()
    runs = TARGETS[name].runs
    done = search(name, runs, SECONDS_MAX)

    assert done.returncode == 0, done.stderr[-4000:]
    tried, branches = map(int, DONE.findall(done.stderr)[-1])
    assert tried >= runs
    assert branches >= BRANCHES_MIN


def test_a_broken_claim_is_found_and_shown():
    """A search that could find nothing would make every search succeed."""
    require_atheris()
    done = search("broken", 200_000, 120)

    assert done.returncode != 0
    assert "the claim is broken by b'" in done.stderr
