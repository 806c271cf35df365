"""Folds lines at blanks, so that no terminal breaks a word, a path or a digest."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def folded(
    text: str, columns: int | None, first: str = "", others: str = "  ", spare: int = 0
) -> list[str]:
    """Fold lines at blanks so that no terminal breaks a word; None folds nothing.

    Args:
        text: One line or several.
        columns: The width.
        first: What stands before a line.
        others: What stands before the rest of a folded line.
        spare: Columns left free at the right.
    """
    if columns is None:
        return [f"{first}{line}" for line in text.split("\n")]
    lines: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line.strip(),
            max(columns - spare, len(others) + 1),
            initial_indent=first + indent,
            subsequent_indent=others + indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return lines


def print_line(out: Console, text: str) -> None:
    """Print a line, folded at blanks alone: a digest or a path stays whole, to be pasted."""
    for part in folded(text, out.width if out.is_terminal else None):
        out.print(part, markup=False, soft_wrap=True)
