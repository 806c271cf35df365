"""Keeps which rows of a chunk are rejected and why, while one rule after another is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.damage import damages
from pipeline.cards.rows import ADDRESS_COLUMNS, CARRY_PREFIX, CUSTOMER_COLUMNS
from pipeline.cards.text_faults import are_plain
from pipeline.failure_codes import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipeline.cards.rows import Chunk

    Flags: TypeAlias = npt.NDArray[np.bool_]

_FURTHER: Final = frozenset(ADDRESS_COLUMNS + CUSTOMER_COLUMNS)


class CheckedRows:
    """Which rows are rejected so far, and for which reason; the first reason stays.

    Attributes:
        texts: The columns of texts that rules are asked of, by name.
        further: Those of them that a card need not have.
        plain: Those in which no text breaks a rule about texts; empty ones may be there.
        lookalikes: By column of ids, how many pass as a card number by chance.
    """

    def __init__(self, chunk: Chunk) -> None:
        self._reasons: list[tuple[str, str, str | None]] = [("", "", None)]
        self._places = np.zeros(len(chunk.rows), dtype=np.int16)
        self.lookalikes: dict[str, int] = {}
        self.further = _further_columns(chunk)
        self.texts: dict[str, list[str]] = {
            name: chunk.columns[name] for name in ("legacy_id", "name", *self.further)
        }
        self.plain = frozenset(
            name
            for name, texts in self.texts.items()
            if are_plain(texts, are_repeated=is_repeated(name))
        )

    def reject(self, code: str, field: str, rows: Flags, hint: str | None = None) -> None:
        """Reject these rows unless they were rejected before."""
        fresh = rows & self.accepted
        if fresh.any():
            self._places[fresh] = len(self._reasons)
            self._reasons.append((code, field, hint))

    def reject_damaged(self, field: str, texts: Sequence[str], *, ids: bool = False) -> None:
        """Reject the rows whose text in this field is damaged, and say how."""
        found = damages(texts, ids=ids)
        for phrase in set(found.values()):
            rows = np.zeros(len(texts), dtype=np.bool_)
            rows[[place for place, told in found.items() if told == phrase]] = True
            self.reject(Code.VALUE_DAMAGED, field, rows, f"the value {phrase}")

    @property
    def accepted(self) -> Flags:
        """The rows that broke no rule yet."""
        return np.asarray(self._places == 0, dtype=np.bool_)

    def rejected(self) -> list[tuple[int, str, str, str | None]]:
        """Give place, code, field and hint of every rejected row."""
        return [
            (place, *self._reasons[self._places[place]])
            for place in np.flatnonzero(self._places).tolist()
        ]


def is_repeated(name: str) -> bool:
    """Say whether outputs repeat a column, in which `scan` must find nothing then."""
    return name == "legacy_id" or name.startswith(CARRY_PREFIX)


def _further_columns(chunk: Chunk) -> list[str]:
    return [name for name in chunk.columns if name in _FURTHER or name.startswith(CARRY_PREFIX)]
