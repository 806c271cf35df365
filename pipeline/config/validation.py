"""Checks settings: each table against its models, and what tables say together.

What is refused falls back to its default, so that one look shows every problem, in a sentence each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from pipeline.config.attach import PLACEHOLDER
from pipeline.config.models import Settings
from pipeline.config.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from pipeline.config.attach import AttachSettings

_OWN_PLACEHOLDERS: Final = frozenset({"customer", "legacy_id"})
"""What a template may name beside the carried columns."""


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


def disagreements(settings: Settings, attach: AttachSettings, refused: set[str]) -> Iterator[str]:
    """Say where the tables contradict one another.

    Args:
        settings: What could be read.
        attach: Its table `[attach]`.
        refused: Places already reported; what they would have said is not known.
    """
    are_known = not {"vault", "vault.url", "attach", "attach.url"} & refused
    if are_known and attach.is_loopback != settings.vault.is_loopback:
        here, there = ("attach", "vault") if attach.is_loopback else ("vault", "attach")
        yield f"{here}.url: is on this machine, and {there}.url is not"
    columns = settings.export.columns
    needs = attach.without_customer == "reject" or columns.customer_id or columns.is_default
    if needs and columns.customer is None and not any(p.startswith("export") for p in refused):
        yield "export.columns.customer: names no column, and [attach] groups cards by it"
    known = _OWN_PLACEHOLDERS.union(settings.export.carry)
    if any(name not in known for text in attach.templates for name in PLACEHOLDER.findall(text)):
        yield (
            "attach.metadata or attach.description: names something in braces that is neither"
            " customer, legacy_id nor a carried column"
        )


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
