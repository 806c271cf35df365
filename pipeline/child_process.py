"""Starts our own program as a child, and says in words where this machine cannot start one."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def start_child(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own.

    What a terminal sends to the group would otherwise reach it twice: at once, and through us.

    Args:
        command: Its command line.
        stdin: One of subprocess's constants, or a descriptor.
        stdout: The same.
        stderr: The same; None for ours.
        environment: Its environment; None for ours.

    Raises:
        LocalStorageFailed: This machine cannot start a process now.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - our own program, no shell.
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            process_group=0,
        )
    except OSError as trouble:
        raise no_process(trouble.errno) from None


def no_process(number: int | None) -> LocalStorageFailed:
    """Give the trouble of a machine that has no process, memory or descriptor left for a child.

    Args:
        number: What the operating system said (`errno`), if it said something.
    """
    number = number or 0
    said = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
    return LocalStorageFailed(
        f"no process can be started: {said}",
        next_step="Free memory or processes on this machine, or raise the limit (`ulimit -u`, "
        "`ulimit -n`), then run the same command again.",
    )
