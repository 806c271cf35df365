"""Holds the statements that change where cards and customers stand, each for many at once."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, or_, select, update

from pipeline.ledger.records import NOT_ATTACHED_YET, AttachState, CustomerState
from pipeline.ledger.schema import attachments, attempts, customers, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column, ColumnElement, Insert, Table, Update


ATTEMPT: Final = insert(attempts)
OUTCOME: Final = insert(outcomes)


def _is_one_of(column: Column[Any], states: Iterable[str]) -> ColumnElement[bool]:
    """Give what `in_` gives, which no statement for many rows at once may hold."""
    return or_(*(column == str(state) for state in states))


ATTACHING: Final = (
    update(attachments)
    .where(
        attachments.c.row_id == bindparam("of_row"),
        _is_one_of(attachments.c.state, (AttachState.UNATTACHED, AttachState.DOUBTED)),
    )
    .values(state=AttachState.ATTACHING, code=None, attempts=attachments.c.attempts + 1)
)

_MADE_UNSEEN_BY_ANOTHER: Final = (
    select(attachments.c.row_id)
    .where(
        attachments.c.customer == bindparam("of_customer"),
        attachments.c.row_id != bindparam("of_row"),
        _is_one_of(attachments.c.state, NOT_ATTACHED_YET),
        or_(attachments.c.unknowns > 0, attachments.c.state == AttachState.ATTACHING),
    )
    .exists()
)
"""Whether another row's request may have made a customer, and nobody knows yet."""

MAKING: Final = (
    update(customers)
    .where(
        customers.c.id == bindparam("of_customer"),
        _is_one_of(customers.c.state, (CustomerState.WANTED, CustomerState.MAKING)),
        ~_MADE_UNSEEN_BY_ANOTHER,
    )
    .values(state=CustomerState.MAKING)
)

NO_OTHER_DEFAULT: Final = (
    update(attachments)
    .where(
        attachments.c.customer == bindparam("of_customer"),
        attachments.c.row_id != bindparam("of_row"),
        attachments.c.is_default == 1,
    )
    .values(is_default=0)
)


def _standing(table: Table, key: str, mark: str, learnt: Iterable[str], **others: Any) -> Update:
    """Say where a card or a customer stands by now.

    Args:
        table: Where it is kept.
        key: The column that tells it from others.
        mark: The parameter that holds its key.
        learnt: Columns in which stays what is there, where nothing else was learnt: the parameter
            of the same name, with `new_` before it, is absent then.
        others: Columns that are set in ways of their own.
    """
    kept = {
        name: func.coalesce(bindparam(f"new_{name}", type_=table.c[name].type), table.c[name])
        for name in learnt
    }
    standing: dict[str, Any] = {
        "state": bindparam("new_state"),
        "code": bindparam("new_code"),
        **kept,
        **others,
    }
    return update(table).where(table.c[key] == bindparam(mark)).values(standing)


SETTLING: Final = _standing(
    attachments,
    "row_id",
    "of_row",
    ("card_id", "is_default", "attached_ms", "deleted_ms"),
    unknowns=attachments.c.unknowns + bindparam("doubts"),
    vault_code=bindparam("new_vault_code"),
    request_id=bindparam("new_request_id"),
)
"""Say where an attachment stands by now, and add to its `doubts`."""

FINDING: Final = _standing(
    customers,
    "id",
    "of_customer",
    ("customer_id", "livemode", "created_s"),
    # The run that found it stays so.
    epoch=func.coalesce(customers.c.epoch, bindparam("new_epoch", type_=customers.c.epoch.type)),
)
"""Say where a customer stands by now."""


@cache
def entering(database: str) -> Insert:
    """Enter an attachment that is not there yet; `database` is a dialect's name."""
    # By name, as loading PostgreSQL's loads all of its drivers.
    dialect = import_module(f"sqlalchemy.dialects.{database}")
    entered = dialect.insert(attachments).values(state=AttachState.UNATTACHED)
    statement: Insert = entered.on_conflict_do_nothing()
    return statement
