"""Programs of this machine that some tests talk to: a clear skip where one is missing.

Set CARDFERRY_REQUIRE_PROGRAMS=1 (as the continuous integration does) to fail instead.
"""

import os
import shutil

import pytest


def require(program):
    """Give the program's path; without it skip the test, or fail where programs are required."""
    path = shutil.which(program)
    if path is None:
        missing = f"{program} is not installed"
        if os.environ.get("CARDFERRY_REQUIRE_PROGRAMS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return path
