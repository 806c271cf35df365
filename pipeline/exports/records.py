"""Names what a reader gives for each row: its fields, or why it could not be read."""

from __future__ import annotations

from typing import Final, Self, TypeAlias

from pipeline.failure_codes import Code


class Unread(str):
    """The code in the place of a record that is none, with what is known beyond the code.

    `hint` is a phrase of ours that repeats nothing of the row, or None.
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
NO_CARD: Final = Unread(Code.NO_CARD)


def of_width(found: int, wanted: int) -> Unread:
    """Give what stands for a row with another number of fields than the header."""
    return Unread(Code.MALFORMED_ROW, f"columns found: {found} of {wanted}")
