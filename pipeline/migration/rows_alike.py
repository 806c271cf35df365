"""Tells rows of one export that are the same, card number and all, from rows that only look so.

The ledger keeps nothing of a number but its last four digits, so what tells rows apart is in memory
for as long as pass 1 reads: eight bytes a row, from which no number can be read.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cards.rows import Cards


class RowsAlike:
    """One mark a row of an export, the same for rows that are the same."""

    def __init__(self) -> None:
        # One piece of memory, which goes back to the system as a whole when pass 1 is over.
        self._marks = array("Q")
        self._first_rows: list[int] = []
        self._starts: list[int] = []

    def add(self, first_row: int, last_row: int, cards: Cards) -> None:
        """Mark a chunk's valid rows, in order, before their numbers are wiped.

        Every field counts that is made of a source column: two rows are the same card only where
        what would be sent and kept of them is the same, too.
        """
        told_by_the_number = ("brand", "last_digits")
        columns = [
            values if isinstance(values, list) else values.tolist()
            for name, values in cards.columns.items()
            if name not in told_by_the_number
        ]
        texts = list(map(hash, zip(*columns, strict=True)))
        marks = np.zeros(last_row - first_row + 1, dtype=np.uint64)
        marks[cards.rows - first_row] = cards.numbers.mixed_with(
            np.array(texts, dtype=np.int64).view(np.uint64)
        )
        self._first_rows.append(first_row)
        self._starts.append(len(self._marks))
        self._marks.frombytes(marks.tobytes())

    def are_alike(self, rows: Sequence[int]) -> bool:
        """Say whether rows, none of which was rejected, are all the same."""
        places = np.searchsorted(self._first_rows, rows, side="right") - 1
        marks = {
            self._marks[self._starts[place] + row - self._first_rows[place]]
            for place, row in zip(places.tolist(), rows, strict=True)
        }
        return len(marks) == 1
