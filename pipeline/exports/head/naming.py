"""Says what a column's name may mean, and how much of its values is of a kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.exports.head.field_names import PREFIXES, RANKS
from pipeline.exports.security_codes import squashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def rank(name: str, kind: str) -> int | None:
    """Say how surely a name means a kind of field: 0 is the surest, None not at all."""
    ranks = RANKS[kind]
    found = [ranks[key] + 100 * place for place, key in enumerate(_keys(name)) if key in ranks]
    return min(found, default=None)


def ranked(names: Iterable[str], kind: str) -> list[str]:
    """Give the names that mean a kind of field, the surest first."""
    ranks = {name: rank(name, kind) for name in names}
    known = {name: place for name, place in ranks.items() if place is not None}
    return sorted(known, key=lambda name: known[name])


def share(texts: Sequence[str], is_one: Callable[[str], object]) -> float:
    """Say how much of the texts that are not empty is of a kind: 0 to 1."""
    filled = [text for text in texts if text]
    return sum(map(bool, map(is_one, filled))) / len(filled) if filled else 0.0


def _keys(name: str) -> list[str]:
    """Give what a name may be looked up as: whole, its last part, and without what stands before."""
    last = re.split(r"[.\[/:]", name.strip("]").lstrip("."))[-1]
    keys = [squashed(name), squashed(last)]
    for key in keys[:]:
        keys += [key.removeprefix(prefix) for prefix in PREFIXES if key.startswith(prefix)]
    return [key for key in dict.fromkeys(keys) if key]
