"""Refuses an export that is not the one that was meant: other bytes, other or too many rows.

What is meant is told in `[rules]`; zero and nothing mean that anything is fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pipeline.counts import agreeing, counted
from pipeline.errors import ExportDamaged, ExportRefused, SettingsRefused, TooManyFailures
from pipeline.model import FAILURE_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.config.models import RuleSettings
    from pipeline.model import RowState

_ASK: Final = "Ask the sender which file was meant, or correct the settings."


@dataclass(frozen=True, slots=True)
class Expectations:
    """What an export has to be like as a whole.

    Attributes:
        rows_max: Rows that each export may have; 0 is no bound.
        rows: Rows that the only export has; 0 is any number.
        sha256: Of the only export's sealed bytes, hexadecimal in lower case; None is any.
        sha256_beside: The same, as the `.sha256` file that lies beside it says.
    """

    rows_max: int = 0
    rows: int = 0
    sha256: str | None = None
    sha256_beside: str | None = None

    @classmethod
    def of(cls, rules: RuleSettings, sha256_beside: str | None = None) -> Expectations:
        """Give what the settings say, and the file that lies beside the export."""
        return cls(rules.max_rows, rules.expect_rows, rules.expect_sha256, sha256_beside)

    def require_one(self, exports: Sequence[Path]) -> None:
        """Refuse several exports where the settings speak of one.

        Raises:
            SettingsRefused: They do.
        """
        if len(set(exports)) > 1 and (self.rows or self.sha256):
            raise SettingsRefused(
                [f"rules.expect_rows and rules.expect_sha256 speak of one export of {len(exports)}"]
            )

    def check_bytes(self, name: str, sha256: str) -> None:
        """Refuse another file than the one that was meant.

        Raises:
            ExportRefused: Its digest is another.
        """
        if self.sha256_beside is not None and sha256 != self.sha256_beside:
            raise ExportDamaged(
                f"{name}: its digest is not the one in {name}.sha256",
                next_step="Have it sent again.",
            )
        if self.sha256 is not None and sha256 != self.sha256:
            raise ExportRefused(
                f"{name}: it is not the export that rules.expect_sha256 names", next_step=_ASK
            )

    def check_count(self, rows: int, *, is_all: bool) -> None:
        """Refuse too many rows as soon as they are there, and another number at the end.

        Raises:
            ExportRefused: There are too many, too few, or simply others.
        """
        if self.rows_max and rows > self.rows_max:
            raise ExportRefused(
                f"it has more than {counted(self.rows_max, 'row')}, which rules.max_rows allows",
                next_step=_ASK,
            )
        if self.rows and (rows > self.rows or (is_all and rows != self.rows)):
            found = counted(rows, "row") if is_all else f"more than {counted(self.rows, 'row')}"
            raise ExportRefused(
                f"it has {found}, and rules.expect_rows says {self.rows:,}", next_step=_ASK
            )


def refuse_too_many_failures(name: str, states: Mapping[RowState, int], rate_max: float) -> None:
    """Refuse an export of which more rows fail than may.

    Args:
        name: The export's name.
        states: Its rows by state.
        rate_max: The share of rows that may fail.

    Raises:
        TooManyFailures: More do.
    """
    rows, failures = sum(states.values()), sum(states[state] for state in FAILURE_STATES)
    if failures > failures_allowed(rows, rate_max):
        fail, least = agreeing(failures, "fails", "fail"), least_rate(rows, failures)
        raise TooManyFailures(
            f"{name}: {failures:,} of {counted(rows, 'row')} {fail}, more than "
            f"rules.max_failure_rate = {rate_max:g} allows (it would have to be {least}); nothing was sent",
            next_step="`cardferry check EXPORT -c CONFIG` shows what fails in it, and sends nothing. "
            f"Recommended: ask the sender for the whole file with {agreeing(failures, 'this row', 'these rows')} "
            f"corrected. Or set `max_failure_rate = {least}` (or more) under [rules] in the settings file, and "
            "give this file again: its sound rows are sent then, and the bad ones stay rejected and are not "
            "sent. The rule holds for every file: set it back afterwards.",
        )


def failures_allowed(rows: int, rate_max: float) -> int:
    """Give how many rows may fail; 29 of 100 at 0.29, of which binary fractions would make 28."""
    return int(Decimal(str(rate_max)) * rows)


def least_rate(rows: int, failures: int) -> str:
    """Give the least `max_failure_rate` that lets so many failures pass, with few digits."""
    digits = max(2, len(str(rows)))
    share = Decimal(-(-failures * 10**digits // rows)).scaleb(-digits)
    return f"{share.normalize():f}"
