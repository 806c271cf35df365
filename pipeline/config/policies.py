"""Names the choices that settings offer between two ways of going on."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Which of the vault's two worlds a migration belongs to."""

    TEST = "test"
    LIVE = "live"


class OnExpired(StrEnum):
    """What becomes of a card that has expired: `rules.expired`."""

    REJECT = "reject"
    TOKENIZE = "tokenize"


class OnInvalidOptional(StrEnum):
    """What becomes of an optional field that cannot be used: `rules.optional_invalid`."""

    REJECT = "reject"
    """Its row is rejected."""
    DROP = "drop"
    """The field is left out and counted; the card is sent without it."""


class OnLookalike(StrEnum):
    """What becomes of an id that passes as a card number by chance: `rules.lookalike_ids`."""

    REJECT = "reject"
    ALLOW = "allow"


class OnAmbiguous(StrEnum):
    """What becomes of a row whose answer was lost: `flow.on_ambiguous`."""

    RETRY = "retry"
    """Sent once more: a second token may then exist."""
    HOLD = "hold"
    """Held until an operator decides."""


class OnSecurityCode(StrEnum):
    """What becomes of a column that holds security codes: `export.security_code_column`."""

    REFUSE = "refuse"
    DROP = "drop"


class Quoting(StrEnum):
    """How the fields of a CSV export are quoted: `export.quoting`."""

    RFC4180 = "rfc4180"
    """Double quotes around a field, doubled inside it."""
    NONE = "none"
    """A quote is a character like any other, as in the tab-separated files of databases."""
    BACKSLASH = "backslash"
    """Double quotes around a field, and a backslash before what would be special inside it."""
    SINGLE = "single"
    """Single quotes around a field, doubled inside it."""


class Multiline(StrEnum):
    """Whether a record of a CSV export may span lines: `export.multiline`."""

    GUARDED = "guarded"
    """It may, unless it looks like several records that a stray quote has joined."""
    NEVER = "never"
    ALWAYS = "always"
