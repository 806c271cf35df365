"""Proves that cards and customers stand where the requests about them took them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, exists, func, or_, select

from pipeline.failure_codes import Code
from pipeline.ledger.export_events import GIVEN_UP
from pipeline.ledger.records import ROW_SPAN, AttachState, AttemptStep, CustomerState
from pipeline.ledger.schema import (
    NOT_FOR_TOKENS,
    attachments,
    attempts,
    customers,
    events,
    exports,
    outcomes,
    retired_tokens,
    rows,
    tokens,
)
from pipeline.model import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Select

_SEEN_THERE: Final = (AttachState.ATTACHED, AttachState.REUSED, AttachState.HELD)
_WITH_CUSTOMER: Final = (AttachState.ATTACHED, AttachState.REUSED)
_IS_TO_ATTACH: Final = attempts.c.step == AttemptStep.ATTACH
_ENDED: Final = exists().where(outcomes.c.attempt_id == attempts.c.id)
_LAST: Final = and_(
    attempts.c.row_id == attachments.c.row_id,
    _IS_TO_ATTACH,
    attempts.c.number == attachments.c.attempts,
)
"""The last request to put a card on its customer, which the attachment counts."""
_GIVEN_UP: Final = select(exports.c.id).join(
    events,
    and_(
        events.c.body.contains(f'"event":"{GIVEN_UP}"', autoescape=True),
        events.c.body.contains(exports.c.sha256),
    ),
)
"""Exports that an operator gave up at some time, by the word of the trail."""
_MAY_LEAVE_CARD: Final = (OutcomeKind.AMBIGUOUS, OutcomeKind.MISMATCH, OutcomeKind.OK)
"""After such an answer a card may be on a customer unseen: of an OK, where it showed no card."""


def stories_of_cards() -> Iterator[tuple[str, Select[Any]]]:
    """Give what no card and no customer may show, each with a statement that finds one."""
    yield from _stories_of_requests()
    yield from _stories_of_answers()
    yield (
        "a card goes to another customer than its row names",
        select(attachments.c.row_id)
        .join(rows, rows.c.id == attachments.c.row_id)
        .where(attachments.c.customer.is_distinct_from(rows.c.customer)),
    )
    yield (
        "a card is on a customer that nobody knows",
        select(attachments.c.row_id)
        .join(customers, customers.c.id == attachments.c.customer, isouter=True)
        .where(attachments.c.state.in_(_WITH_CUSTOMER), customers.c.customer_id.is_(None)),
    )
    came_about = exists().where(
        attachments.c.customer == customers.c.id, attachments.c.state.in_(_SEEN_THERE)
    )
    yield (
        "a customer was made, and no card of it was seen",
        select(customers.c.id).where(
            customers.c.state.in_([CustomerState.MADE, CustomerState.LOCATED]), ~came_about
        ),
    )
    yield (
        "a customer is in the making, and no card was sent for it",
        select(customers.c.id).where(
            customers.c.state == CustomerState.MAKING,
            ~select(attachments.c.row_id).where(attachments.c.customer == customers.c.id).exists(),
        ),
    )


def _stories_of_requests() -> Iterator[tuple[str, Select[Any]]]:
    yield (
        "a request about a card is open, and the card is not under way",
        select(attempts.c.id)
        .join(attachments, attachments.c.row_id == attempts.c.row_id, isouter=True)
        .where(
            NOT_FOR_TOKENS,
            ~_ENDED,
            _IS_TO_ATTACH,
            func.coalesce(attachments.c.state, "") != AttachState.ATTACHING,
        ),
    )
    open_request = and_(
        attempts.c.row_id == attachments.c.row_id,
        _IS_TO_ATTACH,
        ~exists().where(outcomes.c.attempt_id == attempts.c.id),
    )
    yield (
        "a card is under way, and no request about it is open",
        select(attachments.c.row_id).where(
            attachments.c.state == AttachState.ATTACHING,
            ~select(attempts.c.id).where(open_request).exists(),
        ),
    )
    yield (
        "a card was asked for more often than is written down",
        select(attachments.c.row_id).where(attachments.c.attempts > 0, ~exists().where(_LAST)),
    )


def _stories_of_answers() -> Iterator[tuple[str, Select[Any]]]:
    state = attachments.c.state
    by_vault = and_(state == AttachState.FAILED, attachments.c.code == Code.ATTACH_REJECTED)
    yield (
        "a card is not where the last answer about it took it",
        select(attachments.c.row_id)
        .join(attempts, _LAST)
        .join(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(
            or_(
                # For good: nobody can say by the ledger whose card that is.
                and_(outcomes.c.kind == OutcomeKind.MISMATCH, state != AttachState.HELD),
                and_(outcomes.c.kind != OutcomeKind.REJECTED, by_vault),
            )
        ),
    )
    answers = (
        select(func.count())
        .select_from(attempts)
        .join(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(
            attempts.c.row_id == attachments.c.row_id,
            _IS_TO_ATTACH,
            outcomes.c.kind.in_(_MAY_LEAVE_CARD),
        )
        .correlate(attachments)
        .scalar_subquery()
    )
    yield (
        "more cards may exist unseen than answers left in doubt",
        select(attachments.c.row_id).where(
            attachments.c.unknowns > 0, attachments.c.unknowns > answers
        ),
    )
    yield (
        "a card on a customer is not the card of its row's token",
        select(attachments.c.row_id)
        .join(tokens, tokens.c.row_id == attachments.c.row_id)
        .where(
            state == AttachState.ATTACHED,
            attachments.c.card_id.is_distinct_from(tokens.c.card_id),
        ),
    )
    said_no = exists().where(
        attempts.c.row_id == retired_tokens.c.row_id,
        _IS_TO_ATTACH,
        outcomes.c.attempt_id == attempts.c.id,
        outcomes.c.kind != OutcomeKind.OK,
    )
    yield (
        "a token was given up, and no answer about its card said why",
        select(retired_tokens.c.token_id).where(
            ~said_no, (retired_tokens.c.row_id // ROW_SPAN).not_in(_GIVEN_UP)
        ),
    )
    asked_to_delete = exists().where(
        attempts.c.row_id == attachments.c.row_id,
        attempts.c.step == AttemptStep.DELETE_CARD,
        outcomes.c.attempt_id == attempts.c.id,
    )
    yield (
        "a card counts as deleted, and nobody asked for that",
        select(attachments.c.row_id).where(attachments.c.deleted_ms.is_not(None), ~asked_to_delete),
    )
