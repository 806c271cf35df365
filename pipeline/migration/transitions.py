"""Decides what becomes of a row after an attempt: every rule of the ledger protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.config.policies import OnAmbiguous
from pipeline.failure_codes import Code
from pipeline.model import OutcomeKind, RowState
from pipeline.vault.flow.row_refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.ledger.records import AttachClaim, Claim, Settlement
    from pipeline.migration.known_customers import KnownCustomer
    from pipeline.model import Outcome
    from pipeline.vault.interface import CardRequest, SentCard

FRAUD_CODES: Final = frozenset({"failed_fraud_check"})
RETRIES_OF_UNKNOWN: Final = {OnAmbiguous.RETRY: 1, OnAmbiguous.HOLD: 0}
"""How often a row whose outcome is unknown is sent again without an operator's word."""

FREE: Final = frozenset({OutcomeKind.NOT_SENT, OutcomeKind.THROTTLED, OutcomeKind.DENIED})
"""Outcomes that do not count against the row: the vault never looked at its card."""

FREE_ATTEMPTS_MAX: Final = 10_000
"""Even these come to an end for one row in one run, or its number of attempts would have none."""


@dataclass(frozen=True, slots=True)
class ToAttach:
    """Where a row's card is to go.

    Attributes:
        claim: The row, as the ledger has it.
        customer: The one that it goes to, shared with its other cards.
        fields: What a new customer is made with.
    """

    claim: AttachClaim
    customer: KnownCustomer
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(slots=True)
class WaitingCard:
    """A claimed row and the request that will be sent for it, wiped once the row is settled."""

    claim: Claim
    sent: SentCard
    request: CardRequest | None = field(repr=False)
    """None for a row that has its token and is only to be attached."""
    number: int
    """Attempts ever made for this row."""
    unknowns: int
    """Attempts ever made whose token may exist unseen."""
    counted: int = 0
    """Attempts of this run that count against the row."""
    free: int = 0
    """Attempts of this run that do not."""
    attaching: ToAttach | None = None
    """Where its card is to go, for good; None where there are tokens only."""
    keys: tuple[object, ...] = field(init=False)
    """What no two cards under way may share: what answers are told apart by, and customers."""
    made: Settlement | None = None
    """The outcome that made its token, until the first intent to attach it is written with it."""

    def __post_init__(self) -> None:
        to = self.attaching
        self.keys = (self.sent,) if to is None else (self.sent, to.customer)

    def wipe(self) -> None:
        """Overwrite the request; the row needs it no more."""
        if self.request is not None:
            self.request.wipe()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The settings that decide what becomes of a row and of the run."""

    attempts_max: int
    on_ambiguous: OnAmbiguous
    outage_max_s: float
    drain_s: float
    failures_max: int
    """More failures than this, in this run, stop it."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an outcome takes its row, and whether the row is tried again in this run."""

    state: RowState
    code: str | None = None
    unknowns: int = 0
    again: bool = False
    others_first_s: float | None = None
    """For how long at least some others go first, or that nobody has to. A row that is tried again
    behind others shows whether it is refused for itself."""


_AGAIN: Final = Transition(RowState.PLANNED, again=True)
_ASIDE: Final = Transition(RowState.PLANNED, again=True, others_first_s=1.0)
_BEHIND: Final = Transition(RowState.PLANNED, again=True, others_first_s=0.0)
_IN_DOUBT: Final = Transition(RowState.AMBIGUOUS, unknowns=1, again=True)
_UNKNOWN: Final = Transition(RowState.HELD, Code.OUTCOME_UNKNOWN, unknowns=1)
_WORN_OUT: Final = Transition(RowState.FAILED, Code.ATTEMPTS_EXHAUSTED)
_REFUSED_ROW: Final = Transition(RowState.FAILED, Code.VAULT_REFUSED_ROW)
_STOPPED: Final = Transition(RowState.PLANNED)
_FIXED: Final = {
    OutcomeKind.OK: Transition(RowState.TOKENIZED),
    OutcomeKind.MISMATCH: Transition(RowState.HELD, Code.ANSWER_MISMATCH, unknowns=1),
}
"""The steps that depend on nothing but the kind of outcome."""


def next_transition(
    outcome: Outcome, card: WaitingCard, policy: RetryPolicy, refusal: Refusal | None = None
) -> Transition:
    """Decide a row's next state from one outcome (design, section 4).

    Args:
        outcome: What the attempt came to.
        card: The row; `counted` or `free` has this attempt in it already.
        policy: The settings.
        refusal: Whom a refusal speaks of, as flow control sees it.
    """
    fixed = _FIXED.get(outcome.kind)
    if fixed is not None:
        return fixed
    if outcome.kind in FREE:
        return _after_free(outcome, card, refusal)
    if outcome.kind is OutcomeKind.REJECTED:
        fraud = outcome.vault_code in FRAUD_CODES
        return Transition(
            RowState.REJECTED, Code.FRAUD_CHECK_FAILED if fraud else Code.VAULT_REJECTED
        )
    if outcome.kind is OutcomeKind.DECLINED:
        return _WORN_OUT if card.counted >= policy.attempts_max else _AGAIN
    if outcome.kind is OutcomeKind.AMBIGUOUS:
        worn_out = card.unknowns >= RETRIES_OF_UNKNOWN[policy.on_ambiguous]
        return _UNKNOWN if worn_out else _IN_DOUBT
    # FATAL blames no row, but a token in the other mode was made all the same.
    return Transition(RowState.PLANNED, unknowns=int(outcome.is_unseen))


def _after_free(outcome: Outcome, card: WaitingCard, refusal: Refusal | None) -> Transition:
    if refusal is Refusal.OF_THIS_ROW:
        return _REFUSED_ROW
    if refusal is Refusal.UNCLEAR:
        return _ASIDE
    if outcome.kind is OutcomeKind.DENIED:
        return _STOPPED
    if card.free >= FREE_ATTEMPTS_MAX:
        return _WORN_OUT
    return _BEHIND if outcome.kind is OutcomeKind.THROTTLED else _AGAIN
