"""Finds records and their fields in JSON objects, by dotted paths.

`customers.*.cards.*` leads to each card of each customer; `*` is each member of a list or of an
object. A field's path may begin with `..` for each object outwards: in a card `..id` is the
customer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ExportRefused
from pipeline.exports.records import NO_CARD, NO_RECORD, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EACH: Final = "*"

Chain = tuple[dict[str, Any], ...]
"""A record and the objects around it, innermost first."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where a field stands: how many objects outwards, and by which key or keys."""

    climbs: int
    key: str
    keys: tuple[str, ...]

    @classmethod
    def parse(cls, source: str) -> FieldPath:
        """Read a source column of the settings."""
        climbs = 0
        while source.startswith(".."):
            source, climbs = source[2:], climbs + 1
        return cls(climbs, source, tuple(source.split(".")))

    def find(self, chain: Chain) -> object:
        """Give the value, or None where there is none."""
        if self.climbs >= len(chain):
            return None
        found = chain[self.climbs]
        value: object = found.get(self.key)
        if value is None and len(self.keys) > 1:
            value = found
            for key in self.keys:
                if not isinstance(value, dict):
                    return None
                value = value.get(key)
        return value


class RecordPath:
    """The path to the records in the values of an export; it remembers whether it led anywhere."""

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = tuple(steps)
        self._was_followed = False
        self._was_there = False

    def refuse_leading_nowhere(self) -> None:
        """Refuse an export none of whose values had what the path names, not even an empty list.

        Raises:
            ExportRefused: None had; then the path is wrong, for customers without cards have an
                empty list there.
        """
        if self._was_followed and not self._was_there:
            raise no_records()

    def records_in(self, value: object) -> Iterator[Chain | Unread]:
        """Give each record that the path leads to in a value, or a code in its place.

        A list that is empty or not there is an object without cards: one `no_card`, so that no
        customer is lost without a word.
        """
        if not self._steps and isinstance(value, dict):
            return iter(((value,),))
        self._was_followed = True
        return self._records(value, self._steps, ())

    def _records(
        self, value: object, steps: Sequence[str], outer: Chain
    ) -> Iterator[Chain | Unread]:
        if isinstance(value, dict):
            outer = (value, *outer)
        if not steps:
            self._was_there = True
            yield outer if isinstance(value, dict) else NO_RECORD
            return
        step, rest = steps[0], steps[1:]
        if step == EACH:
            members = list(value.values()) if isinstance(value, dict) else value
            self._was_there |= members == [] or not isinstance(members, list | None)
            if value is None or members == []:
                yield NO_CARD
            elif not isinstance(members, list):
                yield NO_RECORD
            else:
                # The members of a map stand in it as in a list: it is no object around them.
                around = outer[1:] if isinstance(value, dict) else outer
                for member in members:
                    yield from self._records(member, rest, around)
        elif isinstance(value, dict):
            yield from self._records(value.get(step), rest, outer)
        else:
            self._was_there |= value is not None
            yield NO_CARD if value is None else NO_RECORD


def no_records() -> ExportRefused:
    """Give the refusal of an export that has no records where the settings look for them."""
    return ExportRefused(
        "the export is JSON without records where the settings look for them",
        next_step="Set `export.records` to their path, such as `customers.*.cards.*`; "
        "`cardferry init` with the export names the one that it finds.",
    )
