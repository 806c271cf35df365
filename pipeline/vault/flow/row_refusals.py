"""Tells a vault that refuses everybody from a vault that refuses one row.

A 403, 404, redirect or 429 may speak of all rows (a wrong key, a limit) or of the one that drew it
(a firewall that dislikes a name). What the other rows get decides: a refusal is the row's own once
others succeed between its tries. Pure: rows are numbers, successes are counted by the caller.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

DENIED_ROWS_MAX: Final = 3
"""So many rows denied with no success between are the vault's word for all."""

DENIALS_MAX: Final = 3
"""So often one row is tried before its denial is believed to be its own."""

FORMS_MAX: Final = 20
"""When the first so many cards are all rejected for their form, the form is our doing."""

_WINDOW: Final = 256
_UNLIKELY: Final = 1e-3
"""Where it is less likely that a limit for all hit one row so often by chance, the row is suspect and
the shared rate learns nothing from it."""

_IMPOSSIBLE: Final = 1e-9
"""Where it is less likely than this, the refusal is the row's own."""

_THROTTLES_MIN: Final = 5
_SUSPECT_MIN: Final = 3
"""A row that is unlikely to draw so many tries by a limit for all makes others suspect, too, until it
is through: else the first refusals of each of several such rows would make everybody wait."""
_ALONE_MAX: Final = 20
"""Tries after which the last row of all, with nobody left to compare it with, is set aside."""


class Refusal(Enum):
    """Whom a refusal speaks of."""

    OF_ALL = "of all"
    UNCLEAR = "unclear"
    OF_THIS_ROW = "of this row"


class _Throttled(NamedTuple):
    """What a row that draws 429s has been through.

    Attributes:
        times: How often in a row it was throttled.
        since: Successes of all rows at the first time.
        quiet: Tries of it in a row between which nobody succeeded.
        last: Successes of all rows at the last time.
    """

    times: int
    since: int
    quiet: int
    last: int


class _InARow:
    """The rows whose first try was refused since the last success of any row.

    Later tries do not count, as rows that were set aside come back several at a time.
    """

    def __init__(self) -> None:
        self._rows: set[int] = set()
        self._successes = 0

    def others(self, row: int, successes: int, *, first_try: bool) -> int:
        """Count the rows beside this one."""
        if successes != self._successes:
            self._rows.clear()
            self._successes = successes
        if first_try:
            self._rows.add(row)
        return len(self._rows - {row})


class RowRefusals:
    """Remembers which rows are refused at the moment, and what became of the others meanwhile."""

    def __init__(self) -> None:
        self._denied: dict[int, int] = {}
        self._throttled: dict[int, _Throttled] = {}
        self._suspects: set[int] = set()
        self._denied_in_a_row = _InARow()
        self._throttled_in_a_row = _InARow()
        self._fresh: list[int] = []
        self._forms = 0
        self._rows_own = False

    @property
    def any_open(self) -> bool:
        """Whether some row is being refused."""
        return bool(self._denied or self._throttled)

    def forget(self, row: int) -> None:
        """Take in that a row was not refused this time."""
        self._denied.pop(row, None)
        self._throttled.pop(row, None)
        self._suspects.discard(row)

    def denied(self, row: int, successes: int) -> Refusal:
        """Take in a 403, 404 or redirect.

        Args:
            row: The row's id.
            successes: Answers of this run so far that show the vault at work.
        """
        times = self._denied[row] = self._denied.get(row, 0) + 1
        others = self._denied_in_a_row.others(row, successes, first_try=times == 1)
        if others + 1 >= DENIED_ROWS_MAX:
            return Refusal.OF_ALL
        if times < DENIALS_MAX:
            return Refusal.UNCLEAR
        self.forget(row)
        return Refusal.OF_THIS_ROW if successes else Refusal.OF_ALL

    def throttled(self, row: int, successes: int) -> Refusal:
        """Take in a 429; arguments as for `denied`."""
        known = self._throttled.get(row) or _Throttled(0, successes, 0, successes)
        quiet = known.quiet + 1 if successes == known.last else 0
        times, since = known.times + 1, known.since
        self._throttled[row] = _Throttled(times, since, quiet, successes)
        if times == 1:
            self._fresh = [at for at in self._fresh if at > successes - _WINDOW] + [successes]
        alone = not self._throttled_in_a_row.others(row, successes, first_try=times == 1)
        chance = self._share(successes) ** times
        others_succeed = successes - since >= times
        if quiet >= _ALONE_MAX and alone and successes:
            return self._own(row)
        if others_succeed and times >= _THROTTLES_MIN and chance < _IMPOSSIBLE:
            return self._own(row)
        is_unlikely = others_succeed and chance < _UNLIKELY
        if is_unlikely and times >= _SUSPECT_MIN:
            self._suspects.add(row)
        are_likely = self._rows_own or bool(self._suspects)
        if is_unlikely or (are_likely and alone and successes):
            return Refusal.UNCLEAR
        return Refusal.OF_ALL

    def rejected_for_form(self, tokens: int) -> Refusal:
        """Take in that a card was rejected for its form; `tokens` were made in this run so far."""
        self._forms += 1
        return Refusal.OF_ALL if not tokens and self._forms >= FORMS_MAX else Refusal.OF_THIS_ROW

    def _own(self, row: int) -> Refusal:
        """Take in that a refusal is this row's own; from now on one row's 429 says nothing of the limit."""
        self._rows_own = True
        self.forget(row)
        return Refusal.OF_THIS_ROW

    def _share(self, successes: int) -> float:
        """Give the share of rows that were throttled at their first try, from above.

        Nearly every row succeeds in the end, so successes stand for rows.
        """
        return min(1.0, (len(self._fresh) + 1) / (min(successes, _WINDOW) + 1))
