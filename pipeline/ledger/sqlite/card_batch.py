"""Writes a batch that speaks of cards and customers, too, as one statement: by a view of its own.

Each trigger runs the very statements of `attach_statements`, with columns of the view in the place
of their parameters; what stands in other modules for other stores is not said again here. Tokens
alone do not pay for these columns and triggers.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal_column
from sqlalchemy.dialects import sqlite

from pipeline.ledger.attach_statements import (
    ATTACHING,
    ATTEMPT,
    FINDING,
    MAKING,
    NO_OTHER_DEFAULT,
    OUTCOME,
    SETTLING,
    entering,
)
from pipeline.ledger.attaching import moments
from pipeline.ledger.batches import CARD_MOVED
from pipeline.ledger.records import (
    AttachIntent,
    AttachSettlement,
    AttemptStep,
    CustomerFound,
    Retirement,
    RowRefusal,
)
from pipeline.ledger.sqlite.batch import (
    Batches,
    fence_row,
    insert_batch,
    intent_row,
    settlement_row,
)
from pipeline.ledger.sqlite.batch_triggers import COLUMNS as OF_TOKENS
from pipeline.ledger.sqlite.batch_triggers import (
    NO_SETTLEMENT,
    NO_TOKEN,
    TRIGGERS,
    create_view,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Insert, Update

    from pipeline.ledger.batches import Batch, Writing
    from pipeline.ledger.records import AttachEntry
    from pipeline.ledger.sqlite.kept_open import Driver

_VIEW: Final = "batch_with_cards"

_REQUEST, _ATTACH, _MAKE, _SETTLED, _SETTLED_UNASKED, _FOUND = 5, 6, 7, 8, 9, 10
"""The kinds of entry, beside those of tokens."""

_REQUEST_COLUMNS: Final = ("customer", "step")
_CARD_COLUMNS: Final = ("on_customer", "is_default", "attached_ms", "deleted_ms")
_FOUND_COLUMNS: Final = (
    *("found", "found_state", "found_code", "found_id"),
    *("found_livemode", "found_created_s", "found_epoch"),
)
_COLUMNS: Final = (*OF_TOKENS, *_REQUEST_COLUMNS, *_CARD_COLUMNS, *_FOUND_COLUMNS)
_NO_SETTLEMENT_OF_CARD: Final = (0,) * (len(_COLUMNS) - len(_FOUND_COLUMNS) - 1)
_NO_CARD: Final = (0,) * len(_CARD_COLUMNS + _FOUND_COLUMNS)
_NOBODY_FOUND: Final = (0,) * len(_FOUND_COLUMNS)
_NOT_OF_CARDS: Final = (0,) * (len(_COLUMNS) - len(OF_TOKENS))
"""What an entry about a token has in the columns for cards and customers."""

_NAMED: Final = sqlite.dialect(paramstyle="named")
_MARK: Final = re.compile(r":(\w+)")


class CardBatches(Batches):
    """Writes batches of a ledger that has customers; see `pipeline.ledger.batches`."""

    def __init__(self, writing: Writing, epoch: int) -> None:
        super().__init__(writing, epoch)
        with writing() as driver:
            create_view(driver, _VIEW, _COLUMNS, TRIGGERS | _triggers())

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Tell whether all of these have a trigger; what takes a token out of force is too rare."""
        return not any(isinstance(entry, Retirement | RowRefusal) for entry in of_cards)

    def _insert(self, driver: Driver, batch: Batch) -> None:
        if not batch.of_cards:
            super()._insert(driver, batch)
            return
        epoch, at_ms = self._epoch, batch.at_ms
        values: list[object] = []
        for settlement in batch.settled:
            values += settlement_row(settlement, epoch, at_ms) + _NOT_OF_CARDS
        for row in _entry_rows(batch.of_cards, epoch, at_ms):
            values += row
        for intent in batch.intents:
            values += intent_row(intent, epoch, at_ms) + _NOT_OF_CARDS
        insert_batch(driver, _VIEW, fence_row(epoch) + _NOT_OF_CARDS, values)


def _in_trigger(statement: Insert | Update, **places: str) -> str:
    """Put a statement into a trigger's words.

    Args:
        statement: It has parameters of its own, which become literals, and of whoever runs it.
        places: The expression that stands for each of the latter.
    """
    keys = list(places) if statement.is_insert else None
    compiled = statement.compile(dialect=_NAMED, column_keys=keys)

    def expression(mark: re.Match[str]) -> str:
        name = mark[1]
        return places[name] if name in places else _literal(compiled.params[name])

    return _MARK.sub(expression, str(compiled)) + ";"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, str) else str(int(value))


def _or_null(column: str) -> str:
    return f"nullif(new.{column}, 0)"


@cache
def _triggers() -> dict[str, tuple[str, str]]:
    """Give the condition and the words of each trigger, by name."""
    attempt = _in_trigger(
        ATTEMPT,
        id="new.attempt_id",
        row_id="new.row_id",
        step="new.step",
        number="new.number",
        epoch="new.epoch",
        at_ms="new.at_ms",
    )
    outcome = _in_trigger(
        OUTCOME,
        attempt_id="new.attempt_id",
        kind="new.kind",
        evidence="new.evidence",
        vault_code=_or_null("vault_code"),
        request_id=_or_null("request_id"),
        latency_us="new.latency_us",
        at_ms="new.at_ms",
    )
    enter = _in_trigger(entering("sqlite"), row_id="new.row_id", customer="new.customer")
    attach = enter + _in_trigger(ATTACHING, of_row="new.row_id") + _refuse_unless("1")
    make = _in_trigger(MAKING, of_row="new.row_id", of_customer="new.customer")
    make += _refuse_unless("1")
    settle, find = _settling(), _finding()
    return {
        "ask": (f"new.entry = {_REQUEST}", attempt),
        "attach": (f"new.entry = {_ATTACH}", attach + attempt),
        "make": (f"new.entry = {_MAKE}", attach + make + attempt),
        "settle_card": (f"new.entry = {_SETTLED}", outcome + settle + find),
        "settle_unasked": (f"new.entry = {_SETTLED_UNASKED}", enter + settle + find),
        "find": (f"new.entry = {_FOUND}", find),
    }


def _settling() -> str:
    settle = _in_trigger(
        SETTLING,
        of_row="new.row_id",
        new_state="new.state",
        new_code=_or_null("code"),
        doubts="new.unknowns",
        new_vault_code=_or_null("vault_code"),
        new_request_id=_or_null("request_id"),
        new_card_id=_or_null("on_customer"),
        new_is_default="new.is_default",
        new_attached_ms=_or_null("attached_ms"),
        new_deleted_ms=_or_null("deleted_ms"),
    )
    if_default = NO_OTHER_DEFAULT.where(literal_column("new.is_default") == literal_column("1"))
    no_other = _in_trigger(if_default, of_row="new.row_id", of_customer="new.customer")
    return settle + _refuse_unless("1") + no_other


def _finding() -> str:
    find = _in_trigger(
        FINDING,
        of_customer="new.found",
        new_state="new.found_state",
        new_code=_or_null("found_code"),
        new_customer_id=_or_null("found_id"),
        new_livemode="new.found_livemode",
        new_created_s="new.found_created_s",
        new_epoch=_or_null("found_epoch"),
    )
    return find + _refuse_unless("(new.found <> 0)")


def _refuse_unless(changed: str) -> str:
    """Undo the statement unless the one before has changed so many rows."""
    return f"SELECT RAISE(ABORT, '{CARD_MOVED}') WHERE changes() <> {changed};"


def _entry_rows(
    entries: Iterable[AttachEntry], epoch: int, at_ms: int
) -> Iterable[tuple[object, ...]]:
    """Give the values of entries in the order of the columns: what is said first, then the requests.

    Args:
        entries: Such as `may_hold` allows.
        epoch: The run's epoch.
        at_ms: The batch's moment.

    Raises:
        TypeError: One is such as `may_hold` does not allow.
    """
    intents = []
    for entry in entries:
        if isinstance(entry, AttachIntent):
            intents.append(_request_row(entry, epoch, at_ms))
        elif isinstance(entry, AttachSettlement):
            yield _settlement_row(entry, epoch, at_ms)
        elif isinstance(entry, CustomerFound):
            yield (_FOUND, *_NO_SETTLEMENT_OF_CARD, *_found(entry, epoch))
        else:
            raise TypeError("no batch holds this")
    yield from intents


def _request_row(intent: AttachIntent, epoch: int, at_ms: int) -> tuple[object, ...]:
    attempt_id, row_id, number, customer, step, makes_customer = intent
    entry = _REQUEST
    if step is AttemptStep.ATTACH:
        entry = _MAKE if makes_customer else _ATTACH
    asked = (customer, step._value_)
    return (entry, attempt_id, row_id, at_ms, epoch, number, *NO_SETTLEMENT, *asked, *_NO_CARD)


def _settlement_row(item: AttachSettlement, epoch: int, at_ms: int) -> tuple[object, ...]:
    attached_ms, deleted_ms = moments(item, at_ms)
    return (
        _SETTLED_UNASKED if item.attempt_id is None else _SETTLED,
        item.attempt_id or 0,
        item.row_id,
        at_ms,
        epoch,
        0,
        item.kind._value_,
        item.evidence,
        item.vault_code or 0,
        item.request_id or 0,
        item.latency_us,
        item.state._value_,
        item.code or 0,
        item.unknowns,
        *NO_TOKEN,
        item.customer,
        0,
        item.card_id or 0,
        _number(item.is_default),
        attached_ms or 0,
        deleted_ms or 0,
        *(_NOBODY_FOUND if item.found is None else _found(item.found, epoch)),
    )


def _found(item: CustomerFound, epoch: int) -> tuple[object, ...]:
    return (
        item.id,
        item.state._value_,
        item.code or 0,
        item.customer_id or 0,
        _number(item.livemode),
        item.created_s,
        0 if item.customer_id is None else epoch,
    )


def _number(flag: bool | None) -> int | None:  # noqa: FBT001 - it is what is written.
    """Give a flag as the driver takes it without looking for an adapter."""
    return None if flag is None else int(flag)
