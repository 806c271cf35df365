"""Writes rows as the lines of a CSV file, with cells that no spreadsheet runs where people open it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RUNS_IN_SHEETS: Final = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""First characters that make a spreadsheet run a cell (OWASP ASVS 1.2.10).

The last four are the full-width forms of the first four, which some locales take for them.
"""


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Give rows as lines of RFC 4180."""
    text = io.StringIO(newline="")
    # RFC 4180 ends lines with CR LF; Python then quotes a lone CR in a value, too.
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def cell(value: Any) -> Any:
    """Give a value as a cell that no spreadsheet runs."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_RUNS_IN_SHEETS):
        return "'" + value
    return value


def cells(values: Iterable[Any]) -> list[Any]:
    """Give a column's values as such cells; most columns hold few different ones."""
    listed = list(values)
    # The type is part of the key: 1 and True are equal, and are not written alike.
    known = {(type(value), value): cell(value) for value in set(listed) | {None}}
    if all(kind is not bool for kind, _ in known):
        return [known[type(value), value] for value in listed] if _odd(known) else listed
    return [cell(value) for value in listed]


def _odd(known: dict[tuple[type, Any], Any]) -> bool:
    return any(shown is not value for (_, value), shown in known.items())
