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
from pipeline.ledger.held_sections import Ahead
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
from pipeline.ledger.sections import asked_by_section, counted_as, values_of
from pipeline.model import NO_ANSWER, RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Counted, Counting, Found

    _Things: TypeAlias = defaultdict[int, list[Sequence[Any]]]

_OF_ROW: Final = (
    *("id", "legacy_id", "last_digits", "brand", "expiration_month", "expiration_year"),
    *("carry", "customer", "is_default"),
)
_VERDICT: Final = ("state", "code", "field", "hint")
_CARD: Final = values_of(rows, *_OF_ROW)
_JUDGED_CARD: Final = values_of(rows, *_OF_ROW, *_VERDICT)
_STATE, _CODE = (rows.columns.keys().index(name) for name in ("state", "code"))
_ENDS: Final = frozenset({RowState.REJECTED.value, RowState.SKIPPED.value})
_EPOCH_OF_TOKEN: Final = tokens.columns.keys().index("epoch")
_TOKEN_COLUMNS: Final = tokens.columns.keys()
_RETIRED: Final = select(
    *(retired_tokens.c[name] for name in _TOKEN_COLUMNS),
    *(retired_tokens.c[name] for name in ("reason", "retired_ms", "retired_epoch")),
).order_by(retired_tokens.c.row_id, retired_tokens.c.token_id)
_HELD: Final = len(tokens.columns)
_CUSTOMER: Final = values_of(customers, "id", "legacy_customer_id", "customer_id")
_OF_CUSTOMER, _EPOCH_OF_CUSTOMER = (
    customers.columns.keys().index(name) for name in ("customer_id", "epoch")
)
_EPOCH: Final = attempts.columns.keys().index("epoch")
_ANSWER: Final = values_of(
    outcomes, *("evidence", "kind", "vault_code", "request_id", "latency_us", "at_ms")
)
_OF_PASS_1: Final = frozenset(
    code for code, known in FAILURE_CODES.items() if known.stage in {Stage.READ, Stage.VALIDATE}
)


def lasting_of_rows(connection: Connection, wanted: Sequence[int]) -> Counting:
    """Give what digests what lasts of a section of rows, with every token that they ever had.

    Args:
        connection: A reading connection.
        wanted: The sections that will be asked for, in order.
    """
    # Retired tokens are few; most ledgers have none.
    retired = Ahead(asked_by_section(connection, _RETIRED, retired_tokens.c.row_id, wanted))
    planned = select(exports.c.id, exports.c.epoch).where(exports.c.state == ExportState.PLANNED)
    epochs = {one.id: one.epoch for one in connection.execute(planned)}

    def lasting(number: int, found: Found, held: Found, *_: Found) -> Counted:
        # A section is of one export.
        planned_in = epochs.get(found[0][0] // ROW_SPAN)
        things = _of_rows(found, held, retired.of(number), planned_in)
        return counted_as(number, len(found), _digests(things))

    return lasting


def lasting_of_customers(number: int, found: Found) -> Counted:
    """Digest which customer of the vault is whose, of a section of customers."""
    things: _Things = defaultdict(list)
    for customer in found:
        if customer[_OF_CUSTOMER] is not None:
            things[customer[_EPOCH_OF_CUSTOMER]].append(_CUSTOMER(customer))
    return counted_as(number, len(found), _digests(things))


def lasting_of_attempts(number: int, found: Found, answers: Found) -> Counted:
    """Digest what was sent when, and what came back, of a section of attempts with their outcomes.

    An attempt that its run left open is closed by a later one; such an outcome comes with no run
    here, and `answers_proof` says what it must be.
    """
    things: _Things = defaultdict(list)
    answered = {answer[0]: _ANSWER(answer) for answer in answers}
    for attempt in found:
        answer = answered.get(attempt[0])
        is_open = answer is None or answer[0] == NO_ANSWER
        things[attempt[_EPOCH]].append(attempt if answer is None or is_open else attempt + answer)
    return counted_as(number, len(found), _digests(things))


def _of_rows(found: Found, held: Found, gone: Found, planned_in: int | None) -> _Things:
    """Give what lasts of the rows of a section, by epoch; an export's rows last once it is planned.

    Args:
        found: The rows.
        held: Their tokens in force.
        gone: `_RETIRED` of them.
        planned_in: The epoch of the run that planned their export; None if none has.
    """
    things: _Things = defaultdict(list)
    if planned_in is not None:
        things[planned_in] += [
            _CARD(row) if row[_STATE] not in _ENDS else _with_verdict(row) for row in found
        ]
    if gone:
        # In an order that does not tell which of a row's tokens is in force.
        held = sorted([*held, *(token[:_HELD] for token in gone)])
    for token in held:
        things[token[_EPOCH_OF_TOKEN]].append(token)
    for token in gone:
        things[token[-1]].append((*token[:2], *token[_HELD:]))
    return things


def _with_verdict(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a row that is not to be sent, with the reason if no run can ever plan it again."""
    state, code = row[_STATE], row[_CODE]
    is_final = code != Code.FILTERED if state == RowState.SKIPPED else code in _OF_PASS_1
    return _JUDGED_CARD(row) if is_final else _CARD(row)


def _digests(things: _Things) -> list[tuple[int, int, str]]:
    return [
        (epoch, len(held), hashlib.sha256(orjson.dumps(held)).hexdigest())
        for epoch, held in sorted(things.items())
    ]
