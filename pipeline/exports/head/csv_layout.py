"""Names the delimiter, the quoting and the columns of a CSV export by its first lines.

A guess is for a person to see in a settings file; no row is ever read by one.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import texts_containing_pan
from pipeline.config.policies import Quoting
from pipeline.exports.columns import BLANKS
from pipeline.exports.csv_dialect import read_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

_DELIMITERS: Final = (",", ";", "\t", "|", "\x01", "^", "~", ":")
_LINES_MAX: Final = 200
_WIDE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a CSV export and how they are written.

    Attributes:
        delimiter: One character.
        quoting: How fields are quoted.
        names: The header's names, blanks stripped, or positions where there is no header.
        has_header: Whether the first line names the columns.
        columns: Source column to its texts; of names that stand twice each has its place, `name#2`.
    """

    delimiter: str
    quoting: Quoting
    names: tuple[str, ...]
    has_header: bool
    columns: dict[str, list[str]]


def read_table(text: str) -> Table | None:
    """Read the first rows of a CSV export, or give None where nothing is written like one."""
    lines = [line for line in text.split("\n")[: _LINES_MAX + 1] if line.strip()]
    if lines and lines[0].strip('"').casefold().startswith("sep="):
        lines = lines[1:]
    if not lines:
        return None
    delimiter = _delimiter(lines)
    quoting = _quoting(lines, delimiter)
    rows = _rows(lines, delimiter, quoting)
    if not rows or len(rows[0]) < 2:  # noqa: PLR2004 - one column holds no card.
        return None
    width = len(rows[0])
    has_header = not any(texts_containing_pan(rows[0])) and not all(
        field.replace(".", "").isdigit() for field in rows[0] if field
    )
    names = _names(rows[0]) if has_header else [str(place) for place in range(1, width + 1)]
    body = [row for row in rows[int(has_header) :] if len(row) == width and any(row)]
    columns = {name: [row[place] for row in body] for place, name in enumerate(names)}
    return Table(delimiter, quoting, tuple(names), has_header, columns)


def _names(header: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for name in header:
        seen[name] += 1
        names.append(name if header.count(name) == 1 else f"{name}#{seen[name]}")
    return names


def _delimiter(lines: Sequence[str]) -> str:
    """Give the sign by which most lines have as many fields as the first, and more than one."""

    def agreement(sign: str) -> tuple[float, int]:
        rows = _rows(lines, sign, Quoting.RFC4180)
        width = len(rows[0]) if rows else 0
        alike = sum(len(row) == width for row in rows) if width > 1 else 0
        return (alike / max(len(rows), 1), width)

    def standing(sign: str) -> tuple[bool, int, float]:
        share, width = agreement(sign)
        return (share > 0.5, width, share)  # noqa: PLR2004 - more than half of the lines.

    return max(_DELIMITERS, key=standing)


def _quoting(lines: Sequence[str], delimiter: str) -> Quoting:
    joined = "\n".join(lines)
    if '\\"' in joined:
        return Quoting.BACKSLASH
    fields = [field for line in lines for field in line.split(delimiter)]
    single = sum(len(field) > 1 and field[0] == field[-1] == "'" for field in fields)
    if single > _WIDE * len(fields):
        return Quoting.SINGLE
    # A quote that opens no field, or that nothing closes: a sign like any other.
    loose = sum(line.count('"') % 2 for line in lines)
    opened = sum(field.startswith('"') for field in fields)
    if delimiter == "\t" and loose and opened <= 2 * loose:
        return Quoting.NONE
    return Quoting.RFC4180


def _rows(lines: Sequence[str], delimiter: str, quoting: Quoting) -> list[list[str]]:
    rows: list[list[str]] = []
    source = io.StringIO("\n".join(lines))
    try:
        read = read_fields(source, delimiter, quoting, strict=False)
        rows.extend([field.strip(BLANKS) for field in row] for row in read)
    except csv.Error:
        pass  # What was read so far is enough to guess by.
    return rows[:-1] if len(rows) > _LINES_MAX else rows
