"""Enters the customers that exports name, and rejects the rows whose customer is in conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, func, insert, or_, select, true, update

from pipeline.failure_codes import Code
from pipeline.ledger.records import CustomerState
from pipeline.ledger.schema import customers, rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection

_IS_UNKNOWN: Final = and_(
    customers.c.customer_id.is_(None), customers.c.state == CustomerState.REFUSED
)
"""The vault does not know the existing customer that was named; a mended export names another."""

_AT_ONCE: Final = 500
"""So many values go into one statement."""


def enter_customers(
    connection: Connection, owners: Sequence[tuple[str, str | None]]
) -> tuple[dict[str | None, int], set[int]]:
    """Make sure that every customer of some cards has its row.

    Args:
        connection: In a transaction.
        owners: Of each card the customer's legacy key, and the existing customer that is named.

    Returns:
        The customers' ids by legacy key, and those for whom two existing ones are named, or the
        one that is named for another as well.
    """
    named: dict[str, str | None] = {}
    in_conflict: set[str] = set()
    for key, existing in owners:
        before = named.setdefault(key, existing)
        if existing is not None and before not in {None, existing}:
            in_conflict.add(key)
        named[key] = before or existing
    ids = _compared(connection, named, in_conflict)
    missing = [key for key in named if key not in ids]
    if missing:
        first = 1 + (connection.execute(select(func.max(customers.c.id))).scalar() or 0)
        new = dict(zip(missing, range(first, first + len(missing)), strict=True))
        connection.execute(
            insert(customers),
            [
                {
                    "id": number,
                    "legacy_customer_id": key,
                    "given_id": named[key],
                    "state": CustomerState.WANTED.value,
                }
                for key, number in new.items()
            ],
        )
        ids.update(new)
    return ids, {ids[key] for key in in_conflict} | _sharing(connection, named)


def _sharing(connection: Connection, named: dict[str, str | None]) -> set[int]:
    """Give the customers that name an existing one which is named for another, or is another's."""
    existing = sorted({name for name in named.values() if name is not None})
    owners: dict[str, set[int]] = {}
    settled: dict[str, int] = {}
    for start in range(0, len(existing), _AT_ONCE):
        part = existing[start : start + _AT_ONCE]
        here = or_(customers.c.given_id.in_(part), customers.c.customer_id.in_(part))
        found = connection.execute(
            select(customers.c.id, customers.c.given_id, customers.c.customer_id).where(here)
        )
        for number, given, known in found.all():
            owners.setdefault(known or given, set()).add(number)
            if known is not None:
                settled[known] = number
    return {
        number
        for name, numbers in owners.items()
        for number in numbers
        if len(numbers) > 1 and number != settled.get(name)
    }


def _compared(
    connection: Connection, named: dict[str, str | None], in_conflict: set[str]
) -> dict[str | None, int]:
    """Give the ids of the customers that are known, and compare what is named for them now."""
    ids: dict[str | None, int] = {}
    keys = list(named)
    for start in range(0, len(keys), _AT_ONCE):
        found = connection.execute(
            select(
                customers.c.id,
                customers.c.legacy_customer_id,
                func.coalesce(customers.c.customer_id, customers.c.given_id),
                _IS_UNKNOWN,
            ).where(customers.c.legacy_customer_id.in_(keys[start : start + _AT_ONCE]))
        )
        for number, key, before, is_unknown in found.all():
            ids[key] = int(number)
            now = named[key]
            if now is not None and now != before and (before is None or is_unknown):
                values: dict[str, str | None] = {"given_id": now}
                if is_unknown:
                    values |= {"state": CustomerState.WANTED.value, "code": None}
                here = customers.c.id == number
                connection.execute(update(customers).where(here).values(values))
            elif now is not None and now != before:
                in_conflict.add(key)
    return ids


def reject_conflicts(
    connection: Connection, first_id: int, last_id: int, customer_ids: Collection[int]
) -> None:
    """Reject the planned rows of a range of ids that belong to customers in conflict.

    What was named for those that no row is left of is forgotten, so that a mended export may name
    another.

    Args:
        connection: In a transaction.
        first_id: The smallest row id.
        last_id: The largest.
        customer_ids: The ledger's numbers of customers in conflict; one at least.
    """
    in_conflict = sorted(customer_ids)
    for start in range(0, len(in_conflict), _AT_ONCE):
        connection.execute(
            update(rows)
            .where(
                rows.c.id.between(first_id, last_id),
                rows.c.state == RowState.PLANNED,
                rows.c.customer.in_(in_conflict[start : start + _AT_ONCE]),
            )
            .values(state=RowState.REJECTED, code=Code.CUSTOMER_CONFLICT, field="customer_id")
        )
    _forget_unless(connection, customer_ids, rows.c.state != RowState.REJECTED)


def forget_named(connection: Connection, customer_ids: Collection[int]) -> None:
    """Forget which existing customers a refused export had named, and no other export's rows.

    Their own rows stay: to delete one, the database would look for it in every row of the ledger.
    """
    if not customer_ids:
        return
    _forget_unless(connection, customer_ids, true())


def _forget_unless(
    connection: Connection, customer_ids: Collection[int], has: ColumnElement[bool]
) -> None:
    """Forget what was named for customers that have no row of a kind."""
    owned = select(rows.c.customer).where(rows.c.customer.is_not(None), has).distinct()
    orphans = sorted(set(customer_ids).difference(connection.execute(owned).scalars()))
    for start in range(0, len(orphans), _AT_ONCE):
        connection.execute(
            update(customers)
            .where(
                customers.c.id.in_(orphans[start : start + _AT_ONCE]),
                customers.c.state == CustomerState.WANTED,
            )
            .values(given_id=None)
        )
