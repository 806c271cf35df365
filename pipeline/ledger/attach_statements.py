"""Holds the statements that change where cards and customers stand, each for many at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, or_, select, update

from pipeline.ledger.records import NOT_ATTACHED_YET, AttachState, CustomerState
from pipeline.ledger.schema import attachments, customers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column, ColumnElement, Executable


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
def settling(names: tuple[str, ...]) -> Executable:
    """Change these columns of an attachment (`new_` and the name), and add to its `doubts`."""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    values["unknowns"] = attachments.c.unknowns + bindparam("doubts")
    return update(attachments).where(attachments.c.row_id == bindparam("of_row")).values(values)


@cache
def finding(names: tuple[str, ...]) -> Executable:
    """Change these columns of a customer (`new_` and the name)."""
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return update(customers).where(customers.c.id == bindparam("of_customer")).values(values)
