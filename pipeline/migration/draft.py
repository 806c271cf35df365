"""Holds what an export's first bytes tell of its settings, and says what of it may be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.cards.detect import texts_containing_pan
from pipeline.exports.head.fields import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(slots=True)
class Draft:
    """Settings as far as an export's first bytes tell them.

    Attributes:
        export: Keys of `[export]` beside key and columns, in order.
        columns: What is known of the columns.
        preset: The known format it is in.
        unsure: What a person has to look at, a sentence each.
        shapes: What the values of columns look like that are not mapped.
        unused: Columns that nothing is made of, with what speaks for a role and what against it.
        is_of_test_cards: Whether all of the first card numbers are published test numbers.
    """

    export: dict[str, object] = field(default_factory=dict)
    columns: Columns = field(default_factory=Columns)
    preset: str | None = None
    unsure: list[str] = field(default_factory=list)
    shapes: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    is_of_test_cards: bool = False

    def described(self, names: Sequence[str], quoted: Callable[[str | list[str]], str]) -> str:
        """Give a candidate, a column or several together, with what its values look like."""
        if len(names) > 1:
            return quoted([*names])
        looks = self.shapes.get(names[0])
        return quoted(names[0]) + (f" ({looks})" if looks else "")

    def candidates(self, kind: str, quoted: Callable[[str | list[str]], str], between: str) -> str:
        """Give the candidates for a kind, or what there is instead of one."""
        told = [self.described(names, quoted) for names in shown(self.columns.unsure[kind])]
        if told:
            return between.join(told)
        for name, role in self.unused.items():
            if role.startswith(f"named like {kind}, ") and may_be_shown(name):
                return f"none; {quoted(name)} is {role}"
        return "no column of that kind seen"


def noted(columns: Columns, kind: str) -> str:
    """Give what is odd about the columns of a kind, to stand behind them."""
    return f": {columns.notes[kind]}" if kind in columns.notes else ""


def shown(candidates: Sequence[str | tuple[str, ...]]) -> list[list[str]]:
    """Give the candidates that may be shown, each as the columns that it is made of."""
    sources = [[each] if isinstance(each, str) else [*each] for each in candidates]
    return [names for names in sources if all(map(may_be_shown, names))]


def may_be_shown(name: str) -> bool:
    """Tell whether a column name may stand in a file: one line, short, and no card number in it."""
    return name.isprintable() and len(name) <= 80 and not texts_containing_pan([name])[0]  # noqa: PLR2004
