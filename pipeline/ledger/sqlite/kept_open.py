"""Keeps a ledger's file and journal open between many transactions, until another program would write.

Whoever is about to write to the file keeps all others from beginning to, and waits in the end for
those that hold it as readers. So of two that do both, one has to let go.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Result = TypeVar("Result")


class Driver(sqlite3.Connection):
    """The driver's connection to a ledger."""

    question: sqlite3.Cursor | None = None
    """A question that is kept unanswered."""


@contextmanager
def kept_open(driver: Driver) -> Iterator[None]:
    """Keep a question unanswered while many transactions are written.

    As long as one is, SQLite holds the file as a reader does. Else each transaction begins by taking
    hold of it and looking whether it has changed, opens the journal anew, and syncs the folder for
    the journal's name: a twentieth of the time that a batch takes.
    """
    driver.question = driver.execute("SELECT name FROM sqlite_schema")
    try:
        yield
    finally:
        _let_go(driver)


def begun(driver: Driver, begin: Callable[[], Result]) -> Result:
    """Do what begins a transaction, once no other program is about to write.

    While this one holds the file as a reader SQLite does not wait for the other one, but refuses at
    once. So the question is given up then, for good, and SQLite waits as it would without.

    Args:
        driver: The connection.
        begin: A statement; nothing has happened where it is refused.

    Raises:
        sqlite3.Error: The disk or the database failed, or a rule of the schema was broken.
    """
    try:
        return begin()
    except sqlite3.OperationalError as trouble:
        is_busy = trouble.sqlite_errorcode == sqlite3.SQLITE_BUSY
        if driver.question is None or driver.in_transaction or not is_busy:
            raise
    _let_go(driver)
    return begin()


def _let_go(driver: Driver) -> None:
    if driver.question is not None:
        driver.question.close()
        driver.question = None
