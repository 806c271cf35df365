"""Checks a tree of settings against the models; what is refused falls back to its default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.config.models import Settings
from pipeline.config.sentences import sentences

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def validate(tree: dict[str, Any], problems: list[str]) -> tuple[Settings, set[str]]:
    """Validate what can be validated; refused places fall back to defaults.

    With the refused places out of the way the rest can still be checked, so that one look
    shows every problem. The places come back so that nothing is said twice about them.
    """
    places: set[str] = set()
    while True:
        try:
            return Settings.model_validate(tree), places
        except ValidationError as error:
            # Only errors() without input is free of what was given (SAFETY.md, section 0).
            items = error.errors(include_input=False, include_url=False, include_context=False)
            refused = [_place(item) for item in items]
            told = sentences(
                [
                    (place, item["type"], item["msg"])
                    for place, item in zip(refused, items, strict=True)
                ]
            )
            problems.extend(text for text in told if text not in problems)
        for place in refused:
            places.add(".".join(place))
            _prune(tree, place)


def _place(item: ErrorDetails) -> list[str]:
    """Give the keys that lead to what was refused; an unknown key may look like anything."""
    loc = item["loc"]
    unknown = [str(loc[-1])] if item["type"] == "extra_forbidden" else []
    known = loc[:-1] if unknown else loc
    keys = [str(part) for part in known if not (isinstance(part, int) or _is_union_branch(part))]
    return keys + unknown


def _prune(tree: dict[str, Any], place: list[str]) -> None:
    """Take out the refused key, or the innermost table of it that exists."""
    *parents, _ = place
    table = tree
    for name in parents:
        inner = table.get(name)
        if not isinstance(inner, dict):
            table.pop(name, None)
            return
        table = inner
    if place[-1] in table:
        table.pop(place[-1])
        return
    # The refusal was about a key that is missing: the whole table is left to its defaults.
    outer = tree
    for name in parents[:-1]:
        outer = outer[name]
    outer.pop(parents[-1], None)


def _is_union_branch(part: str) -> bool:
    return part[:1].isupper() or "[" in part or "-" in part
