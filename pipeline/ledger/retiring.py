"""Takes tokens out of force and plans their rows again, so that each gets another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, literal, select, update

from pipeline.errors import VerificationFailed
from pipeline.ledger.schema import retired_tokens, rows, tokens
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Executable

_AT_ONCE: Final = 500
"""So many values go into one statement."""


def retire_tokens(
    connection: Connection, row_ids: Sequence[int], reason: str, *, at_ms: int, epoch: int
) -> None:
    """Retire the live tokens of tokenized rows, and plan the rows again.

    Args:
        connection: In a transaction of the run.
        row_ids: The rows.
        reason: Why: proved gone, or used by somebody else and given up by an operator.
        at_ms: The moment.
        epoch: The run's.

    Raises:
        VerificationFailed: One of the rows has no live token.
    """
    for start in range(0, len(row_ids), _AT_ONCE):
        part = list(row_ids[start : start + _AT_ONCE])
        here = tokens.c.row_id.in_(part)
        kept = [column.name for column in tokens.columns]
        why = (literal(reason), literal(at_ms), literal(epoch))
        copied = select(*(tokens.c[name] for name in kept), *why)
        retired = insert(retired_tokens).from_select(
            [*kept, "reason", "retired_ms", "retired_epoch"], copied.where(here)
        )
        is_tokenized = (rows.c.id.in_(part), rows.c.state == RowState.TOKENIZED)
        connection.execute(retired)
        _each(connection, delete(tokens).where(here), len(part))
        again = update(rows).where(*is_tokenized).values(state=RowState.PLANNED)
        _each(connection, again, len(part))


def _each(connection: Connection, statement: Executable, count: int) -> None:
    if connection.execute(statement).rowcount != count:
        raise VerificationFailed(
            "a token of the ledger was not where this run had left it",
            next_step="Look for a second program that writes to this folder.",
        )
