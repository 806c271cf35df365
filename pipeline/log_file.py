"""Opens the file that log lines are appended to, and refuses one that holds something else."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

OUTPUT_NAMES: Final = frozenset(
    {
        "ledger.sqlite",
        "ledger.sqlite-journal",
        "ledger.json",
        "mapping.parquet",
        "failures.parquet",
        "failures.csv",
        "customers.parquet",
        "customers.csv",
        "superseded.parquet",
        "report.html",
        "report.json",
        "trail.jsonl",
        "manifest.json",
        "manifest.json.sig",
        "metrics.prom",
    }
)
"""Names of a migration folder's files; none of them is ever a log."""

_HEAD_BYTES: Final = 64
_LOG_LINE: Final = re.compile(rb'(?:\{"at":")?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z[ "]')
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_log(file: Path) -> TextIO:
    """Open a log file to append to it; a new one gets mode 0600.

    Raises:
        LocalStorageFailed: It cannot be opened, is a link, a pipe or a device, has the name of a
            migration's own file, or holds something that is no log.
    """
    if file.name in OUTPUT_NAMES:
        raise _refused(file, "this is the name of a migration's own file")
    try:
        # Without O_NONBLOCK a pipe that nobody reads would be waited for.
        descriptor = os.open(file, _FLAGS, 0o600)
    except OSError as trouble:
        raise _refused(file, os.strerror(trouble.errno or 0)) from None
    reason = _no_log(descriptor)
    if reason is not None:
        os.close(descriptor)
        raise _refused(file, reason)
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _no_log(descriptor: int) -> str | None:
    """Say why an open file is not to be appended to, if it is not."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return "it is not a regular file"
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    if head and not _LOG_LINE.match(head):
        return "it holds something that is no log of ours"
    return None


def _refused(file: Path, reason: str) -> LocalStorageFailed:
    return LocalStorageFailed(
        f"cannot open the log file {file}: {reason}",
        next_step="Name another file with --log-file, or leave it out.",
    )
