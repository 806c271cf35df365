"""Plans cards for attaching again: failed ones, held ones, and tokens that never were to be attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, insert, literal, or_, select, update

from pipeline.failure_codes import Code
from pipeline.ledger.bearing import unit
from pipeline.ledger.records import AttachState, CustomerState
from pipeline.ledger.retiring import retire_tokens
from pipeline.ledger.row_conditions import of_exports
from pipeline.ledger.schema import attachments, customers, rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement

    from pipeline.ledger.ledger import Ledger


@unit
def attach_again(
    ledger: Ledger,
    export_ids: Collection[int],
    codes: Sequence[str],
    *,
    held: bool,
    unattached: bool,
) -> int:
    """Plan cards that are on no customer for another try, with the tokens that they have.

    Args:
        ledger: The ledger, at the beginning of a run.
        export_ids: Only rows of these exports.
        codes: Only these failure codes; empty means every one that can be tried again.
        held: Whether held cards are planned too, on the operator's word. A token that somebody
            else used is given up for a new one; so is one whose customer is nowhere, if
            `customer_unlocated` is among the codes: the operator has looked at the vault.
        unattached: Whether tokens of runs that attached nothing are planned, too.

    Returns:
        How many cards are to be attached now that were not before.
    """
    here = of_exports(export_ids)
    wanted = attachments.c.state == AttachState.FAILED
    if not codes:
        wanted = and_(wanted, attachments.c.code != Code.CUSTOMER_UNKNOWN)
        wanted = and_(wanted, attachments.c.code != Code.ATTACH_REJECTED)
    if held:
        is_held = attachments.c.state == AttachState.HELD
        # A mismatch is held until somebody has found out whose card it is.
        wanted = or_(wanted, and_(is_held, attachments.c.code != Code.ATTACH_MISMATCH))
    if codes:
        wanted = and_(wanted, attachments.c.code.in_(codes))
    in_force = select(rows.c.id).where(
        here, rows.c.state == RowState.TOKENIZED, rows.c.superseded_by.is_(None)
    )
    with ledger.transaction() as connection:
        again = and_(attachments.c.row_id.in_(in_force), wanted)
        # Only a card that is tried again can tell whether its customer was made.
        stuck = select(attachments.c.customer).where(again)
        connection.execute(
            update(customers)
            .where(customers.c.id.in_(stuck), customers.c.state == CustomerState.UNLOCATED)
            .values(state=CustomerState.WANTED, code=None)
        )
        used = and_(again, _is_given_up(codes))
        lost = connection.execute(select(attachments.c.row_id).where(used)).scalars().all()
        planned = connection.execute(
            update(attachments)
            .where(again)
            .values(state=AttachState.UNATTACHED, code=None, vault_code=None)
        ).rowcount
        if unattached:
            new = select(rows.c.id, rows.c.customer, literal(AttachState.UNATTACHED.value)).where(
                rows.c.id.in_(in_force),
                rows.c.customer.is_not(None),
                ~exists(select(attachments.c.row_id).where(attachments.c.row_id == rows.c.id)),
            )
            planned += connection.execute(
                insert(attachments).from_select(["row_id", "customer", "state"], new),
            ).rowcount
        now_ms, epoch = ledger.now_ms(), ledger.epoch
        retire_tokens(connection, lost, Code.ATTACH_TOKEN_USED, at_ms=now_ms, epoch=epoch)
        if planned:
            ledger.record(connection, "attached_again", resource=ledger.run_id, cards=planned)
    return int(planned)


def _is_given_up(codes: Sequence[str]) -> ColumnElement[bool]:
    """Give the condition on an attachment that its token was used and is no good any more."""
    by_others = attachments.c.code == Code.ATTACH_TOKEN_USED
    if Code.CUSTOMER_UNLOCATED not in codes:
        return by_others
    # The other cards of such a customer were never asked for; their tokens are good.
    was_asked_for = attachments.c.attempts > 0
    return or_(by_others, and_(attachments.c.code == Code.CUSTOMER_UNLOCATED, was_asked_for))
