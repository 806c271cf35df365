"""What goes into the ledger for a row that is being sent: claim, intent, settlement.

Named tuples, as each row needs one of each and they cost a third of a frozen dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.model import OutcomeKind, RowState, Token


class Claim(NamedTuple):
    """A row that may be sent, by the ledger's columns: where it stands, what it has been through."""

    id: int
    attempts: int
    unknowns: int
    last_digits: str
    expiration_month: int
    expiration_year: int


class Intent(NamedTuple):
    """The word that a row is about to be sent."""

    attempt_id: int
    row_id: int
    number: int
    at_ms: int


class Settlement(NamedTuple):
    """What an attempt came to and where its row goes from there."""

    attempt_id: int
    row_id: int
    kind: OutcomeKind
    evidence: str
    state: RowState
    code: str | None
    unknowns: int
    vault_code: str | None
    request_id: str | None
    latency_us: int
    at_ms: int
    token: Token | None = None
