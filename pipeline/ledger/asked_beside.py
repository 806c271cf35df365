"""Asks a question in a thread of its own, over a connection of its own, while other things are done.

It is for statements that take the database long and give little: while they run, they do not hold
the interpreter. What the thread finds, or what stops it, comes to whoever asks for the answer.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    Answer = TypeVar("Answer")

_AGAIN_S: Final = 0.05
"""Between two statements nothing can be broken off; then it is tried again."""


@contextmanager
def asked_beside(
    connection: Connection, question: Callable[[Connection], Answer]
) -> Iterator[Callable[[], Answer] | None]:
    """Ask a question of a state of the ledger meanwhile; whoever leaves early breaks it off.

    Args:
        connection: A reading connection.
        question: What is asked; of another connection that sees the same state.

    Yields:
        What waits for the answer and gives it, or raises what the question raised; None where the
        question is not asked, as there is no other connection, or no other thread.
    """
    store = store_of(connection)
    with store.beside(connection) as other:
        if other is None:
            yield None
            return
        with ThreadPoolExecutor(1) as thread:
            try:
                asked = thread.submit(question, other)
            except RuntimeError:
                # No thread can be started here.
                yield None
                return
            try:
                yield asked.result
            finally:
                while wait([asked], 0).not_done:
                    store.break_off(other)
                    wait([asked], _AGAIN_S)
