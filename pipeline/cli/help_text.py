"""Folds helps at blanks, however narrow the terminal is, and examples so that they can be pasted."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Final

import click

from pipeline.cli.folding import folded

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLICK_NEEDS: Final = 52
"""Click takes no terminal to be narrower, and lets it break the lines itself."""

_EXAMPLE: Final = "  cardferry "


class HelpFormatter(click.HelpFormatter):
    """Click's formatter, for narrow terminals, too."""

    def __init__(
        self,
        indent_increment: int = 2,
        width: int | None = None,
        max_width: int | None = None,
    ) -> None:
        columns = get_terminal_size().columns
        self._is_narrow = width is None and columns < _CLICK_NEEDS
        if self._is_narrow:
            width = max(columns - 2, 1)
        super().__init__(indent_increment, width, max_width)

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write options and what they do; where it is narrow these stand below, and have room."""
        super().write_dl(
            rows, min(col_max, self.width // 4 if self._is_narrow else col_max), col_spacing
        )

    def getvalue(self) -> str:
        """Give the help; on a terminal no word of it is cut."""
        text = super().getvalue()
        if not sys.stdout.isatty():
            return text
        columns = get_terminal_size().columns
        return "\n".join("\n".join(_fitted(line, columns)) for line in text.split("\n"))


class HelpContext(click.Context):
    """A context whose helps are folded so."""

    formatter_class = HelpFormatter


def _fitted(line: str, columns: int) -> list[str]:
    """Fold a line that is too long; an example goes on behind a backslash, as a shell takes it."""
    if len(line) <= columns:
        return [line]
    if not line.lstrip().startswith(_EXAMPLE.lstrip()):
        return folded(line, columns)
    parts = folded(line, columns, "", "  ", 2)
    return [*(f"{part} \\" for part in parts[:-1]), parts[-1]]
