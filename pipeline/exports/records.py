"""Holds what a reader gives for each row: its fields, or why it could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from pipeline.failure_codes import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Unread(str):
    """Stands in the place of a record that could not be read: its failure code.

    Attributes:
        hint: A phrase that says more than the code and repeats nothing of the row, or None.
    """

    __slots__ = ("hint",)

    hint: str | None

    def __new__(cls, code: Code, hint: str | None = None) -> Self:  # noqa: D102 - a str's own.
        unread = super().__new__(cls, code.value)
        unread.hint = hint
        return unread


Record: TypeAlias = "list[str] | Unread"

TOO_LONG: Final = Unread(Code.ROW_TOO_LONG)
UNDECODABLE: Final = Unread(Code.UNDECODABLE_TEXT)
WITH_CONTROLS: Final = Unread(Code.MALFORMED_ROW, "a control character is in it")
MISQUOTED: Final = Unread(
    Code.MALFORMED_ROW, "a quote in it is not closed, or stands inside a field"
)
SWALLOWED: Final = Unread(Code.MALFORMED_ROW, "stray quotes would join it with other rows")
IN_DOUBT: Final = Unread(
    Code.MALFORMED_ROW, "it has a quote inside a field and follows a row that could not be read"
)
CR_ENDS: Final = Unread(Code.MALFORMED_ROW, "it ends in CR where the rows before it ended in LF")
NO_OBJECT: Final = Unread(Code.MALFORMED_ROW, "it is no JSON object")
KEY_TWICE: Final = Unread(Code.MALFORMED_ROW, "a key stands twice in it, or it is nested too deep")
NOT_PLAIN: Final = Unread(
    Code.MALFORMED_ROW, "a list or an object stands in it where a field should"
)
NO_RECORD: Final = Unread(
    Code.MALFORMED_ROW, "`export.records` leads to something there that is no object"
)
NO_CARD: Final = Unread(Code.NO_CARD)


def not_plain(source: str, value: object) -> Unread:
    """Give what stands for a row with a list or an object where a text should be.

    Args:
        source: The field's path as the settings spell it.
        value: What stands there.
    """
    if isinstance(value, dict):
        return Unread(
            Code.MALFORMED_ROW,
            f"an object stands in `{source}`: name the field in it, as in `{source}.FIELD`",
        )
    return Unread(
        Code.MALFORMED_ROW,
        f"a list stands in `{source}`: name another field, or, if its members are the records, "
        "set `export.records` to their path",
    )


def of_width(found: int, wanted: int) -> Unread:
    """Give what stands for a row with another number of fields than the header."""
    return Unread(Code.MALFORMED_ROW, f"columns found: {found} of {wanted}")


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records, a column at a time.

    Attributes:
        columns: The texts of each field, a text a readable record; none where no record is.
        count: How many records there are, those that could not be read among them.
        unread: Why the others could not be read, by their place among all of them, in order.
        are_stripped: Whether it is known that no text begins or ends with a blank.
        begins_at: Where in the text the first of them begins, if nothing before that place tells
            how they are read: a reading may begin there.
    """

    columns: Sequence[Sequence[str]]
    count: int
    unread: Mapping[int, Unread] = field(default_factory=dict)
    are_stripped: bool = False
    begins_at: int | None = None

    @classmethod
    def of(cls, records: Sequence[Record], begins_at: int | None = None) -> Self:
        """Take records as they come, each by itself."""
        unread = {
            place: record for place, record in enumerate(records) if isinstance(record, Unread)
        }
        readable = [record for record in records if not isinstance(record, Unread)]
        columns = list(zip(*readable, strict=True))
        return cls(columns, len(records), unread, begins_at=begins_at)

    def split(self, count: int) -> tuple[Records, Records]:
        """Give the first so many records, and the rest."""
        before = {place: why for place, why in self.unread.items() if place < count}
        after = {place - count: why for place, why in self.unread.items() if place >= count}
        readable = count - len(before)
        return (
            Records([texts[:readable] for texts in self.columns], count, before, self.are_stripped),
            Records(
                [texts[readable:] for texts in self.columns],
                self.count - count,
                after,
                self.are_stripped,
            ),
        )


def joined(blocks: Sequence[Records]) -> Records:
    """Give the records of some blocks as one block; there is one at least."""
    if len(blocks) == 1:
        return blocks[0]
    unread: dict[int, Unread] = {}
    count = 0
    for block in blocks:
        unread |= {count + place: why for place, why in block.unread.items()}
        count += block.count
    # A block in which no record could be read has no columns.
    columns = zip(*(block.columns for block in blocks if block.columns), strict=True)
    whole = [list(chain.from_iterable(texts)) for texts in columns]
    return Records(whole, count, unread, all(block.are_stripped for block in blocks))
