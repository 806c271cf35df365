"""Makes the wrong answers that a fault script asks for, out of the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from pipeline.sandbox.refusals import (
    authentication_failure,
    internal_error,
    service_unavailable,
    too_many_requests,
)
from pipeline.sandbox.router import Reply, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.sandbox.context import Shown
    from pipeline.sandbox.refusals import Refusal

HAVE_IDS: Final = frozenset({"token", "customer", "card"})
"""The kinds of answers that `U` gives another's id."""

PAGE: Final = b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>\n"

_INSTEAD: Final[dict[str, Callable[[], Refusal]]] = {
    "5": internal_error,
    "3": service_unavailable,
    "9": lambda: too_many_requests(1),
    "8": lambda: too_many_requests(None),
    "A": authentication_failure,
}


def instead_of_work(letter: str, *, is_vaults: bool) -> Reply | None:
    """Give the answer of a letter that does no work, None for the others."""
    if letter == "J":
        return Reply(200, {}, None, None, is_vaults)
    refusal = _INSTEAD.get(letter)
    return refused(refusal(), is_vaults=is_vaults) if refusal else None


def altered(letter: str, shown: Shown, last_id: str | None) -> Shown:
    """Give an answer with the lie that the letter asks for.

    Args:
        letter: The request's letter.
        shown: The true answer; it is not changed.
        last_id: The id in the last answer with an object of the same kind.
    """
    if letter == "W":
        return _with_other_digits(shown)
    if letter == "L" and "livemode" in shown:
        return {**shown, "livemode": not shown["livemode"]}
    if letter == "U" and last_id and shown.get("object") in HAVE_IDS:
        location = (shown["location"] or "").replace(shown["id"], last_id)
        return {**shown, "id": last_id, "location": location or None}
    return shown


def _with_other_digits(shown: Shown) -> Shown:
    """Change the last four of the card that an answer shows, or of every card in it."""
    for name in ("cards", "data"):
        if isinstance(inner := shown.get(name), dict):
            return {**shown, name: _with_other_digits(inner)}
        if isinstance(inner, list):
            return {**shown, name: [_with_other_digits(item) for item in inner]}
    if isinstance(shown.get("card"), dict):
        return {**shown, "card": _with_other_digits(shown["card"])}
    if "last_digits" in shown:
        return {**shown, "last_digits": f"{(int(shown['last_digits']) + 1) % 10_000:04d}"}
    return shown


def encoded(letter: str, shown: Shown) -> bytes:
    """Give an answer's bytes: JSON, half of it for `T`, a page for `J`."""
    if letter == "J":
        return PAGE
    raw = orjson.dumps(shown)
    return raw[: len(raw) // 2] if letter == "T" else raw
