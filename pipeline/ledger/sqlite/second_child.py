"""Runs in the process that works things out beside the one that holds the ledger (`second_process`).

It reads the file without asking for a lock: whoever wants its answers holds the ledger in a
transaction that writes to no table that is read here, and would otherwise wait for this process, or
this one for it, as soon as that transaction is larger than what is kept of it in memory.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: F401 - some counts want it; by then somebody waits.

from pipeline.ledger import section_work  # noqa: F401 - likewise.
from pipeline.ledger.second_process import ANEW
from pipeline.ledger.sections import asked_once
from pipeline.ledger.sqlite.child_line import line_to_run
from pipeline.ledger.sqlite.connection import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection


def main(file: str, version: str, *modules: str) -> None:
    """Answer what comes through stdin, a socket, until its other end is closed.

    Args:
        file: The ledger's.
        version: Of the program that asks; another one could count otherwise.
        modules: What will be asked for needs these, too.
    """
    # What is wrong with the ledger the other process finds, too, and says.
    with suppress(Exception), line_to_run(version, *modules) as line:
        while True:
            answer(line, Path(file))


def answer(line: Connection, file: Path) -> None:
    """Work out what is asked, one thing after the other, as long as it is of one state of the ledger.

    Args:
        line: Brings functions and what they are called with, and takes what each returns.
        file: The ledger's; opened when the first thing is asked, by when it is held.

    Raises:
        EOFError: Nobody asks any more.
    """
    asked: tuple[Callable[..., Any], Any] | None = line.recv()
    if asked is ANEW:
        return
    engine = open_engine(file, read_only=True, is_held=True)
    try:
        with engine.connect() as connection:
            asked_once(connection)
            while asked is not ANEW:
                work, *arguments = asked
                line.send(work(connection, *arguments))
                asked = line.recv()
    finally:
        engine.dispose()
