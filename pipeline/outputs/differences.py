"""Names what verification looks for: a difference, with its file and the place in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WHOLE: Final = "whole file"
"""The place of a difference that is not in one place."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that no longer says what it said.

    Attributes:
        file: The file's name in the migration folder.
        place: Where in the file: a byte, a line, a row and column, an event, or `WHOLE`.
        problem: What is wrong there, without any value from the data.
    """

    file: str
    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.problem}"
