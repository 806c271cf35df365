"""Reads the fields of CSV records that are written in a known way: delimiter, quotes, limits."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.config.policies import Multiline, Quoting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Dialect:
    """How records are written: the delimiter, the fields of each, their limits and quotes."""

    delimiter: str
    encoding: str
    width: int
    record_bytes_max: int
    quoting: Quoting = Quoting.RFC4180
    multiline: Multiline = Multiline.GUARDED

    def fields(self, lines: Iterable[str], *, strict: bool = True) -> Iterator[list[str]]:
        """Give the fields of each record of these lines."""
        return read_fields(lines, self.delimiter, self.quoting, strict=strict)

    def is_clean(self, text: str) -> bool:
        """Say whether every field is plain, or quoted from its beginning to its end."""
        return self.quoting is Quoting.NONE or bool(
            _clean(self.delimiter, self.quoting).fullmatch(text.rstrip("\r\n"))
        )


def read_fields(
    lines: Iterable[str], delimiter: str, quoting: Quoting, *, strict: bool = True
) -> Iterator[list[str]]:
    """Give the fields of each record of some lines.

    Args:
        lines: Lines with their ends; a record may span several.
        delimiter: One character.
        quoting: How fields are quoted.
        strict: Whether a stray quote is an error, and not a part of the value.

    Raises:
        csv.Error: While iterating: a line is no record; the message repeats nothing of it.
    """
    # A blank before a quote would make the quote a part of the value.
    skips = delimiter != " "
    if quoting is Quoting.NONE:
        return csv.reader(
            lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, quotechar=None, strict=strict
        )
    if quoting is Quoting.BACKSLASH:
        sign = re.escape(delimiter)
        whole = re.compile(rf"(?:^|(?<={sign})) *\\N *(?={sign}|\r?\n?$)")
        kept = (whole.sub(r"\\\\N", line) for line in lines)
        return csv.reader(
            kept, delimiter=delimiter, escapechar="\\", skipinitialspace=skips, strict=strict
        )
    quote = "'" if quoting is Quoting.SINGLE else '"'
    return csv.reader(
        lines, delimiter=delimiter, quotechar=quote, skipinitialspace=skips, strict=strict
    )


@lru_cache(maxsize=16)
def _clean(delimiter: str, quoting: Quoting) -> re.Pattern[str]:
    sign, quote = re.escape(delimiter), "'" if quoting is Quoting.SINGLE else '"'
    escaped = r"|\\." if quoting is Quoting.BACKSLASH else ""
    stop = quote + (r"\\" if escaped else "")
    blanks = "" if delimiter == " " else " *"
    quoted = rf"{quote}(?:[^{stop}]|{quote}{quote}{escaped})*{quote}"
    plain = rf"(?:(?:[^{stop}{sign} ]{escaped})(?:[^{stop}{sign}]{escaped})*)?"
    one = rf"{blanks}(?:{quoted}|{plain})"
    return re.compile(rf"{one}(?:{sign}{one})*", re.DOTALL)
