"""Proves that each row stands where its answers, or an operator's word, took it.

What was sent and what came back only grows, and what was published of it can be held against the
ledger for ever (`lasting`). So what a row says of itself can be checked by its answers: how often it
was sent, how many tokens may exist unseen for it, its state, and the row that took its place. Who
changes a row by hand has to change the answers as well, and that shows.

Only an operator takes a row on from an answer that leaves a token in doubt, or from the vault's
refusal; the trail tells of it (`planned_again`), and the answers that came since count again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import and_, exists, func, literal, or_, select

from pipeline.failure_codes import Code
from pipeline.ledger.records import ROW_SPAN, AttemptStep
from pipeline.ledger.schema import (
    attempts,
    events,
    exports,
    outcomes,
    retired_tokens,
    rows,
    runs,
    tokens,
)
from pipeline.model import NO_ANSWER, SEEN_BEFORE, WRONG_MODE, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, ColumnElement, Connection, Select

_KIND: Final = outcomes.c.kind
_IS_FOR_TOKEN: Final = attempts.c.step == AttemptStep.TOKENIZE
_LAST: Final = and_(
    attempts.c.row_id == rows.c.id, _IS_FOR_TOKEN, attempts.c.number == rows.c.attempts
)
"""The last attempt of a row: they are numbered from 1, and the row counts them."""

_DOUBTS: Final = (OutcomeKind.AMBIGUOUS, OutcomeKind.MISMATCH)
_NOT_LOOKED_AT: Final = (OutcomeKind.NOT_SENT, OutcomeKind.THROTTLED, OutcomeKind.DENIED)
_LEAVES_TOKEN: Final = or_(
    _KIND.in_(_DOUBTS), and_(_KIND == OutcomeKind.FATAL, outcomes.c.evidence == WRONG_MODE)
)
"""Whether a token may exist unseen after an answer."""

_BY_VAULT: Final = rows.c.code.in_([Code.VAULT_REJECTED, Code.FRAUD_CHECK_FAILED])
_UNKNOWN: Final = rows.c.code == Code.OUTCOME_UNKNOWN
_WAITS: Final = rows.c.state.in_([RowState.PLANNED, RowState.SKIPPED])
_GOES_ON: Final = or_(_WAITS, rows.c.state == RowState.ALREADY_TOKENIZED)
_HAS_TOKEN: Final = exists().where(tokens.c.row_id == rows.c.id)
_HAD_TOKEN: Final = exists().where(retired_tokens.c.row_id == rows.c.id)
_OTHER: Final = rows.alias("other")


class _Words(NamedTuple):
    """The epochs of the last runs in which an operator had rows planned again, 0 for none.

    Attributes:
        held: Rows that were held.
        rejected: Rows that the vault had rejected.
    """

    held: int = 0
    rejected: int = 0


def answers_contradiction(connection: Connection) -> str | None:
    """Give the first thing that rows and their answers tell differently, in words, or None."""
    for words, statement in _stories(_words_of_operators(connection)):
        if connection.execute(statement.limit(1)).first() is not None:
            return words
    return None


def _words_of_operators(connection: Connection) -> _Words:
    told = events.c.body.contains('"event":"planned_again"', autoescape=True)
    found = connection.execute(select(events.c.body).where(told).order_by(events.c.seq)).scalars()
    if not (again := [orjson.loads(body) for body in found]):
        return _Words()
    begun = connection.execute(select(runs.c.run_id, runs.c.epoch))
    epochs = {run.run_id: run.epoch for run in begun}
    held = rejected = 0
    for event in again:
        epoch, detail = epochs.get(event["run_id"], 0), event["detail"]
        held = epoch if detail["held"] else held
        rejected = epoch if Code.VAULT_REJECTED in detail["codes"].split(",") else rejected
    return _Words(held, rejected)


def _stories(words: _Words) -> Iterator[tuple[str, Select[Any]]]:
    """Give what no row may show, each with a statement that finds one."""
    yield (
        "a row was sent more often than is written down",
        select(rows.c.id).where(rows.c.attempts > 0, ~exists().where(_LAST)),
    )
    yield (
        "a row is not where its last answer took it",
        select(rows.c.id)
        .join(attempts, _LAST)
        .join(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(or_(*_misplaced(words))),
    )
    yield "a row that was never sent stands where only an answer leads", _never_sent()
    yield from _stories_of_doubts()
    yield from _stories_of_ids()


def _misplaced(words: _Words) -> Iterator[ColumnElement[bool]]:
    """Give what a row may not be after its last answer, which is of `_KIND`."""
    state = rows.c.state
    yield and_(state == RowState.TOKENIZED, _KIND != OutcomeKind.OK)
    yield and_(state == RowState.AMBIGUOUS, _KIND != OutcomeKind.AMBIGUOUS)
    without_end = (*_NOT_LOOKED_AT, OutcomeKind.DECLINED)
    yield and_(state == RowState.FAILED, _KIND.not_in(without_end))
    yield and_(state == RowState.REJECTED, _BY_VAULT, _KIND != OutcomeKind.REJECTED)
    # Its customer takes no card; with a token in doubt such a row is held.
    yield and_(state == RowState.REJECTED, ~_BY_VAULT, rows.c.unknowns > 0)
    is_held = state == RowState.HELD
    # Else it is held for another row of its id.
    yield and_(is_held, _UNKNOWN, rows.c.unknowns == 0, ~_has_another())
    mixed_up = rows.c.code == Code.ANSWER_MISMATCH
    yield and_(is_held, mixed_up, _KIND != OutcomeKind.MISMATCH, ~_HAS_TOKEN)
    yield and_(_GOES_ON, _KIND == OutcomeKind.OK, ~_HAD_TOKEN)
    since = attempts.c.epoch
    yield and_(_WAITS, _KIND.in_(_DOUBTS), since >= words.held)
    yield and_(_GOES_ON, _KIND == OutcomeKind.REJECTED, since >= words.rejected)


def _never_sent() -> Select[Any]:
    led_to = [RowState.TOKENIZED, RowState.AMBIGUOUS, RowState.FAILED]
    rejected = and_(rows.c.state == RowState.REJECTED, _BY_VAULT)
    is_held = rows.c.state == RowState.HELD
    mixed_up = and_(is_held, rows.c.code == Code.ANSWER_MISMATCH)
    of_none = and_(is_held, _UNKNOWN, ~_has_another())
    return select(rows.c.id).where(
        rows.c.attempts == 0,
        or_(rows.c.state.in_(led_to), rejected, mixed_up, of_none, rows.c.unknowns > 0),
    )


def _stories_of_doubts() -> Iterator[tuple[str, Select[Any]]]:
    doubts = (
        select(attempts.c.row_id, func.count().label("number"))
        .join(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(_LEAVES_TOKEN, _IS_FOR_TOKEN)
        .group_by(attempts.c.row_id)
        .subquery()
    )
    words = "the tokens that may exist unseen for a row are not those of its answers"
    counted = select(rows.c.id).join(doubts, doubts.c.row_id == rows.c.id)
    yield words, counted.where(rows.c.unknowns != doubts.c.number)
    known = exists().where(
        attempts.c.row_id == rows.c.id,
        _IS_FOR_TOKEN,
        outcomes.c.attempt_id == attempts.c.id,
        _LEAVES_TOKEN,
    )
    yield words, select(rows.c.id).where(rows.c.unknowns != 0, ~known)
    yield (
        "an answer that never came says something",
        select(outcomes.c.attempt_id).where(
            outcomes.c.evidence == NO_ANSWER,
            or_(
                _KIND != OutcomeKind.AMBIGUOUS,
                outcomes.c.latency_us != 0,
                outcomes.c.vault_code.is_not(None),
                outcomes.c.request_id.is_not(None),
            ),
        ),
    )
    frozen = select(func.count()).where(rows.c.state == RowState.HELD, _HAS_TOKEN)
    given_again = select(func.count()).where(outcomes.c.evidence == SEEN_BEFORE)
    yield (
        "a row is held with its token, and no answer gave that again",
        select(literal(1)).where(frozen.scalar_subquery() > given_again.scalar_subquery()),
    )


def _stories_of_ids() -> Iterator[tuple[str, Select[Any]]]:
    """Give what rows of one legacy id may not say of each other."""
    ever = or_(*(exists().where(t.c.row_id == _OTHER.c.id) for t in (tokens, retired_tokens)))
    yield (
        "a row counts as tokenized already, and no other row of its id ever was",
        select(rows.c.id).where(rows.c.state == RowState.ALREADY_TOKENIZED, ~_has_another(ever)),
    )
    newer = rows.alias("newer")
    replaced = select(rows.c.id).join(newer, newer.c.id == rows.c.superseded_by)
    # A token that perished is made anew, and by then the row may have another one to replace.
    gave_up = exists().where(retired_tokens.c.row_id == newer.c.id)
    has_token = exists().where(tokens.c.row_id == newer.c.id)
    yield (
        "a card was replaced by a row that has no token",
        select(rows.c.id)
        .join(newer, newer.c.id == rows.c.superseded_by, isouter=True)
        .where(rows.c.superseded_by.is_not(None), ~or_(has_token, gave_up)),
    )
    yield (
        "a card was replaced by a row that does not replace it",
        replaced.where(
            or_(
                newer.c.legacy_id != rows.c.legacy_id,
                and_(newer.c.supersedes.is_distinct_from(rows.c.id), ~gave_up),
            )
        ),
    )
    yield (
        "a card was replaced by one that was there before it",
        replaced.where(
            _answer(newer.c.id, func.max(attempts.c.id))
            < _answer(rows.c.id, func.min(attempts.c.id))
        ),
    )
    first = select(func.min(exports.c.id)).scalar_subquery()
    in_force = [
        and_(one.c.state == RowState.TOKENIZED, one.c.superseded_by.is_(None))
        for one in (rows, newer)
    ]
    yield (
        "two tokens of one legacy id are in force",
        # Rows of one export do not share an id, so the first export's need no look.
        select(newer.c.id)
        .join(rows, and_(rows.c.legacy_id == newer.c.legacy_id, rows.c.id < newer.c.id))
        .where(newer.c.id >= (first + 1) * ROW_SPAN, *in_force),
    )


def _has_another(*that: ColumnElement[bool]) -> ColumnElement[bool]:
    """Give the condition that another row has the legacy id, one like `that` of `_OTHER`."""
    is_another = (_OTHER.c.legacy_id == rows.c.legacy_id, _OTHER.c.id != rows.c.id)
    return exists().where(*is_another, *that).correlate(rows)


def _answer(row: Column[int], which: ColumnElement[int]) -> ColumnElement[int]:
    """Give the first or last attempt that made a token for a row."""
    return (
        select(which)
        .join(outcomes, outcomes.c.attempt_id == attempts.c.id)
        .where(attempts.c.row_id == row, _IS_FOR_TOKEN, _KIND == OutcomeKind.OK)
        .correlate(row.table)
        .scalar_subquery()
    )
