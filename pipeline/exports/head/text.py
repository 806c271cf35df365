"""Names the encoding and the delimiters of an export by its first bytes.

A guess is for a person to see in a settings file; no row is ever read by one.
"""

from __future__ import annotations

import codecs
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

_ENCODINGS: Final = ("cp1252", "cp874", "cp932", "gb18030", "big5", "cp949", "cp1251", "cp1250")
_DELIMITERS: Final = (",", ";", "\t", "|", "\x01", "^", "~", ":")
_LINES_MAX: Final = 200
_WIDE: Final = 0.3
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes) -> tuple[str, tuple[str, ...]]:
    """Name the encoding of a text's first bytes.

    Returns:
        The encoding, and others that are as likely: where there are any, it is no more than the
        likeliest. A byte order mark names itself, and the reader believes it.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, ()
    zeros = [head[place : 2 * (len(head) // 2) : 2].count(0) for place in (0, 1)]
    if max(zeros) > _WIDE * len(head) / 2:
        return ("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"), ()
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _named(head)
    return "utf-8", ()


def _named(head: bytes) -> tuple[str, tuple[str, ...]]:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - only where it is not UTF-8.

    whole = head[: head.rfind(b"\n") + 1] or head
    # Lines of ASCII say nothing and take long.
    telling = [line for line in whole.split(b"\n") if not line.isascii()][:_LINES_MAX]
    whole = b"\n".join(telling)
    found = from_bytes(whole, cp_isolation=list(_ENCODINGS), threshold=0.5)
    names = [match.encoding for match in found]
    if not names:
        return "cp1252", ("latin-1",)
    # Of the Latin ones, which a few accents do not tell apart, the one that most programs write.
    first = "cp1252" if names[0] == "cp1250" and "cp1252" in names else names[0]
    return first, tuple([name for name in names if name != first][:2])


def decoded_head(head: bytes, encoding: str) -> str:
    """Give a head's text up to its last whole line; what cannot be read stays out."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


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
