"""Watches how much memory a process and all that came from it take at most."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")


class Pages(NamedTuple):
    """What is resident of a process, in bytes: its own, and what it has of files."""

    own: int
    of_files: int


def peak_of(process, until):
    """Give the most memory that the tree of a process takes before it ends; it is killed in time.

    Args:
        process: A `Popen`.
        until: When to kill it, by `time.monotonic`.
    """
    peak, begun = 0, _words_of(process.pid)
    while process.poll() is None:
        members = tree_of(process.pid)
        peak = max(
            peak,
            # A child that has not begun its own program yet has no memory but its parent's.
            together(pages_of(m) for m in members if m == process.pid or _words_of(m) != begun),
        )
        if time.monotonic() > until:
            process.kill()
        time.sleep(0.02)
    return peak


def together(processes):
    """Give what processes take that run one program: each its own, and its libraries once.

    A page of a file is in memory once, for however many processes. Whose part is larger counts: who
    may read nothing but numbers of another process cannot tell which pages they have in common.
    """
    seen = list(processes)
    return sum(one.own for one in seen) + max((one.of_files for one in seen), default=0)


def pages_of(pid):
    """Give what is resident of a process; nothing of one that is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return Pages(0, 0)
    return Pages((int(resident) - int(shared)) * PAGE, int(shared) * PAGE)


def tree_of(pid):
    """Give a process and all that came from it, asking for nobody else's: that would take long."""
    found = [pid]
    for lists in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in lists.read_text().split():
                found += tree_of(int(child))
    return found


def _words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
