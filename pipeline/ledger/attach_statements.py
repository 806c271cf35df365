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

    from sqlalchemy import Column, ColumnElement, Insert, Update


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


@cache
def entering(database: str) -> Insert:
    """Enter an attachment that is not there yet; `database` is a dialect's name."""
    # By name, as loading PostgreSQL's loads all of its drivers.
    dialect = import_module(f"sqlalchemy.dialects.{database}")
    statement: Insert = dialect.insert(attachments).on_conflict_do_nothing()
    return statement


@cache
def settling(names: tuple[str, ...]) -> Update:
    """Change these columns of an attachment (`new_` and the name), and add to its `doubts`."""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    values["unknowns"] = attachments.c.unknowns + bindparam("doubts")
    return update(attachments).where(attachments.c.row_id == bindparam("of_row")).values(values)


@cache
def finding(names: tuple[str, ...]) -> Update:
    """Change these columns of a customer (`new_` and the name); the run that found it stays so."""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    if "epoch" in names:
        values["epoch"] = func.coalesce(customers.c.epoch, values["epoch"])
    return update(customers).where(customers.c.id == bindparam("of_customer")).values(values)
