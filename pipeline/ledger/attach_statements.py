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

    from sqlalchemy import Column, ColumnElement, Insert


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


def _or_as_before(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Give a parameter, or what a column has already where the parameter is absent."""
    return func.coalesce(bindparam(name, type_=column.type), column)


SETTLING: Final = (
    update(attachments)
    .where(attachments.c.row_id == bindparam("of_row"))
    .values(
        state=bindparam("new_state"),
        code=bindparam("new_code"),
        unknowns=attachments.c.unknowns + bindparam("doubts"),
        vault_code=bindparam("new_vault_code"),
        request_id=bindparam("new_request_id"),
        **{
            name: _or_as_before(attachments.c[name], f"new_{name}")
            for name in ("card_id", "is_default", "attached_ms", "deleted_ms")
        },
    )
)
"""Say where an attachment stands by now, and add to its `doubts`."""

FINDING: Final = (
    update(customers)
    .where(customers.c.id == bindparam("of_customer"))
    .values(
        state=bindparam("new_state"),
        code=bindparam("new_code"),
        # The run that found it stays so.
        epoch=func.coalesce(
            customers.c.epoch, bindparam("new_epoch", type_=customers.c.epoch.type)
        ),
        **{
            name: _or_as_before(customers.c[name], f"new_{name}")
            for name in ("customer_id", "livemode", "created_s")
        },
    )
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
