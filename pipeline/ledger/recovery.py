"""Settles what an earlier run left in doubt, so that this run may go on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import (
    and_,
    bindparam,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from pipeline.failure_codes import Code
from pipeline.ledger.bearing import unit
from pipeline.ledger.records import ROW_SPAN, AttachState, AttemptStep
from pipeline.ledger.schema import NOT_FOR_TOKENS, attachments, attempts, outcomes, rows, tokens
from pipeline.model import NO_ANSWER, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection

    from pipeline.ledger.ledger import Ledger

    Ranges = Sequence[tuple[int, int]]
    """First and last ids of rows."""


class Recovered(NamedTuple):
    """What became of the rows that an earlier run left in doubt.

    Attributes:
        in_doubt: Rows that were sent and have no outcome.
        held: Those and others that are held now, as they have been unknown too often.
    """

    in_doubt: int
    held: int


@unit
def settle_open_intents(ledger: Ledger, retries_of_unknown: int) -> Recovered:
    """Give every intent without an outcome the only honest one, and apply the policy.

    Args:
        ledger: The ledger, at the beginning of a run.
        retries_of_unknown: How often a row may be sent again after an unknown outcome.

    Returns:
        How many questions the earlier run had left (rows in doubt, cards under way), and how many
        rows are held for it.
    """
    are_rows_settled, are_cards_settled = _are_settled(ledger)
    with ledger.transaction() as connection:
        in_doubt = held = cards_in_doubt = 0
        if not are_rows_settled:
            in_doubt, held = doubt_rows(connection, ledger.now_ms(), retries_of_unknown)
        if not are_cards_settled:
            cards_in_doubt = doubt_cards(connection, ledger.now_ms())
        if in_doubt or held or cards_in_doubt:
            ledger.record(
                connection,
                "open_intents_settled",
                resource=ledger.run_id,
                in_doubt=in_doubt,
                held=held,
                cards_in_doubt=cards_in_doubt,
            )
    return Recovered(in_doubt + cards_in_doubt, held)


def _are_settled(ledger: Ledger) -> tuple[bool, bool]:
    """Tell whether what is kept of sections says that no row, and no card, is in doubt.

    Where nothing is kept, or it does not say so, all of them are looked at.
    """
    if not ledger.goes_by_sections:
        return False, False
    with ledger.look() as look:
        states, is_any_open = look.by_state(), look.is_any_attempt_open()
    is_none_in_doubt = not states[RowState.SENT] and not states[RowState.AMBIGUOUS]
    # A card that is under way has an attempt without an outcome.
    return is_none_in_doubt and not is_any_open, not is_any_open


def doubt_rows(
    connection: Connection, now_ms: int, retries_of_unknown: int, within: Ranges | None = None
) -> tuple[int, int]:
    """Give every row that is under way the outcome of a lost answer, and apply the policy.

    Args:
        connection: In a transaction of whoever may write.
        now_ms: The moment.
        retries_of_unknown: How often a row may be sent again after an unknown outcome.
        within: Ranges of row ids; None for all.

    Returns:
        How many rows were under way, and how many are held now, as they were unknown too often.
    """
    in_doubt = _settle_open_intents(connection, now_ms, within)
    return in_doubt, _hold_worn_out(connection, retries_of_unknown, within)


def _settle_open_intents(connection: Connection, now_ms: int, within: Ranges | None) -> int:
    under_way = (rows.c.state == RowState.SENT, _is_in(rows.c.id, within))
    last = (
        select(attempts.c.row_id, func.max(attempts.c.id).label("attempt_id"))
        .where(
            attempts.c.row_id.in_(select(rows.c.id).where(*under_way)),
            attempts.c.step == AttemptStep.TOKENIZE,
        )
        .group_by(attempts.c.row_id)
        .subquery()
    )
    connection.execute(
        insert(outcomes).from_select(
            ["attempt_id", "kind", "evidence", "latency_us", "at_ms"],
            select(
                last.c.attempt_id,
                literal(OutcomeKind.AMBIGUOUS.value),
                literal(NO_ANSWER),
                literal(0),
                literal(now_ms),
            ),
        )
    )
    in_doubt = connection.execute(
        update(rows)
        .where(*under_way)
        .values(state=RowState.AMBIGUOUS, unknowns=rows.c.unknowns + 1)
    ).rowcount
    return int(in_doubt)


def _is_in(column: ColumnElement[int], within: Ranges | None) -> ColumnElement[bool]:
    if within is None:
        return true()
    return or_(false(), *(column.between(first, last) for first, last in within))


def _hold_worn_out(connection: Connection, retries_of_unknown: int, within: Ranges | None) -> int:
    worn_out = rows.c.unknowns > retries_of_unknown
    held = connection.execute(
        update(rows)
        .where(rows.c.state == RowState.AMBIGUOUS, worn_out, _is_in(rows.c.id, within))
        .values(state=RowState.HELD, code=Code.OUTCOME_UNKNOWN)
    ).rowcount
    return int(held)


@unit
def plan_again(
    ledger: Ledger, export_ids: Collection[int], codes: Sequence[str], *, held: bool
) -> int:
    """Plan retryable failures again, and held rows on the operator's word.

    Args:
        ledger: The ledger, at the beginning of a run.
        export_ids: Only rows of these exports; the others' numbers are not at hand.
        codes: Only these failure codes; empty means every retryable one. Named here, rows that the
            vault rejected are planned again, too: the operator knows that it was mended.
        held: Whether held rows are planned too. A row that was frozen together with the token
            it carries is not: only the vault can say whose token that is.

    Returns:
        How many rows were planned again.
    """
    wanted = rows.c.state == RowState.FAILED
    if Code.VAULT_REJECTED in codes:
        wanted = or_(wanted, rows.c.state == RowState.REJECTED)
    if held:
        keeps_token = exists(select(tokens.c.row_id).where(tokens.c.row_id == rows.c.id))
        wanted = or_(wanted, and_(rows.c.state == RowState.HELD, ~keeps_token))
    wanted = and_(wanted, (rows.c.id // ROW_SPAN).in_(list(export_ids)))
    if codes:
        wanted = and_(wanted, rows.c.code.in_(list(codes)))
    with ledger.transaction() as connection:
        planned = connection.execute(
            update(rows)
            .where(wanted)
            .values(state=RowState.PLANNED, code=None, vault_code=None, field=None)
        ).rowcount
        ledger.record(
            connection,
            "planned_again",
            resource=ledger.run_id,
            rows=planned,
            codes=",".join(codes),
            held=held,
        )
    return int(planned)


def doubt_cards(connection: Connection, now_ms: int, within: Ranges | None = None) -> int:
    """Give every request about a card that has no outcome the only honest one.

    The card may be on the customer or not: the same request, with the same token, goes out again.

    Args:
        connection: In a transaction of whoever may write.
        now_ms: The moment.
        within: Ranges of row ids; None for all.

    Returns:
        How many cards are in doubt.
    """
    unanswered = (
        select(attempts.c.id)
        .outerjoin(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(NOT_FOR_TOKENS, outcomes.c.attempt_id.is_(None), _is_in(attempts.c.row_id, within))
    )
    open_ids = list(connection.execute(unanswered).scalars())
    if open_ids:
        add = insert(outcomes).values(
            attempt_id=bindparam("attempt_id"),
            kind=OutcomeKind.AMBIGUOUS.value,
            evidence=NO_ANSWER,
            latency_us=0,
            at_ms=now_ms,
        )
        connection.execute(add, [{"attempt_id": number} for number in open_ids])
    return connection.execute(
        update(attachments)
        .where(attachments.c.state == AttachState.ATTACHING, _is_in(attachments.c.row_id, within))
        .values(state=AttachState.DOUBTED, unknowns=attachments.c.unknowns + 1)
    ).rowcount
