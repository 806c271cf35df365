"""Gives all questions what they share: a connection for reading, and our own errors for the database's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from pipeline.ledger.key_values import ATTACH_KEY
from pipeline.ledger.records import AttachState
from pipeline.ledger.schema import attachments, meta, rows
from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Executable, Row, Select


class QueryBase:
    """Runs the statements of a group of named questions.

    Args:
        connection: A reading connection; all its answers are of one state.
        kept: Go by what is kept of sections; else every answer is worked out of the rows.
    """

    def __init__(self, connection: Connection, *, kept: bool = False) -> None:
        self._kept = kept
        self._connection = connection
        self._store = store_of(connection)

    def is_attaching(self) -> bool:
        """Tell whether cards are attached: then the mapping holds those that are, and no others."""
        found = select(meta.c.value).where(meta.c.key == ATTACH_KEY)
        return self._first(found) is not None

    def _in_mapping(self) -> list[ColumnElement[bool]]:
        """Give the conditions on a tokenized row in force that is in the mapping."""
        if not self.is_attaching():
            return []
        on_customer = select(attachments.c.row_id).where(
            attachments.c.state.in_([AttachState.ATTACHED, AttachState.REUSED]),
            attachments.c.deleted_ms.is_(None),
        )
        return [rows.c.id.in_(on_customer)]

    def _all(self, statement: Executable) -> Sequence[Any]:
        with self._store.trouble():
            return self._connection.execute(statement).all()

    def _first(self, statement: Executable) -> Row[Any] | None:
        with self._store.trouble():
            return self._connection.execute(statement).first()

    def _number(self, statement: Executable) -> int:
        with self._store.trouble():
            return int(self._connection.execute(statement).scalar_one())

    def _blocks(self, statement: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
        with self._store.trouble():
            yield from self._store.selected(self._connection, statement)
