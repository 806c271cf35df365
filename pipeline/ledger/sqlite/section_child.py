"""Runs in the process that works sections out beside the one that holds the ledger.

It reads the file without asking for a lock: whoever wants its answers holds the ledger in a
transaction that writes to no table that is read here, and would otherwise wait for this process, or
this one for it, as soon as that transaction is larger than what is kept of it in memory.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np  # noqa: F401 - some counts want it; by then somebody waits.

from pipeline import __version__
from pipeline.ledger.section_work import work_out
from pipeline.ledger.sections import asked_once
from pipeline.ledger.sqlite.connection import open_engine
from pipeline.process_guards import harden
from pipeline.signals import stopping_signals

if TYPE_CHECKING:
    from pipeline.ledger.section_work import Block


def main(file: str, version: str) -> None:
    """Answer what comes through stdin, a socket, until its other end is closed.

    Args:
        file: The ledger's.
        version: Of the program that asks; another one could count otherwise.
    """
    for number in stopping_signals():
        # They are for the other process to judge; this one ends with it.
        signal.signal(number, signal.SIG_IGN)
    harden()
    if version != __version__:
        return
    # What is wrong with the ledger the other process finds, too, and says.
    with suppress(Exception), Connection(os.dup(0)) as line:
        serve(line, Path(file))


def serve(line: Connection, file: Path) -> None:
    """Work out the blocks that come, one after the other.

    Args:
        line: Brings blocks, and takes what was worked out of each.
        file: The ledger's; opened when the first block comes, by when it is held.

    Raises:
        EOFError: Nobody asks any more.
    """
    block: Block = line.recv()
    engine = open_engine(file, read_only=True, is_held=True)
    try:
        with engine.connect() as connection:
            asked_once(connection)
            while True:
                line.send(work_out(connection, block))
                block = line.recv()
    finally:
        engine.dispose()
