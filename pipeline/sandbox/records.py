"""Names what the sandbox's state keeps and gives, one record each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is kept.

    Attributes:
        ident: The token's id.
        used: Whether it was charged or attached.
        charge_status: As the API shows it.
        failure_code: What its charges fail with; None when they succeed.
        card: The card as the API shows it on an unused token.
    """

    ident: str
    used: bool
    charge_status: str
    failure_code: str | None
    card: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A customer, card or charge as it is kept.

    Attributes:
        ident: Its id.
        parent: The customer of a card, the token of a charge, else "".
        deleted: Whether it was deleted.
        hidden: What the API does not show.
        shown: What the API shows, in the newest version.
    """

    ident: str
    parent: str
    deleted: bool
    hidden: dict[str, Any]
    shown: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted; times compare as RFC 3339 texts in UTC."""

    since: str
    until: str
    newest_first: bool
    limit: int
    offset: int
