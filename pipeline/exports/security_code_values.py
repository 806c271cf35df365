"""Checks by their values the columns whose names speak of security codes, tracks or PINs.

A name alone refuses harmless exports: `cid` is a customer's id, `pin_code` an Indian post code, and
a column `has_cvv` of yes and no holds no code. So a certain name is refused at the first value that
is more than a flag, and an ambiguous one where nearly every value has three or four digits.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pipeline.cards.detect import holds_track
from pipeline.errors import ExportRefused
from pipeline.exports.security_codes import Suspicion, suspicion

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

_CODE: Final = re.compile(r"[0-9]{3,4}")
_FLAG: Final = re.compile(
    r"|[01]|[a-z]|true|false|yes|no|none|null|nan|n/a|\\n|-+|\*+|x+|match(?:ed)?|pass(?:ed)?|fail(?:ed)?"
    r"|(?:un)?(?:available|checked|verified)|present|absent|provided|missing|removed|redacted|not[ _].*",
    re.IGNORECASE,
)
_SHARE: Final = 0.9
_ROWS_IN_ORDER: Final = 10
_TOLD_MAX: Final = 60


class CodeColumns:
    """The suspect columns of one export, and what was seen in them so far."""

    def __init__(self, own: tuple[str, ...] = ()) -> None:
        """Begin with no column; `own` names are added to ours, or taken off by a `-`."""
        self._own = own
        self._columns: dict[Hashable, _Column] = {}

    def is_suspect(self, name: str) -> bool:
        """Say whether a column or key of this name has to be looked at."""
        return suspicion(name, self._own) is not Suspicion.NONE

    def look(self, name: str, values: Iterable[Any], place: int | None = None) -> None:
        """Look at some values of a suspect column.

        Args:
            name: Its header or key.
            values: Texts, or what JSON holds.
            place: Where it stands in the header, counted from 0.

        Raises:
            ExportRefused: They are codes beyond doubt.
        """
        key = name if place is None else place
        column = self._columns.get(key)
        if column is None:
            is_certain = suspicion(name, self._own) is Suspicion.CERTAIN
            column = self._columns[key] = _Column(_told(name, place), is_certain=is_certain)
        for value in values:
            column.look(value)
        if column.is_certain and column.filled:
            raise _refusal([column.told])

    def check(self) -> None:
        """Check the ambiguous columns, once every row was seen.

        Raises:
            ExportRefused: Nearly every value of one of them is like a code.
        """
        full = [column.told for column in self._columns.values() if column.is_of_codes()]
        if full:
            raise _refusal(full)


class _Column:
    """What was seen in one column."""

    def __init__(self, told: str, *, is_certain: bool) -> None:
        self.told = told
        self.is_certain = is_certain
        self.filled = 0
        self._codes = 0
        self._last = -1
        self._ascends = True

    def look(self, value: Any) -> None:
        for text in _texts(value):
            if _FLAG.fullmatch(text):
                continue
            self.filled += 1
            is_code = _CODE.fullmatch(text) is not None
            self._codes += is_code or holds_track(text)
            if is_code:
                self._ascends = self._ascends and int(text) > self._last
                self._last = int(text)

    def is_of_codes(self) -> bool:
        """Say whether nearly every value is one; ids that count upwards are none."""
        counts_up = self._ascends and self.filled >= _ROWS_IN_ORDER
        return self._codes > 0 and self._codes >= _SHARE * self.filled and not counts_up


def _texts(value: Any) -> Iterator[str]:
    """Give the texts in a value of CSV or JSON, however deep they lie."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, (int, float, Decimal)):
        yield str(value)
    else:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _told(name: str, place: int | None) -> str:
    shown = name if name.isprintable() and len(name) <= _TOLD_MAX and "`" not in name else ""
    if place is None:
        return f"`{shown}`" if shown else "a key"
    return f"`{shown}` (column {place + 1})" if shown else f"column {place + 1}"


def _unless(told: str) -> str:
    """Say how a column is taken off that holds no code, by its name where that can be shown."""
    name = told.partition("`")[2].partition("`")[0]
    if not name or '"' in name or "\\" in name:
        return ""
    return (
        f" Only if `{name}` holds something else in truth, set "
        f'`security_code_columns = ["-{name}"]` there, and give this file again.'
    )


def _refusal(columns: Sequence[str]) -> ExportRefused:
    return ExportRefused(
        f"the export holds security codes, tracks or PINs: {', '.join(columns)}",
        next_step="Recommended: ask the sender for the same export without them. If it cannot be had so, set "
        '`security_code_column = "drop"` under [export] in the settings file, which leaves the codes '
        "unread, and give this file again."
        + "".join(map(_unless, columns))
        + " Such a setting holds for every file: set it back afterwards."
        + " PCI DSS 3.3.1 forbids keeping security codes: once its cards are in, delete "
        "this file.",
    )
