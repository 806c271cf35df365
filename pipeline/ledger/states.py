"""Lists the states that rows, exports, customers and attachments can be in, and the steps between.

The database holds these lists as tables, so that a later version adds a state without touching
the tables that use it. Whatever step is not listed here the database refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.ledger.records import AttachState, CustomerState, ExportState
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from enum import StrEnum

_ROW: Final[Mapping[StrEnum, Sequence[StrEnum]]] = {
    RowState.PLANNED: (
        RowState.SENT,
        RowState.REJECTED,
        RowState.ALREADY_TOKENIZED,
        RowState.HELD,
        RowState.FAILED,
        RowState.SKIPPED,
    ),
    RowState.SENT: (
        RowState.TOKENIZED,
        RowState.REJECTED,
        RowState.FAILED,
        RowState.PLANNED,
        RowState.AMBIGUOUS,
        RowState.HELD,
    ),
    RowState.AMBIGUOUS: (RowState.SENT, RowState.HELD, RowState.ALREADY_TOKENIZED),
    # Frozen, as its identity is in doubt; or planned again, once its token is proved gone.
    RowState.TOKENIZED: (RowState.HELD, RowState.PLANNED),
    RowState.REJECTED: (RowState.PLANNED,),
    RowState.FAILED: (RowState.PLANNED,),
    RowState.HELD: (RowState.PLANNED,),
    RowState.ALREADY_TOKENIZED: (),
    # Left out of one cohort, in the next one.
    RowState.SKIPPED: (RowState.PLANNED,),
}

_EXPORT: Final[Mapping[StrEnum, Sequence[StrEnum]]] = {
    ExportState.PROVING: (ExportState.PLANNED,),
    ExportState.PLANNED: (),
}

_CUSTOMER: Final[Mapping[StrEnum, Sequence[StrEnum]]] = {
    CustomerState.WANTED: (CustomerState.MAKING, CustomerState.GIVEN, CustomerState.REFUSED),
    CustomerState.MAKING: (
        CustomerState.MADE,
        CustomerState.LOCATED,
        CustomerState.UNLOCATED,
        CustomerState.WANTED,
    ),
    CustomerState.UNLOCATED: (CustomerState.LOCATED, CustomerState.WANTED),
    CustomerState.REFUSED: (CustomerState.WANTED,),
    # A customer that was deleted at the vault is no place for another card.
    CustomerState.MADE: (CustomerState.REFUSED,),
    CustomerState.GIVEN: (CustomerState.REFUSED,),
    CustomerState.LOCATED: (CustomerState.REFUSED,),
}

_ATTACHMENT: Final[Mapping[StrEnum, Sequence[StrEnum]]] = {
    AttachState.UNATTACHED: (
        AttachState.ATTACHING,
        AttachState.REUSED,
        AttachState.FAILED,
        AttachState.HELD,
    ),
    AttachState.ATTACHING: (
        AttachState.ATTACHED,
        AttachState.UNATTACHED,
        AttachState.DOUBTED,
        AttachState.FAILED,
        AttachState.HELD,
    ),
    AttachState.DOUBTED: (
        AttachState.ATTACHING,
        AttachState.ATTACHED,
        AttachState.UNATTACHED,
        AttachState.FAILED,
        AttachState.HELD,
    ),
    AttachState.FAILED: (AttachState.UNATTACHED,),
    AttachState.HELD: (AttachState.UNATTACHED, AttachState.ATTACHED),
    # The card in force was found to be another's, or gone from its customer.
    AttachState.ATTACHED: (AttachState.HELD,),
    AttachState.REUSED: (),
}


class Life(NamedTuple):
    """Something that has states: the table whose column `state` names them, and its steps."""

    name: str
    table: str
    steps: Mapping[StrEnum, Sequence[StrEnum]]


LIVES: Final = (
    Life("row", "rows", _ROW),
    Life("export", "exports", _EXPORT),
    Life("customer", "customers", _CUSTOMER),
    Life("attachment", "attachments", _ATTACHMENT),
)


def steps_of(life: Life) -> list[tuple[str, str]]:
    """Give (old state, new state) of every step that is allowed, in the order of the lists."""
    return [(old.value, new.value) for old, following in life.steps.items() for new in following]
