"""Names what goes into the ledger and what comes out of it, one record each.

Named tuples, as each row needs one of each and they cost a third of a frozen dataclass.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pipeline.model import OutcomeKind, RowState, Token

ROW_SPAN: Final = 10_000_000_000
"""Ids that one export may use; more rows than this no file has."""


def row_id(export_id: int, row: int) -> int:
    """Give the ledger's id of a row of an export."""
    return export_id * ROW_SPAN + row


class ExportState(StrEnum):
    """Where an export stands: its rows may still be thrown away, or never again."""

    PROVING = "proving"
    PLANNED = "planned"


class ExportRecord(NamedTuple):
    """A planned export as the ledger has it; `as_of` is a date as text, digests are hexadecimal."""

    id: int
    name: str
    size: int
    sha256: str
    kind: str
    engine: str | None
    key_fingerprint: str | None
    signer: str | None
    as_of: str
    rows: int
    legacy_id_sum: str


class RunRecord(NamedTuple):
    """A run as the ledger has it; moments are milliseconds since 1970 (UTC)."""

    run_id: str
    started_ms: int
    ended_ms: int | None
    exit_code: int | None
    facts: dict[str, Any]
    statistics: dict[str, Any]


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
