"""Names columns: the parts that a field has, and what an export lacks, in the words of the settings.

`wanted` is frame column to source column, as `ReaderOptions.wanted` gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.cards.rows import CARRY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PART: Final = "#"
OTHER_METHOD: Final = "other_method"
METHOD: Final = "method"
_BY_DEFAULT: Final = frozenset(
    ("legacy_id", "number", "name", "expiration_month", "expiration_year")
)
"""What is looked for under its own name where nobody names a column for it."""


def part_name(name: str, place: int) -> str:
    """Name the column of one part of a field, counted from 0."""
    return f"{name}{_PART}{place}"


def whole_name(name: str) -> str:
    """Give the canonical name of a column that may be a part of it."""
    return name if name.startswith(CARRY_PREFIX) else name.partition(_PART)[0]


def tells_expiration(wanted: Iterable[str]) -> bool:
    """Say whether some frame columns tell month and year between them."""
    whole = set(map(whole_name, wanted))
    return "expiration" in whole or {"expiration_month", "expiration_year"} <= whole


def in_another_case(
    missing: Iterable[str], names: Iterable[str], wanted: Mapping[str, str]
) -> bool:
    """Say whether all that is missing is there, but for the case of letters."""
    return {wanted[name].casefold() for name in missing} <= {name.casefold() for name in names}


def lacked(missing: Sequence[str], wanted: Mapping[str, str]) -> list[str]:
    """Name what is missing as the settings call it, or, if no setting does, by its setting."""
    unnamed = _unnamed(missing, wanted)
    named = [name for name in missing if name not in unnamed]
    return [*_told(named, wanted), *_settings_of(unnamed)]


def to_set(missing: Sequence[str], wanted: Mapping[str, str]) -> str:
    """Say what to write for columns that are not there: of those that no setting names, which."""
    unnamed = _unnamed(missing, wanted)
    correct = ["correct `[export.columns]`"] if len(unnamed) < len(missing) else []
    if unnamed:
        settings = ", ".join(f"`export.columns.{name}`" for name in _settings_of(unnamed))
        correct.append(f"set {settings}, or where they are commented out choose a candidate")
    what = "; ".join(correct)
    return what[:1].upper() + what[1:]


def _unnamed(missing: Iterable[str], wanted: Mapping[str, str]) -> list[str]:
    return [name for name in missing if name in _BY_DEFAULT and wanted[name] == name]


def _settings_of(unnamed: list[str]) -> list[str]:
    if not {"expiration_month", "expiration_year"} <= set(unnamed):
        return unnamed
    return [name for name in unnamed if not name.startswith("expiration_")] + ["expiration"]


def listed(names: Iterable[str], wanted: Mapping[str, str]) -> str:
    """List columns, each with its source as the settings spell it."""
    return ", ".join(_told(names, wanted))


def _told(names: Iterable[str], wanted: Mapping[str, str]) -> list[str]:
    return [f"{whole_name(name)} (column `{wanted[name]}`)" for name in names]
