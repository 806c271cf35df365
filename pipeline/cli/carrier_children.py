"""Starts carriers as processes of their own on this machine; they leave when their input is closed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from pipeline.child_process import start_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal


class CarrierChild:
    """A carrier in a process of its own.

    It has a process group of its own, too: what a terminal sends to the group reaches the run, which
    lets its carriers go.

    Args:
        command: Its command line.

    Raises:
        LocalStorageFailed: This machine cannot start a process now.
    """

    def __init__(self, command: list[str]) -> None:
        self._process = start_child(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def ended(self) -> int | None:
        """Give its exit code once it has ended; negative where a signal ended it."""
        return self._process.poll()

    def said(self) -> str:
        """Give nothing: its error output is ours."""
        return ""

    def let_go(self) -> None:
        """Close its input, so that it drains and leaves."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, and end it after so long: its session is over by then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def carrier_starter(terminal: Terminal, given: Given) -> Callable[[], CarrierChild]:
    """Give what starts a carrier with the settings and exports of this command line."""
    # -P: a folder named like our package in the current folder must not be taken for it.
    command = [sys.executable, "-P", "-m", "pipeline", "carry", "-q", "--until-input-ends"]
    command += ["-o", str(given.folder.absolute()), "--log-format", terminal.log_format]
    if given.config_file is not None:
        command += ["-c", str(given.config_file.absolute())]
    command += [word for override in given.overrides for word in ("--set", override)]
    if terminal.log_file is not None:
        command += ["--log-file", str(terminal.log_file.absolute())]
    command += ["--", *(str(export.absolute()) for export in given.exports)]
    return lambda: CarrierChild(command)
