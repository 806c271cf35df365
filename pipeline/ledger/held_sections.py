"""Reads sections of several tables side by side, each row once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from pipeline.ledger.sections import asked_by_section, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Table

    from pipeline.ledger.sections import Found


def held_sections(
    connection: Connection, tables: Iterable[Table], wanted: Sequence[int]
) -> Iterator[tuple[int, list[Found]]]:
    """Give sections, each with the rows that tables have of it; every row is read once.

    Args:
        connection: A reading connection.
        tables: Some of `SECTIONED` that are cut by the same number.
        wanted: The sections, in order.
    """
    ahead = [
        Ahead(
            asked_by_section(
                connection, select(table).order_by(key_of(table)), key_of(table), wanted
            )
        )
        for table in tables
    ]
    for number in wanted:
        yield number, [one.of(number) for one in ahead]


class Ahead:
    """Gives what there is of sections that are asked for in order; of some there is nothing."""

    def __init__(self, found: Iterator[tuple[int, list[tuple[Any, ...]]]]) -> None:
        self._found = found
        self._next = next(found, None)

    def of(self, number: int) -> Found:
        """Give the rows of a section."""
        while self._next is not None and self._next[0] < number:
            self._next = next(self._found, None)
        if self._next is None or self._next[0] != number:
            return ()
        return self._next[1]
