"""Writes rows as the lines of a CSV file, with cells that no spreadsheet runs where people open it."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RUNS_IN_SHEETS: Final = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""First characters that make a spreadsheet run a cell (OWASP ASVS 1.2.10).

The last four are the full-width forms of the first four, which some locales take for them.
"""

_QUOTED: Final = re.compile(r'[",\r\n]')
"""What a field may hold only between quotes; a lone CR is one of them, as it ends lines for many."""


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Give rows as lines of RFC 4180."""
    text = io.StringIO(newline="")
    # RFC 4180 ends lines with CR LF; Python then quotes a lone CR in a value, too.
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def csv_block(columns: Iterable[Sequence[Any]]) -> bytes:
    """Give rows as lines of RFC 4180 in which no cell is one that a spreadsheet runs.

    Args:
        columns: The values of each column: texts, whole numbers or truths, or None.
    """
    lines = map(",".join, zip(*map(_shown, columns), strict=True))
    return "".join([line + "\r\n" for line in lines]).encode()


def _shown(values: Sequence[Any]) -> Sequence[str]:
    """Give a column as it stands in the file; most columns hold few different values."""
    known = {value: _cell(value) for value in set(values)}
    return [known[value] for value in values]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, str) and text.startswith(_RUNS_IN_SHEETS):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
