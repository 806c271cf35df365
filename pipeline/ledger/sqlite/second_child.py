"""Runs in the process that works things out beside the one that holds the ledger (`second_process`).

It reads the file without asking for a lock: whoever wants its answers holds the ledger in a
transaction that writes to no table that is read here, and would otherwise wait for this process, or
this one for it, as soon as that transaction is larger than what is kept of it in memory. What is
wanted early, while rows are sent, is worked out of a copy, whenever a processor has nothing to do.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: F401 - some counts want it; by then somebody waits.

from pipeline import __version__
from pipeline.errors import CardferryError
from pipeline.ledger.early_marks import MadeEarly, Marked, Standing
from pipeline.ledger.early_work import EarlyWork
from pipeline.ledger.second_process import ANEW
from pipeline.ledger.sections import asked_once
from pipeline.ledger.sqlite.connection import DATABASE_ERRORS, open_engine
from pipeline.process_guards import harden
from pipeline.signals import stopping_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


def main(file: str, version: str, *modules: str) -> None:
    """Answer what comes through stdin, a socket, until its other end is closed.

    Args:
        file: The ledger's.
        version: Of the program that asks; another one could count otherwise.
        modules: What will be asked for needs these, too.
    """
    for number in stopping_signals():
        # They are for the other process to judge; this one ends with it.
        signal.signal(number, signal.SIG_IGN)
    harden()
    if version != __version__:
        return
    # What is wrong with the ledger the other process finds, too, and says.
    with suppress(Exception), Connection(os.dup(0)) as line:
        for module in modules:
            import_module(module)
        early = Early(partial(open_engine, Path(file), read_only=True, apart=True))
        while True:
            answer(line, Path(file), early)


def answer(line: Connection, file: Path, early: Early) -> None:
    """Work out what is asked, one thing after the other, as long as it is of one state of the ledger.

    Args:
        line: Brings calls, of a function with what it takes behind a connection, and takes what each
            returns; or brings what is to be worked out early, and asks what of that is right.
        file: The ledger's; opened when the first thing is asked, by when it is held.
        early: Works things out early.

    Raises:
        EOFError: Nobody asks any more.
    """
    asked: Any = line.recv()
    if isinstance(asked, Marked):
        early.begin(asked)
        return
    early.end()
    if isinstance(asked, Standing):
        line.send(early.work.of(asked))
        return
    if asked is ANEW:
        return
    engine = open_engine(file, read_only=True, is_held=True)
    try:
        with engine.connect() as connection:
            asked_once(connection)
            while asked is not ANEW:
                if isinstance(asked, MadeEarly):
                    line.send(early.work.take(asked))
                else:
                    work, *arguments = asked
                    line.send(work(connection, *arguments))
                asked = line.recv()
    finally:
        engine.dispose()


class Early:
    """Works out early what is marked, in a thread that runs only where nothing else would.

    Args:
        open_copy: Copies the ledger as it is and opens that.
    """

    def __init__(self, open_copy: Callable[[], Engine]) -> None:
        self.work = EarlyWork()
        self._open_copy = open_copy
        self._thread: Thread | None = None
        self._ends = Event()

    def begin(self, marked: Marked) -> None:
        """Begin with what was marked; what is left of earlier marks is left to whoever publishes."""
        self.end()
        self._ends.clear()
        self._thread = Thread(target=self._work_out, args=(marked,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait until nothing is being worked out, which is soon."""
        if self._thread is not None:
            self._ends.set()
            self._thread.join()
            self._thread = None

    def _work_out(self, marked: Marked) -> None:
        # The senders' commits wait for the copy.
        with suppress(*DATABASE_ERRORS, CardferryError, OSError):
            engine = self._open_copy()
            try:
                with engine.connect() as connection:
                    asked_once(connection)
                    # Of this thread alone; nobody may take that back who is not root.
                    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
                    self.work.work_out(connection, marked, self._ends.is_set)
            finally:
                engine.dispose()
