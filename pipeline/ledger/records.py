"""Names what goes into the ledger and what comes out of it, one record each.

Named tuples, as each row needs one of each and they cost a third of a frozen dataclass.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.errors import SUCCESSES

if TYPE_CHECKING:
    from pipeline.model import OutcomeKind, RowState, Token

GAVE_UP: Final = "gave_up"
"""Stands in the facts of a run that carried nothing, but gave exports up."""
SETTINGS_FILE: Final = "settings_file"
EXPORTS_IN: Final = "exports_in"
"""Where the settings and the exports of a run lay; whoever looks later can be told whole commands."""
SETTINGS_DIGEST: Final = "settings_digest"
READING_DIGEST: Final = "reading_digest"
"""Stand in a run's facts for what results mean by its settings, with and without the addresses."""
ROW_SPAN: Final = 10_000_000_000
"""Ids that one export may use; more rows than this no file has."""


def row_id(export_id: int, row: int) -> int:
    """Give the ledger's id of a row of an export."""
    return export_id * ROW_SPAN + row


class ExportState(StrEnum):
    """Where an export stands: its rows may still be thrown away, or never again."""

    PROVING = "proving"
    PLANNED = "planned"


class CustomerState(StrEnum):
    """Where a customer at the vault stands; one that is `unlocated` is held for an operator."""

    WANTED = "wanted"
    MAKING = "making"
    MADE = "made"
    GIVEN = "given"
    LOCATED = "located"
    UNLOCATED = "unlocated"
    REFUSED = "refused"


class AttachState(StrEnum):
    """Where a row's card stands on its way to a customer.

    A row that nobody has begun to attach has no attachment yet and counts as unattached.
    `doubted` means that the last answer was lost: the same request goes out again.
    """

    UNATTACHED = "unattached"
    ATTACHING = "attaching"
    DOUBTED = "doubted"
    ATTACHED = "attached"
    REUSED = "reused"
    FAILED = "attach_failed"
    HELD = "attach_held"


NOT_ATTACHED_YET: Final = (AttachState.ATTACHING, AttachState.DOUBTED, AttachState.UNATTACHED)
"""The states of a card that a run still has to settle."""


class AttemptStep(StrEnum):
    """What one attempt at the vault was for."""

    TOKENIZE = "tokenize"
    ATTACH = "attach"
    MOVE_DEFAULT = "move_default"
    DELETE_CARD = "delete_card"


class CustomerRecord(NamedTuple):
    """A customer as the ledger has it; `customer_id` is the vault's, once it is known."""

    id: int
    legacy_customer_id: str
    given_id: str | None
    customer_id: str | None
    state: CustomerState
    code: str | None


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

    @property
    def is_success(self) -> bool:
        """Whether it settled every row of its exports; one that only gave exports up had none."""
        return self.exit_code in SUCCESSES and GAVE_UP not in self.facts


class WaitingRows(NamedTuple):
    """An export with rows that wait; `cut_off_ms` is the start of its run if that never ended."""

    export_id: int
    name: str
    sha256: str
    rows: int
    cut_off_ms: int | None
    unseen_tokens_max: int
    rows_in_file: int


class Claim(NamedTuple):
    """A row that may be sent, by the ledger's columns: where it stands, what it has been through."""

    id: int
    attempts: int
    unknowns: int
    last_digits: str
    expiration_month: int
    expiration_year: int
    brand: str


class Intent(NamedTuple):
    """Says that a row is about to be sent."""

    attempt_id: int
    row_id: int
    number: int


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
    token: Token | None = None


class AttachClaim(NamedTuple):
    """A row whose card is to be on a customer and is not yet, and what it has been through.

    `token_id`, `card_id` and `token_created_s` (the vault's `created_at`) are None for a row that
    has no token yet. `attempts` and `unknowns` are those of attaching.
    """

    row_id: int
    customer: int
    is_default: bool
    token_id: str | None
    card_id: str | None
    token_created_s: int | None
    last_digits: str
    expiration_month: int
    expiration_year: int
    state: AttachState
    attempts: int
    unknowns: int


class AttachIntent(NamedTuple):
    """Says that a request about a row's card is about to go to the API host.

    `makes_customer` says that the request makes the customer (POST), whose own row moves to
    `making` in the same commit.
    """

    attempt_id: int
    row_id: int
    number: int
    customer: int
    step: AttemptStep = AttemptStep.ATTACH
    makes_customer: bool = False


class CustomerFound(NamedTuple):
    """What became of a customer: made, given, located, or why it cannot take cards."""

    id: int
    state: CustomerState
    customer_id: str | None = None
    code: str | None = None
    livemode: bool | None = None
    created_s: int | None = None


class AttachSettlement(NamedTuple):
    """What became of a card on its way to a customer.

    Without `attempt_id` it rests on no request of its own: a card that was located, or a row whose
    customer takes none. `unknowns` is added to the row's: 1 for an answer that was lost, minus as
    many as were cleared up. A card that `is_default` takes that from its customer's other cards;
    one that was `deleted` is no longer on its customer, by this ledger's request.
    """

    attempt_id: int | None
    row_id: int
    customer: int
    kind: OutcomeKind
    evidence: str
    state: AttachState
    code: str | None
    unknowns: int
    vault_code: str | None
    request_id: str | None
    latency_us: int
    card_id: str | None = None
    is_default: bool | None = None
    found: CustomerFound | None = None
    deleted: bool = False


class Retirement(NamedTuple):
    """Says that a row's token is proved gone: the row is planned again, for a new one."""

    row_id: int
    reason: str


class RowRefusal(NamedTuple):
    """Says that a row gets no token, as its customer takes no card; it was never sent."""

    row_id: int
    state: RowState
    code: str


AttachEntry = AttachIntent | AttachSettlement | CustomerFound | Retirement | RowRefusal
"""What is said of cards and customers in a batch."""

Entry = Intent | Settlement | AttachEntry
"""Whatever may stand in a batch; it is dated when the batch is written."""
