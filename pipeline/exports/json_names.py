"""Finds out whether the records of JSON name what every card has, and refuses an export of which none does.

JSON has no header: a key that is not there is an empty field, and records without a card are
skipped. So where the settings name the card number otherwise than the export does, or it is another
system's, each record by itself looks like a customer without a card. Only all of them together tell.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ExportRefused
from pipeline.exports.card_fields import is_of_cards
from pipeline.exports.column_names import (
    METHOD,
    OTHER_METHOD,
    in_another_case,
    lacked,
    tells_expiration,
    to_set,
    whole_name,
)
from pipeline.exports.json_columns import DEPTH_MAX, as_text
from pipeline.exports.json_paths import FieldPath

if TYPE_CHECKING:
    from pipeline.exports.columns import ReaderOptions
    from pipeline.exports.json_paths import Chain

_NUMBER: Final = "number"
_EXPIRATIONS: Final = frozenset(("expiration", "expiration_month", "expiration_year"))
_OF_EVERY_CARD: Final = frozenset(("legacy_id", _NUMBER, "name")) | _EXPIRATIONS
"""What JSON may not lack; whatever else is mapped a writer leaves out where it is empty."""


class Naming(Enum):
    """What a record says of a field by its keys."""

    NAMED = "named"
    """The key stands there, be it with nothing under it."""
    EMPTY = "empty"
    """What it should stand in is there, and empty: `"card": null`."""
    ABSENT = "absent"


class RequiredNames:
    """Remembers what of every card the records of an export have named so far.

    Args:
        options: Which columns are wanted, and what tells other payment methods.
    """

    def __init__(self, options: ReaderOptions) -> None:
        wanted = options.wanted()
        self._wanted = wanted
        self._paths = {
            name: FieldPath.parse(source)
            for name, source in wanted.items()
            if whole_name(name) in _OF_EVERY_CARD
        }
        self._methods = [
            (whole_name(name), FieldPath.parse(source))
            for name, source in wanted.items()
            if whole_name(name) in {METHOD, OTHER_METHOD}
        ]
        self._number = FieldPath.parse(wanted[_NUMBER])
        self._named: set[str] = set()
        self._has_numbers = self._has_lost_one = False
        # Of the first record that has a card number, or of which nothing says why it has none.
        self._names: list[str] = []
        self.are_found = False
        """Whether all of it was named."""

    def look(self, chain: Chain) -> None:
        """Look at the keys of a record and of the objects around it."""
        for name, path in self._paths.items():
            if name not in self._named and naming(path, chain) is Naming.NAMED:
                self._named.add(name)
        self.are_found = not self._missing()
        if self._has_numbers or (self._has_lost_one and _NUMBER not in self._named):
            return
        self._has_numbers = bool(_text(self._number, chain))
        self._has_lost_one = not self._has_numbers and self._is_lost(chain)
        if self._has_numbers or self._has_lost_one:
            self._names = names_in(chain[0])

    def _is_lost(self, chain: Chain) -> bool:
        """Say whether a record without a number says nothing that explains it.

        It is another payment method, what its card should stand in is empty, or all of it is.
        """
        if not chain[0] or naming(self._number, chain) is Naming.EMPTY:
            return False
        texts = [(kind, _text(path, chain)) for kind, path in self._methods]
        return all(is_of_cards(text) if kind == METHOD else not text for kind, text in texts)

    def _missing(self) -> list[str]:
        """Give the frame columns that no record named, and that no other one stands for."""
        needed = [name for name in self._paths if name not in self._named]
        if any(whole_name(name) == "name" for name in self._named):
            needed = [name for name in needed if whole_name(name) != "name"]
        if tells_expiration(self._named):
            needed = [name for name in needed if whole_name(name) not in _EXPIRATIONS]
        return needed

    def end(self) -> None:
        """Judge what was missing in all records.

        Raises:
            ExportRefused: No record names the card number though some had to, or there are
                numbers and no record names something else that every card has.
        """
        missing = self._missing()
        judges = self._has_lost_one if _NUMBER in missing else self._has_numbers
        if not missing or not judges:
            return
        if in_another_case(missing, self._names, self._wanted):
            hint = "The records spell them in other letters' case: correct `[export.columns]`."
        else:
            hint = (
                f"{to_set(missing, self._wanted)}; or ask for an export that has them. Where cards "
                "lie deeper in it, `export.records` is to lead to them; `cardferry init` with the "
                "export looks for both."
            )
        if _NUMBER in missing:
            hint += " If it is right that it has no card, nothing of it is to be carried."
        raise ExportRefused(
            f"no record of the export has {' or '.join(lacked(missing, self._wanted))}",
            next_step=hint,
        )


def names_in(found: dict[str, Any], around: str = "") -> list[str]:
    """Give the paths of an object's fields, those of the objects in it with dots."""
    names: list[str] = []
    for key, value in found.items():
        if isinstance(value, dict) and around.count(".") < DEPTH_MAX:
            names += names_in(value, f"{around}{key}.")
        else:
            names.append(around + key)
    return names


def naming(path: FieldPath, chain: Chain) -> Naming:
    """Say whether a record names a field."""
    if path.climbs >= len(chain):
        return Naming.ABSENT
    value: Any = chain[path.climbs]
    if path.key in value:
        return Naming.NAMED
    for depth, key in enumerate(path.keys):
        if not isinstance(value, dict) or key not in value:
            return Naming.EMPTY if depth and not value else Naming.ABSENT
        value = value[key]
    return Naming.NAMED


def _text(path: FieldPath, chain: Chain) -> str:
    value = path.find(chain)
    return "" if isinstance(value, (dict, list)) else as_text(value).strip()
