"""Enters the customers that exports name, and rejects the rows whose customer is in conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, insert, select, update

from pipeline.failure_codes import Code
from pipeline.ledger.records import CustomerState
from pipeline.ledger.schema import customers, rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

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
        The customers' ids by legacy key, and those for whom two existing ones are named.
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
    return ids, {ids[key] for key in in_conflict}


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
            ).where(customers.c.legacy_customer_id.in_(keys[start : start + _AT_ONCE]))
        )
        for number, key, before in found.all():
            ids[key] = int(number)
            now = named[key]
            if now is not None and before is None:
                here = customers.c.id == number
                connection.execute(update(customers).where(here).values(given_id=now))
            elif now is not None and now != before:
                in_conflict.add(key)
    return ids


def reject_conflicts(
    connection: Connection, first_id: int, last_id: int, customer_ids: Collection[int]
) -> None:
    """Reject the planned rows of a range of ids that belong to customers named in two ways."""
    if not customer_ids:
        return
    connection.execute(
        update(rows)
        .where(
            rows.c.id.between(first_id, last_id),
            rows.c.state == RowState.PLANNED,
            rows.c.customer.in_(list(customer_ids)),
        )
        .values(state=RowState.REJECTED, code=Code.CUSTOMER_CONFLICT, field="customer_id")
    )


def forget_named(connection: Connection, customer_ids: Collection[int]) -> None:
    """Forget which existing customers a refused export had named, and no other export's rows.

    Their own rows stay: to delete one, the database would look for it in every row of the ledger.
    """
    if not customer_ids:
        return
    owners = select(rows.c.customer).where(rows.c.customer.is_not(None)).distinct()
    orphans = sorted(set(customer_ids).difference(connection.execute(owners).scalars()))
    for start in range(0, len(orphans), _AT_ONCE):
        connection.execute(
            update(customers)
            .where(
                customers.c.id.in_(orphans[start : start + _AT_ONCE]),
                customers.c.state == CustomerState.WANTED,
            )
            .values(given_id=None)
        )
