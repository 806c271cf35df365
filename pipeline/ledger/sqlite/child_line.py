"""Begins a process that works things out for a run, and gives its line to that run."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.process_guards import harden
from pipeline.signals import stopping_signals

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def line_to_run(version: str, *modules: str) -> Iterator[Connection]:
    """Give the line, which is this process's standard input.

    Args:
        version: Of the program that asks; another one could count otherwise.
        modules: What will be asked for needs these.

    Raises:
        ImportError: This is another version, or one of the modules is not there.
    """
    for number in stopping_signals():
        # They are for the other process to judge; this one ends with it.
        signal.signal(number, signal.SIG_IGN)
    harden()
    if version != __version__:
        raise ImportError("another version asks")
    with Connection(os.dup(0)) as line:
        for module in modules:
            import_module(module)
        yield line
