"""Runs in the process that works out early what is marked, whenever a processor has nothing to do.

It reads a copy of the ledger's file: the run that holds the file goes on writing. On a machine that
is busy it may get nowhere, and does not matter (`early_sections`). But while it copies, or answers,
the run waits for it: that is done in a thread that takes its turn as any other does.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np  # noqa: F401 - some counts want it.

from pipeline.ledger.early_marks import Marked
from pipeline.ledger.early_work import EarlyWork
from pipeline.ledger.sections import asked_once
from pipeline.ledger.sqlite.child_line import line_to_run
from pipeline.ledger.sqlite.connection import DATABASE_ERRORS, open_engine
from pipeline.ledger.sqlite.copies import temporary_folder

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_ROOM: Final = 10
"""A copy takes at most so small a part of the room on its disk, which may be the ledger's own."""


def main(file: str, version: str, *modules: str) -> None:
    """Work out what is marked, and tell what of it is right when that is asked, which ends it.

    Args:
        file: The ledger's.
        version: Of the program that asks; another one could count otherwise.
        modules: What is to be made of rows needs these, too.
    """
    # What is wrong with the ledger the other process finds, too, and says.
    with suppress(Exception), ThreadPoolExecutor(1) as awaited:
        # A thread is scheduled as the one that begins it is by then.
        awaited.submit(os.getpid).result()
        # Nobody but root may take it back.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with line_to_run(version, *modules) as line:
            work = EarlyWork()
            while isinstance(asked := line.recv(), Marked):
                _work_out(line, awaited, Path(file), work, asked)
            awaited.submit(line.send, work.of(asked)).result()


def _work_out(
    line: Connection, awaited: ThreadPoolExecutor, file: Path, work: EarlyWork, marked: Marked
) -> None:
    """Work out of a copy what is marked, until something else is asked."""
    place = temporary_folder()
    if place is None or shutil.disk_usage(place).free < _ROOM * file.stat().st_size:
        return
    with suppress(*DATABASE_ERRORS):
        # The run may well kill this process, which is to leave nothing behind.
        engine = open_engine(file, read_only=True, apart=True, for_two=False)
        try:
            with awaited.submit(engine.connect).result() as connection:
                asked_once(connection)
                work.work_out(connection, marked, line.poll)
        finally:
            engine.dispose()
