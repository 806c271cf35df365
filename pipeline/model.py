"""Names what a row can be and what an attempt can end in.

A value here is frozen and carries no behaviour beyond reading itself. Nothing in this module
holds a card number; those live in `pipeline.cards.pan` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class RowState(StrEnum):
    """Where a row of an export stands in the ledger; every row is in exactly one."""

    PLANNED = "planned"
    SENT = "sent"
    AMBIGUOUS = "ambiguous"
    TOKENIZED = "tokenized"
    REJECTED = "rejected"
    FAILED = "failed"
    HELD = "held"
    ALREADY_TOKENIZED = "already_tokenized"
    SKIPPED = "skipped"


OPEN_STATES: Final = (RowState.PLANNED, RowState.SENT, RowState.AMBIGUOUS)
"""The states that a run still has to settle; the balance counts them as pending."""

CLAIMABLE_STATES: Final = (RowState.PLANNED, RowState.AMBIGUOUS)
"""The states that a row may be sent from."""

FAILURE_STATES: Final = (RowState.REJECTED, RowState.FAILED, RowState.HELD)
"""The states that the failure report lists."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that a stage refused or skipped: where, why, in which field, never with which value."""

    row: int
    code: str
    field: str | None = None
    legacy_id: str | None = None
    last_digits: str | None = None
    hint: str | None = None
    """What is known beyond the code ("card expired 11/2024"); a phrase of ours, never a value."""
    brand: str | None = None
    expiration: tuple[int, int] | None = None
    """Month and year, as the brand, of a card that is sound but expired: it may be a known one."""


NEVER_SENT: Final = "stopped before sending"
"""The evidence of an attempt that a stopping run did not make."""

NO_ANSWER: Final = "the run ended before an answer came"
"""The evidence of an attempt that a later run found open: the run died while it was under way."""

SEEN_BEFORE: Final = "token id seen before"
"""The evidence of an answer with a token id that another row has."""

WRONG_MODE: Final = "token of the other mode"
"""The evidence of the one FATAL outcome behind which a token was made."""


class OutcomeKind(StrEnum):
    """What one attempt came to, judged by evidence (design, section 4)."""

    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    OK = "ok"
    REJECTED = "rejected"
    DECLINED = "declined"
    DENIED = "denied"
    FATAL = "fatal"
    AMBIGUOUS = "ambiguous"
    MISMATCH = "mismatch"


class Token(NamedTuple):
    """What the vault says of a token it made; nothing here was in the export."""

    token_id: str
    card_id: str
    brand: str
    last_digits: str
    expiration_month: int
    expiration_year: int
    fingerprint: str | None
    livemode: bool
    created_at: datetime
    country: str | None = None


class Outcome(NamedTuple):
    """How one attempt ended.

    Attributes:
        kind: The class that the evidence proves.
        evidence: One of our own short phrases ("status 503"), never the vault's text.
        token: The token that the answer speaks of, for OK and MISMATCH.
        vault_code, request_id: The vault's code of an error and its id of the request.
        retry_after_s: Seconds from the answer's arrival, already clamped.
        setting: For FATAL and DENIED: which setting to look at, in words.
        is_unseen: Whether a token was made that the ledger will not know (wrong mode).
        is_of_form: For REJECTED: it speaks of the request's form, which may be our doing.
    """

    kind: OutcomeKind
    evidence: str
    token: Token | None = None
    vault_code: str | None = None
    request_id: str | None = None
    retry_after_s: float | None = None
    setting: str | None = None
    is_unseen: bool = False
    is_of_form: bool = False
