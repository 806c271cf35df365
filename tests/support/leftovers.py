"""Gives a test run a temporary folder of its own, and tells what was left in it at the end.

Whatever a test makes outside pytest's folders it has to remove itself. What a killed run left is
removed by the next one. pytest-xdist ends its workers without running `atexit`, so
`tests/conftest.py` calls `remove_all`.
"""

import os
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


_PREFIX = "cf-run-"


def begin_run():
    """Let this process and its children make their temporary files in a new folder; give it.

    pytest's own folders stay where they would be without it, for there is what failed to be read.
    """
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    # Close to the root: the path of an agent's socket may have a hundred bytes or so.
    root = Path("/tmp")  # noqa: S108 - made private.
    for stale in root.glob(f"{_PREFIX}*-*"):
        if not Path("/proc", stale.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    # A server that refuses to run as root runs as nobody, who has to get through.
    folder.chmod(0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def left_in(folder):
    """Give the names of what a run left in its folder, and remove the folder."""
    names = sorted(path.name for path in folder.iterdir())
    shutil.rmtree(folder, ignore_errors=True)
    return names
