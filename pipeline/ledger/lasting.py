"""Digests what no run may change any more: cards, tokens, customers, and what was sent for them.

A run sends rows, retires tokens and replaces cards; it never gives a row another legacy id or
another card, a token another row, a customer of the vault another owner, or an attempt another
answer. So whatever came with a run stays in the ledger as it was, whatever later runs do, and what
a publication said of it can be held against the ledger for ever (`lasting_proof`). Whoever forges
a run cannot explain another token of an earlier one by it, nor another answer; and where a row
stands follows from its answers (`answers_proof`).

Of each section that is a digest a run: JSON [[epoch, things, SHA-256 of them], ...].
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
from sqlalchemy import select

from pipeline.failure_codes import FAILURE_CODES, Code, Stage
from pipeline.ledger.records import ROW_SPAN, ExportState
from pipeline.ledger.schema import (
    attempts,
    customers,
    exports,
    outcomes,
    retired_tokens,
    rows,
    tokens,
)
from pipeline.ledger.sections import asked_by_section, counted_as
from pipeline.model import NO_ANSWER, RowState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Counted

    _Things: TypeAlias = defaultdict[int, list[Sequence[Any]]]

_OF_ROW: Final = (
    *(rows.c.id, rows.c.legacy_id, rows.c.last_digits, rows.c.brand),
    *(rows.c.expiration_month, rows.c.expiration_year),
    *(rows.c.carry, rows.c.customer, rows.c.is_default),
)
_VERDICT: Final = (rows.c.state, rows.c.code, rows.c.field, rows.c.hint)
_STATE: Final = len(_OF_ROW)
_TOKENS: Final = _STATE + len(_VERDICT)
_ENDS: Final = frozenset({RowState.REJECTED.value, RowState.SKIPPED.value})
_TOKEN: Final = ("token_id", "card_id", "brand", "fingerprint", "country", "livemode", "created_s")
_ROWS: Final = (
    select(*_OF_ROW, *_VERDICT, *(tokens.c[name] for name in _TOKEN), tokens.c.epoch)
    .outerjoin(tokens, tokens.c.row_id == rows.c.id)
    .order_by(rows.c.id)
)
_RETIRED: Final = select(
    *(retired_tokens.c[name] for name in ("row_id", *_TOKEN, "epoch")),
    *(retired_tokens.c[name] for name in ("reason", "retired_ms", "retired_epoch")),
).order_by(retired_tokens.c.row_id, retired_tokens.c.token_id)
_HELD: Final = 2 + len(_TOKEN)
_CUSTOMERS: Final = select(
    customers.c.id, customers.c.legacy_customer_id, customers.c.customer_id, customers.c.epoch
).order_by(customers.c.id)
_SENT: Final = len(attempts.columns)
_EPOCH: Final = attempts.columns.keys().index("epoch")
_NOT_OF_ITS_RUN: Final = (None, NO_ANSWER)
_ATTEMPTS: Final = (
    select(
        *attempts.columns,
        *(outcomes.c[name] for name in ("evidence", "kind", "vault_code", "request_id")),
        *(outcomes.c[name] for name in ("latency_us", "at_ms")),
    )
    .outerjoin(outcomes, outcomes.c.attempt_id == attempts.c.id)
    .order_by(attempts.c.id)
)
_OF_PASS_1: Final = frozenset(
    code for code, known in FAILURE_CODES.items() if known.stage in {Stage.READ, Stage.VALIDATE}
)


def lasting_of_rows(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Digest what lasts of sections of rows, with every token that they ever had.

    Args:
        connection: A reading connection.
        wanted: The sections, in order; default: every row that there is.
    """
    if wanted is not None:
        wanted = list(wanted)
    # Retired tokens are few; most ledgers have none.
    retired = asked_by_section(connection, _RETIRED, retired_tokens.c.row_id, wanted)
    ahead = next(retired, None)
    planned = select(exports.c.id, exports.c.epoch).where(exports.c.state == ExportState.PLANNED)
    epochs = {one.id: one.epoch for one in connection.execute(planned)}
    for number, found in asked_by_section(connection, _ROWS, rows.c.id, wanted):
        while ahead is not None and ahead[0] < number:
            ahead = next(retired, None)
        gone = ahead[1] if ahead is not None and ahead[0] == number else []
        yield counted_as(number, len(found), _digests(_of_rows(found, gone, epochs)))


def lasting_of_customers(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Digest which customer of the vault is whose, of sections of customers; `wanted` as above."""
    for number, found in asked_by_section(connection, _CUSTOMERS, customers.c.id, wanted):
        things: _Things = defaultdict(list)
        for *customer, epoch in found:
            if customer[-1] is not None:
                things[epoch].append(customer)
        yield counted_as(number, len(found), _digests(things))


def lasting_of_attempts(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Digest what was sent when, and what came back, of sections of attempts; `wanted` as above.

    An attempt that its run left open is closed by a later one; such an outcome comes with no run
    here, and `answers_proof` says what it must be.
    """
    for number, found in asked_by_section(connection, _ATTEMPTS, attempts.c.id, wanted):
        things: _Things = defaultdict(list)
        for attempt in found:
            is_open = attempt[_SENT] in _NOT_OF_ITS_RUN
            things[attempt[_EPOCH]].append(attempt[:_SENT] if is_open else attempt)
        yield counted_as(number, len(found), _digests(things))


def _of_rows(
    found: Sequence[tuple[Any, ...]], gone: Sequence[tuple[Any, ...]], epochs: Mapping[int, int]
) -> _Things:
    """Give what lasts of the rows of a section, by epoch; an export's rows last once it is planned.

    Args:
        found: `_ROWS` of them.
        gone: `_RETIRED` of them.
        epochs: Of each planned export the epoch of its run.
    """
    things: _Things = defaultdict(list)
    # A section is of one export.
    planned_in = epochs.get(found[0][0] // ROW_SPAN)
    if planned_in is not None:
        things[planned_in] += [
            row[:_STATE] if row[_STATE] not in _ENDS else _with_verdict(row) for row in found
        ]
    held = [(row[0], *row[_TOKENS:]) for row in found if row[_TOKENS] is not None]
    if gone:
        # In an order that does not tell which of a row's tokens is in force.
        held = sorted([*held, *(token[:_HELD] for token in gone)])
    for token in held:
        things[token[-1]].append(token)
    for token in gone:
        things[token[-1]].append((*token[:2], *token[_HELD:]))
    return things


def _with_verdict(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a row that is not to be sent, with the reason if no run can ever plan it again."""
    state, code = row[_STATE : _STATE + 2]
    is_final = code != Code.FILTERED if state == RowState.SKIPPED else code in _OF_PASS_1
    return row[: _TOKENS if is_final else _STATE]


def _digests(things: _Things) -> list[tuple[int, int, str]]:
    return [
        (epoch, len(held), hashlib.sha256(orjson.dumps(held)).hexdigest())
        for epoch, held in sorted(things.items())
    ]
