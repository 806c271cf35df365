"""Holds every row of a token id that was given twice: all but one of them are not its owner."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from pipeline.failure_codes import Code
from pipeline.ledger.schema import retired_tokens, rows, tokens
from pipeline.model import SEEN_BEFORE, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import Settlement


def freeze_doubled(
    ledger: Ledger, connection: Connection, settled: Sequence[Settlement]
) -> tuple[list[Settlement], list[int]]:
    """Hold every row of a token id that is known already: all but one are not its owner.

    Returns:
        The settlements to write, and the rows that were frozen; then the run must stop.
    """
    given = Counter(item.token.token_id for item in settled if item.token is not None)
    owners = _owners(connection, list(given)) if given else {}
    doubled = {token_id for token_id, times in given.items() if times > 1} | owners.keys()
    doubled |= _retired(connection, list(given))
    if not doubled:
        return list(settled), []
    kept = [_frozen(item) if _token_id(item) in doubled else item for item in settled]
    frozen = [item.row_id for item in settled if _token_id(item) in doubled]
    frozen.extend(sorted(set(owners.values())))
    connection.execute(
        update(rows)
        .where(rows.c.id.in_(set(owners.values())))
        .values(state=RowState.HELD, code=Code.ANSWER_MISMATCH)
    )
    for row in frozen:
        ledger.record(connection, "row_frozen", resource=str(row), success=False)
    return kept, frozen


def _owners(connection: Connection, token_ids: list[str]) -> dict[str, int]:
    found = connection.execute(
        select(tokens.c.token_id, tokens.c.row_id).where(tokens.c.token_id.in_(token_ids))
    )
    return {str(token_id): int(row) for token_id, row in found}


def _retired(connection: Connection, token_ids: list[str]) -> set[str]:
    """Give the ids that a row had before; that row has another token by now, or none."""
    known = retired_tokens.c.token_id
    return set(connection.execute(select(known).where(known.in_(token_ids))).scalars())


def _token_id(item: Settlement) -> str | None:
    return None if item.token is None else item.token.token_id


def _frozen(item: Settlement) -> Settlement:
    return item._replace(
        kind=OutcomeKind.MISMATCH,
        evidence=SEEN_BEFORE,
        state=RowState.HELD,
        code=Code.ANSWER_MISMATCH,
        token=None,
        unknowns=1,
    )
