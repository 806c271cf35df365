"""Runs a statement on a connection for looking, and turns the database's troubles into ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.ledger.sqlite.connection import ledger_trouble
from pipeline.ledger.sqlite.streaming import selected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Executable, Row, Select


class Asking:
    """What the groups of named questions have in common.

    Args:
        connection: A reading connection; all its answers are of one state.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _all(self, statement: Executable) -> Sequence[Any]:
        with ledger_trouble():
            return self._connection.execute(statement).all()

    def _first(self, statement: Executable) -> Row[Any] | None:
        with ledger_trouble():
            return self._connection.execute(statement).first()

    def _number(self, statement: Executable) -> int:
        with ledger_trouble():
            return int(self._connection.execute(statement).scalar_one())

    def _blocks(self, statement: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
        with ledger_trouble():
            yield from selected(self._connection, statement)
