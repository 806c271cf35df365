"""Chooses, by `metadata_on_update=merge`, what happens where nobody knows the real vault.

Every open question of the wire notes that changes an answer is a setting here, with a documented
default, so that a rehearsal can be run against either guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

_CHOICES: Final = "choices"
_MEANING: Final = "meaning"


class AssumptionRefused(ValueError):
    """The word names no assumption, or a value that it cannot have."""


def _choice(default: str, other: str, meaning: str) -> Any:
    return field(default=default, metadata={_CHOICES: (default, other), _MEANING: meaning})


def _count(default: int, meaning: str) -> Any:
    return field(default=default, metadata={_CHOICES: (), _MEANING: meaning})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the vault does where the real one's behaviour is unknown."""

    card_after_use: str = _choice(
        "null", "kept", "`card` of a used token (recorded once as null in test mode)"
    )
    security_code_check_without_code: str = _choice(
        "false", "true", "`security_code_check` of a card that came without a code"
    )
    metadata_on_update: str = _choice("replace", "merge", "what `metadata` in a PATCH does")
    failed_charge: str = _choice(
        "uses_token", "spares_token", "whether a charge that fails uses its token up"
    )
    email_on_card: str = _choice("hidden", "shown", "whether a card shows the `card[email]` sent")
    deleted_object: str = _choice(
        "not_found", "shown", "what GET answers for a deleted customer or card"
    )
    unknown_version: str = _choice(
        "default", "refused", "an Omise-Version that does not exist: the default one, or 400"
    )
    token_life_s: int = _count(0, "seconds until an unused token is gone; 0 for never")
    name_length_max: int = _count(255, "characters that a cardholder name may have")
    body_bytes_max: int = _count(1_048_576, "bytes that a request body may have")


def describe() -> list[tuple[str, str, str]]:
    """Give name, values (the default first) and meaning of every assumption, for help texts."""
    return [
        (
            entry.name,
            "|".join(entry.metadata[_CHOICES]) or f"{entry.default} (a number)",
            entry.metadata[_MEANING],
        )
        for entry in fields(Assumptions)
    ]


def read_assumptions(words: tuple[str, ...]) -> Assumptions:
    """Read `NAME=VALUE` words.

    Raises:
        AssumptionRefused: An unknown name, or a value that is none of its choices.
    """
    known = {entry.name: entry.metadata[_CHOICES] for entry in fields(Assumptions)}
    changes: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise AssumptionRefused(f"{name!r} is none of {', '.join(known)}")
        if known[name] and value not in known[name]:
            raise AssumptionRefused(f"{name} is one of {', '.join(known[name])}")
        if not known[name] and not value.isdecimal():
            raise AssumptionRefused(f"{name} is a whole number")
        changes[name] = value if known[name] else int(value)
    return replace(Assumptions(), **changes)
