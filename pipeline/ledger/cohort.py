"""Sets the rows aside that are not in the cohort of this run, and takes them back later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Column, MetaData, Table, exists, func, insert, or_, select, update

from pipeline.failure_codes import Code
from pipeline.ledger.bearing import unit
from pipeline.ledger.records import row_id
from pipeline.ledger.schema import rows
from pipeline.ledger.schema_parts import Text
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.ledger.ledger import Ledger

_AT_ONCE: Final = 10_000
_wanted: Final = Table(
    "wanted_legacy_ids",
    MetaData(),
    Column("legacy_id", Text, primary_key=True),
    prefixes=["TEMPORARY"],
)


class Chosen(NamedTuple):
    """What a cohort came to.

    Attributes:
        left_out: Rows of the exports that are left out.
        unknown: Legacy ids of the cohort that no row of the exports has.
    """

    left_out: int
    unknown: int


@unit
def cohort(
    ledger: Ledger, export_ids: Collection[int], legacy_ids: Collection[str] | None
) -> Chosen:
    """Skip the planned rows that are not in a cohort, and plan those again that are in it.

    Args:
        ledger: The ledger, after planning and before anything is sent.
        export_ids: Only rows of these exports.
        legacy_ids: The cohort; None takes back every row that an earlier one had left out.

    Returns:
        How many rows of the exports are left out, and how many ids of the cohort are not in them.
    """
    with ledger.transaction() as connection:
        _wanted.create(connection)
        batch: list[dict[str, str]] = []
        for legacy_id in dict.fromkeys(legacy_ids or ()):
            batch.append({"legacy_id": legacy_id})
            if len(batch) == _AT_ONCE:
                connection.execute(insert(_wanted), batch)
                batch = []
        if batch:
            connection.execute(insert(_wanted), batch)
        here = or_(
            *(rows.c.id.between(row_id(n, 0), row_id(n + 1, 0) - 1) for n in sorted(export_ids))
        )
        filtered = (here, rows.c.state == RowState.SKIPPED, rows.c.code == Code.FILTERED)
        chosen = rows.c.legacy_id.in_(select(_wanted.c.legacy_id))
        again = filtered if legacy_ids is None else (*filtered, chosen)
        connection.execute(update(rows).where(*again).values(state=RowState.PLANNED, code=None))
        left_out = unknown = 0
        if legacy_ids is not None:
            connection.execute(
                update(rows)
                .where(here, rows.c.state == RowState.PLANNED, ~chosen)
                .values(state=RowState.SKIPPED, code=Code.FILTERED)
            )
            counted = select(func.count()).select_from(rows).where(*filtered)
            left_out = int(connection.execute(counted).scalar_one())
            found = exists().where(rows.c.legacy_id == _wanted.c.legacy_id, here)
            strangers = select(func.count()).select_from(_wanted).where(~found)
            unknown = int(connection.execute(strangers).scalar_one())
        _wanted.drop(connection)
        ledger.record(
            connection,
            "cohort_chosen",
            resource=ledger.run_id,
            left_out=left_out,
            unknown=unknown,
            of_all=legacy_ids is None,
        )
    return Chosen(left_out, unknown)
