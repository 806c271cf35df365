"""Proves that the ledger's tables agree on each row: its state, attempts, outcomes and token.

A commit changes several pages of the file. Where the process died inside one and the journal that
would undo it was lost, some pages are of before and some of after, and no check of the database's
own structure sees that. But every step of a row is told in two tables at least, so the halves of
a torn commit contradict each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, exists, func, or_, select

from pipeline.errors import VerificationFailed
from pipeline.ledger.answers_proof import answers_contradiction
from pipeline.ledger.cards_proof import stories_of_cards
from pipeline.ledger.records import ROW_SPAN, AttemptStep, ExportState
from pipeline.ledger.schema import (
    NOT_FOR_TOKENS,
    attachments,
    attempts,
    exports,
    outcomes,
    retired_tokens,
    rows,
    tokens,
)
from pipeline.ledger.store import store_of
from pipeline.ledger.trail_proof import last_run_died, trail_contradiction
from pipeline.model import OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Select

_HAS_TOKEN: Final = exists().where(tokens.c.row_id == rows.c.id)
_ENDED: Final = exists().where(outcomes.c.attempt_id == attempts.c.id)


def require_one_story(connection: Connection, *, of_rows: bool = True) -> None:
    """Make sure that the ledger's tables do not contradict each other.

    Where the last run died every index is compared with its table, too, which takes longer.

    Args:
        connection: A reading connection.
        of_rows: Compare every row's tables; else only what the trail tells of runs and exports.

    Raises:
        VerificationFailed: They do; cards could be lost or sent twice.
    """
    found = contradiction(connection) if of_rows else trail_contradiction(connection)
    if found is None and last_run_died(connection):
        found = _after_a_death(connection)
    if found is not None:
        raise VerificationFailed(
            f"the ledger contradicts itself: {found}",
            next_step=f"{store_of(connection).put_back}; do not send from this one.",
        )


def _after_a_death(connection: Connection) -> str | None:
    """Look for what only the last commit of a run that died can have left."""
    if not store_of(connection).is_sound(connection, thorough=True):
        return "an index is not that of its table"
    export = (rows.c.id // ROW_SPAN).label("export")
    doubled = (
        select(export, rows.c.legacy_id)
        .where(rows.c.legacy_id.is_not(None), rows.c.state != RowState.SKIPPED)
        .group_by(export, rows.c.legacy_id)
        .having(
            func.count() > 1,
            func.sum(case((rows.c.state == RowState.PLANNED, 1), else_=0)) > 0,
        )
        .subquery()
    )
    planned = exports.c.id == doubled.c.export
    found = connection.execute(
        select(exports.c.id).join(doubled, planned).where(exports.c.state == ExportState.PLANNED)
    )
    return None if found.first() is None else "rows of one legacy id are planned twice"


def contradiction(connection: Connection) -> str | None:
    """Give the first thing that two tables tell differently, in words; None if there is none."""
    for words, statement in _stories():
        if connection.execute(statement.limit(1)).first() is not None:
            return words
    for words, one, other in _sums():
        if connection.execute(select(one.scalar_subquery() != other.scalar_subquery())).scalar():
            return words
    return answers_contradiction(connection) or trail_contradiction(connection)


def _stories() -> Iterator[tuple[str, Select[Any]]]:
    """Give what no row may show, each with a statement that finds one."""
    yield (
        "a row is tokenized and has no token",
        select(rows.c.id).where(rows.c.state == RowState.TOKENIZED, ~_HAS_TOKEN),
    )
    yield (
        "a token belongs to a row that is not tokenized",
        select(tokens.c.row_id)
        .join(rows, rows.c.id == tokens.c.row_id, isouter=True)
        .where(
            or_(
                rows.c.id.is_(None),
                rows.c.state.not_in([RowState.TOKENIZED, RowState.HELD]),
            )
        ),
    )
    # The last attempts' ids are the largest, so whoever is under way is found without a sort.
    last = (
        select(func.max(attempts.c.id))
        .where(attempts.c.row_id == rows.c.id, attempts.c.step == AttemptStep.TOKENIZE)
        .correlate(rows)
        .scalar_subquery()
    )
    ended = exists().where(outcomes.c.attempt_id == last)
    yield (
        "a row is under way, and no attempt of it is open",
        select(rows.c.id).where(rows.c.state == RowState.SENT, or_(last.is_(None), ended)),
    )
    yield (
        "an attempt is open, and its row is not under way",
        select(attempts.c.id)
        .join(rows, rows.c.id == attempts.c.row_id, isouter=True)
        .where(
            ~_ENDED,
            attempts.c.step == AttemptStep.TOKENIZE,
            or_(rows.c.id.is_(None), rows.c.state != RowState.SENT),
        ),
    )
    yield (
        "a retired token is in force",
        select(retired_tokens.c.token_id).join(
            tokens, tokens.c.token_id == retired_tokens.c.token_id
        ),
    )
    answered = exists().where(
        attempts.c.row_id == tokens.c.row_id,
        attempts.c.step == AttemptStep.TOKENIZE,
        attempts.c.epoch == tokens.c.epoch,
        outcomes.c.attempt_id == attempts.c.id,
        outcomes.c.kind == OutcomeKind.OK,
    )
    yield "a token came with no answer of its run", select(tokens.c.row_id).where(~answered)
    yield from stories_of_cards()


def _sums() -> Iterator[tuple[str, Select[Any], Select[Any]]]:
    """Give pairs of numbers that are the same in a whole ledger."""
    counted = func.coalesce(func.sum(rows.c.attempts), 0)
    yield (
        "the rows' attempts are not as many as were written down",
        select(counted),
        select(func.count()).select_from(attempts).where(attempts.c.step == AttemptStep.TOKENIZE),
    )
    yield (
        "the cards' requests are not as many as were written down",
        select(func.coalesce(func.sum(attachments.c.attempts), 0)),
        select(func.count()).where(NOT_FOR_TOKENS, attempts.c.step == AttemptStep.ATTACH),
    )
    planned = select(exports.c.id).where(exports.c.state == ExportState.PLANNED)
    yield (
        "an export's rows are not as many as were read from it",
        select(func.coalesce(func.sum(exports.c.rows), 0)).where(
            exports.c.state == ExportState.PLANNED
        ),
        select(func.count()).where((rows.c.id // ROW_SPAN).in_(planned)),
    )
