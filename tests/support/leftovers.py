"""Removes what a test process made outside pytest's own folders, when that process ends.

pytest-xdist ends its workers without running `atexit`, so `tests/conftest.py` calls `remove_all`.
"""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

_at_the_end = ExitStack()
at_the_end = _at_the_end.callback
"""Call a function with arguments when the test process ends; the last one registered goes first."""


def folder_until_the_end(prefix, parent=None):
    """Make a folder that is removed when the test process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    at_the_end(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_all():
    """Remove everything that was registered."""
    _at_the_end.close()
