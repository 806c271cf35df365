"""Lists what the ledger holds, in order and a block at a time: mapping, failures, runs, exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import and_, case, func, null, select, union_all

from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import (
    ROW_SPAN,
    AttachState,
    ExportRecord,
    ExportState,
    RunRecord,
    row_id,
)
from pipeline.ledger.row_conditions import (
    HINT,
    has_failed_on_the_way,
    is_open,
    is_resolved,
)
from pipeline.ledger.schema import attachments, customers, exports, rows, runs, tokens
from pipeline.ledger.section_figures import SUPERSEDED
from pipeline.ledger.section_sums import UNATTACHED
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement

_MAPPED: Final[dict[str, ColumnElement[Any]]] = {
    "legacy_id": rows.c.legacy_id,
    "token_id": tokens.c.token_id,
    "card_id": func.coalesce(attachments.c.card_id, tokens.c.card_id),
    "customer_id": customers.c.customer_id,
    "brand": tokens.c.brand,
    "last_digits": rows.c.last_digits,
    "expiration_month": rows.c.expiration_month,
    "expiration_year": rows.c.expiration_year,
    "fingerprint": tokens.c.fingerprint,
    "livemode": tokens.c.livemode,
    "created_s": tokens.c.created_s,
    "attempts": rows.c.attempts,
    "source_file": exports.c.name,
    "source_row": rows.c.id % ROW_SPAN,
    "run_id": runs.c.run_id,
    "customer_origin": case((customers.c.customer_id.is_not(None), customers.c.state)),
    "is_default": attachments.c.is_default,
    "carry": rows.c.carry,
}
MAPPED: Final = tuple(_MAPPED)
"""What `mapped_rows` gives of a row, in order."""

_FAILED: Final[dict[str, ColumnElement[Any]]] = {
    "legacy_id": rows.c.legacy_id,
    "source_file": exports.c.name,
    "source_row": rows.c.id % ROW_SPAN,
    "code": rows.c.code,
    "field": rows.c.field,
    "state": rows.c.state,
    "attempts": rows.c.attempts,
    "last_digits": rows.c.last_digits,
    "vault_code": rows.c.vault_code,
    "request_id": rows.c.request_id,
    "customer_id": null(),
    "card_id": null(),
    "hint": HINT,
}
_FAILED_ON_THE_WAY: Final[dict[str, ColumnElement[Any]]] = {
    **_FAILED,
    "code": attachments.c.code,
    "field": null(),
    "state": case((attachments.c.state == AttachState.HELD, "held"), else_="failed"),
    "attempts": attachments.c.attempts,
    "vault_code": attachments.c.vault_code,
    "request_id": attachments.c.request_id,
    "customer_id": customers.c.customer_id,
    "card_id": func.coalesce(attachments.c.card_id, tokens.c.card_id),
}
"""The same columns for a row that has its token, but whose card came on no customer."""

FAILED: Final = tuple(_FAILED)
"""What `failed_rows` gives of a row, in order."""

RESOLVED: Final = "resolved"
"""The ending of a row that failed, and whose legacy id a later row moved."""

JUDGED: Final = (
    "legacy_id",
    "last_digits",
    "brand",
    "expiration_month",
    "expiration_year",
    "state",
    "code",
    "field",
)
"""What `judged_rows` gives of a row, by name."""

_EXPORT: Final = tuple(exports.c[name] for name in ExportRecord._fields)
_ON_A_CUSTOMER: Final = (AttachState.ATTACHED.value, AttachState.REUSED.value)
_ENDING: Final = case(
    (rows.c.superseded_by.is_not(None), SUPERSEDED),
    (is_resolved(), RESOLVED),
    else_=rows.c.state,
)
IS_IN_FORCE: Final = (rows.c.state == RowState.TOKENIZED, rows.c.superseded_by.is_(None))


def _named(columns: dict[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    return [column.label(name) for name, column in columns.items()]


class Listings(QueryBase):
    """Questions whose answers are rows."""

    def exports(self) -> list[ExportRecord]:
        """Give the planned exports in the order in which they came."""
        planned = exports.c.state == ExportState.PLANNED
        return [
            ExportRecord._make(found)
            for found in self._all(select(*_EXPORT).where(planned).order_by(exports.c.id))
        ]

    def export(self, sha256: str) -> ExportRecord | None:
        """Give the planned export with these sealed bytes, if there is one."""
        found = self._first(
            select(*_EXPORT).where(
                exports.c.sha256 == sha256, exports.c.state == ExportState.PLANNED
            )
        )
        return None if found is None else ExportRecord._make(found)

    def runs(self, epoch: int | None = None) -> list[RunRecord]:
        """Give the runs, oldest first, up to one of them or all."""
        asked = select(*(runs.c[name] for name in RunRecord._fields)).order_by(runs.c.epoch)
        found = self._all(asked if epoch is None else asked.where(runs.c.epoch <= epoch))
        known: dict[bytes, Any] = {}
        return [
            RunRecord(
                run_id, started, ended, code, _facts(facts, known), orjson.loads(told or "{}")
            )
            for run_id, started, ended, code, facts, told in found
        ]

    def mapped_rows(
        self, ids: tuple[int, int] | None = None
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Give the mapping by export and row, a block at a time: each id once, its newest token.

        Where cards are attached, tokens whose card is on no customer yet are left out.

        Args:
            ids: The first and the last row's id; default: of all.
        """
        within = () if ids is None else (rows.c.id.between(*ids),)
        attached_only = self.is_attaching()
        on_customer = and_(
            attachments.c.row_id == rows.c.id, attachments.c.state.in_(_ON_A_CUSTOMER)
        )
        return self._blocks(
            select(*_MAPPED.values())
            .join(tokens, tokens.c.row_id == rows.c.id)
            .join(attachments, on_customer, isouter=not attached_only)
            .join(customers, customers.c.id == attachments.c.customer, isouter=not attached_only)
            .join(exports, exports.c.id == rows.c.id // ROW_SPAN)
            .join(runs, runs.c.epoch == tokens.c.epoch)
            .where(*IS_IN_FORCE, *within)
            .order_by(rows.c.id)
        )

    def failed_rows(
        self, ids: tuple[int, int] | None = None
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Give what is open by export and row, a block at a time; resolved rows are left out.

        Args:
            ids: The first and the last row's id; default: of all.
        """
        within = () if ids is None else (rows.c.id.between(*ids),)
        of_planned = and_(
            exports.c.id == rows.c.id // ROW_SPAN, exports.c.state == ExportState.PLANNED
        )
        failed = (
            select(*_FAILED.values())
            .join(exports, of_planned)
            .where(is_open(), *within)
            .order_by(rows.c.id)
        )
        if not self._number(select(select(attachments.c.row_id).exists())):
            return self._blocks(failed)
        on_the_way = (
            select(*_named(_FAILED_ON_THE_WAY), rows.c.id.label("row_id"))
            .join(exports, of_planned)
            .join(attachments, attachments.c.row_id == rows.c.id)
            .join(customers, customers.c.id == attachments.c.customer)
            .outerjoin(tokens, tokens.c.row_id == rows.c.id)
            .where(has_failed_on_the_way(), *within)
        )
        both = union_all(
            failed.order_by(None).with_only_columns(
                *_named(_FAILED), rows.c.id.label("row_id"), maintain_column_froms=True
            ),
            on_the_way,
        ).subquery()
        return self._blocks(select(*(both.c[name] for name in FAILED)).order_by(both.c.row_id))

    def judged_rows(self, export_id: int, first: int, last: int) -> dict[int, dict[str, Any]]:
        """Give what is known of some rows of an export, by row and by the names of `JUDGED`."""
        statement = select(rows.c.id % ROW_SPAN, *(rows.c[name] for name in JUDGED)).where(
            rows.c.id.between(row_id(export_id, first), row_id(export_id, last))
        )
        return {
            row: dict(zip(JUDGED, values, strict=True))
            for block in self._blocks(statement)
            for row, *values in block
        }

    def legacy_ids_by_ending(self) -> Iterator[Sequence[tuple[str, str]]]:
        """Give (`superseded`, `resolved`, `unattached` or else the state, legacy id) of every row.

        Rows without an id are left out.
        """
        proving = select(exports.c.id).where(exports.c.state == ExportState.PROVING)
        ending = _ENDING
        for condition in self._in_mapping():
            ending = case((and_(*IS_IN_FORCE, ~condition), UNATTACHED), else_=_ENDING)
        return self._blocks(
            select(ending, rows.c.legacy_id).where(
                rows.c.legacy_id.is_not(None), (rows.c.id // ROW_SPAN).not_in(proving)
            )
        )

    def superseded_rows(self, at_most: int) -> tuple[int, list[tuple[str, str, int, str, int]]]:
        """Give how many rows were replaced by a newer card, and the first of them.

        Each as legacy id, and export name and row of the old and the new card.
        """
        changed = rows.c.superseded_by.is_not(None)
        new_export = exports.alias("new_export")
        found = self._all(
            select(
                rows.c.legacy_id,
                exports.c.name,
                rows.c.id % ROW_SPAN,
                new_export.c.name,
                rows.c.superseded_by % ROW_SPAN,
            )
            .join(exports, exports.c.id == rows.c.id // ROW_SPAN)
            .join(new_export, new_export.c.id == rows.c.superseded_by // ROW_SPAN)
            .where(changed)
            # A sum, because by the id itself the database would go through all rows for a few.
            .order_by(rows.c.id + 0)
            .limit(at_most)
        )
        return self._number(select(func.count()).where(changed)), [tuple(row) for row in found]


def _facts(told: str, known: dict[bytes, Any]) -> dict[str, Any]:
    """Give what is told of a run; thousands of nights that say the same share what they say."""
    facts: dict[str, Any] = orjson.loads(told)
    return {
        name: known.setdefault(orjson.dumps(value), value) if isinstance(value, dict) else value
        for name, value in facts.items()
    }
