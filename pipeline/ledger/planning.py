"""Writes down what pass 1 found of each row: what will be sent stands in the ledger before any send.

An export is `proving` while it is read for the first time. Only when every byte of it was
proved does it become `planned`; until then its rows can be thrown away, afterwards never.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from pipeline.ledger.bearing import unit
from pipeline.ledger.customers import enter_customers, forget_named, reject_conflicts
from pipeline.ledger.duplicates import reject_expired, resolve_known, settle_duplicates
from pipeline.ledger.export_events import KNOWN, OPENED, PROVED, REFUSED, points_digest
from pipeline.ledger.export_numbers import next_export_id
from pipeline.ledger.plan_records import (
    REJECTED_COLUMNS,
    KnownExport,
    PlannedCard,
    PlannedCards,
    PlannedMix,
    ProvedFacts,
    SealedFacts,
    rejected_row,
)
from pipeline.ledger.records import ExportState, row_id
from pipeline.ledger.schema import exports, rows
from pipeline.logs import EventLog
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.duplicates import AreAlike
    from pipeline.ledger.ledger import Ledger
    from pipeline.model import Rejection

log = EventLog("ledger")

_OF_THE_CARD: Final = 5
_PLANNED_COLUMNS: Final = ("id", "legacy_id", "state", *PlannedCard._fields[2:7])
_OWNED_COLUMNS: Final = (*_PLANNED_COLUMNS, "customer", "is_default")


def _never_alike(rows: Sequence[int]) -> bool:  # noqa: ARG001 - as whoever kept nothing says.
    return False


class Planning:
    """Writes the plan of one export after another into the ledger.

    Args:
        ledger: The open ledger of the run.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.again = ledger.again
        self._fill = ledger.store.fill
        self._in_conflict: set[int] = set()
        self._adding = PlannedMix()
        self.mix = PlannedMix()
        """What was planned of the exports so far, before duplicates were taken out."""
        self.left_out: Counter[str] = Counter()
        """Optional values of the exports planned so far that were dropped, by field."""
        self.remedies: Counter[tuple[str, str]] = Counter()
        """Rows of them that were not read and would be, by setting and value."""

    @unit
    def find(self, sha256: str) -> KnownExport | None:
        """Give the export with these sealed bytes, if the ledger knows it."""
        with self._ledger.reading() as connection:
            found = connection.execute(select(exports).where(exports.c.sha256 == sha256)).first()
        return None if found is None else KnownExport.of(found)

    @unit
    def begin(self, facts: SealedFacts, as_of: date) -> KnownExport:
        """Enter an export as `proving`; what an earlier broken pass 1 left is thrown away."""
        with self._ledger.transaction() as connection:
            _discard(connection, facts.sha256)
            self._in_conflict.clear()
            self._adding = PlannedMix()
            last_id, newest = connection.execute(
                select(func.max(exports.c.id), func.max(exports.c.as_of))
            ).one()
            export_id = next_export_id(last_id or 0)
            if newest is not None and as_of.isoformat() < newest:
                # Cards that were expired for the last export are judged valid again.
                log.warning(
                    "rows are judged on an earlier day than before", days=_days(as_of, newest)
                )
                self._ledger.record(
                    connection,
                    "earlier_day",
                    resource=facts.name,
                    as_of=as_of.isoformat(),
                    before=newest,
                )
            connection.execute(
                insert(exports).values(
                    id=export_id,
                    name=facts.name,
                    size=facts.size,
                    sha256=facts.sha256,
                    block_digests=facts.block_digests,
                    kind=facts.kind,
                    as_of=as_of.isoformat(),
                    state=ExportState.PROVING,
                    epoch=self._ledger.epoch,
                )
            )
            self._ledger.record(connection, OPENED, resource=facts.name, sha256=facts.sha256)
        return KnownExport(
            export_id, facts.name, facts.sha256, as_of, facts.block_digests, is_planned=False
        )

    def note_known(self, export: KnownExport) -> None:
        """Note that an export came again whose rows are planned already."""
        self._ledger.note(KNOWN, resource=export.name, sha256=export.sha256)

    @unit
    def note_key_use(self, export: KnownExport) -> None:
        """Note that an export is decrypted once more, to send what is planned of it."""
        with self._ledger.transaction() as connection:
            key = connection.execute(
                select(exports.c.key_fingerprint).where(exports.c.id == export.id)
            ).scalar()
            self._ledger.record(
                connection,
                "export_opened_to_send",
                resource=export.name,
                key=key,
                sha256=export.sha256,
            )

    @unit
    def add(
        self,
        export: KnownExport,
        cards: Sequence[PlannedCard],
        rejections: Sequence[Rejection],
    ) -> None:
        """Write the verdicts on some rows in one commit."""
        first = export.first_id
        everything = planned = PlannedCards.of(cards)
        *_, customers, _, _ = planned.columns
        if any(customers):
            owned = [card for card in planned if card.customer]
            planned = PlannedCards.of([card for card in planned if not card.customer])
        else:
            owned = []
        rejected = [rejected_row(first, item) for item in rejections]
        row_numbers, legacy_ids, *rest = planned.columns
        ids = [first + row for row in row_numbers]
        states = [RowState.PLANNED.value] * len(ids)
        with self._ledger.transaction() as connection:
            columns = (ids, legacy_ids, states, *rest[:_OF_THE_CARD])
            self._fill(connection, rows, _PLANNED_COLUMNS, columns)
            if owned:
                self._add_owned(connection, first, owned)
            self._fill(connection, rows, REJECTED_COLUMNS, list(zip(*rejected, strict=True)))
        self._adding.add(everything)

    def _add_owned(self, connection: Connection, first: int, cards: Sequence[PlannedCard]) -> None:
        """Write the cards that belong to customers, and the customers where they are new."""
        owners = [(card.customer or "", card.customer_id) for card in cards]
        ids, in_conflict = enter_customers(connection, owners)
        self._in_conflict |= in_conflict
        owned = [
            (
                *(first + card.row, card.legacy_id, RowState.PLANNED.value, *card[2:7]),
                ids[card.customer or ""],
                None if card.is_default is None else int(card.is_default),
            )
            for card in cards
        ]
        self._fill(connection, rows, _OWNED_COLUMNS, list(zip(*owned, strict=True)))

    @unit
    def finish(
        self, export: KnownExport, facts: ProvedFacts, are_alike: AreAlike = _never_alike
    ) -> None:
        """Make a proved export's plan final: duplicates out, known cards marked, all at once.

        Args:
            export: Whose rows were all added.
            facts: What was proved of it.
            are_alike: Says of row numbers whether their rows are the same, card number and all.
        """
        with self._ledger.transaction() as connection:
            self._ledger.store.take_stock(connection)
            settle_duplicates(connection, export.first_id, export.last_id, are_alike)
            if self._in_conflict:
                reject_conflicts(connection, export.first_id, export.last_id, self._in_conflict)
            # Rows of exports that came before may be sent first, in this very run.
            resolve_known(connection, export.first_id, export.last_id, rivals_may_settle=True)
            reject_expired(connection, export.first_id, export.last_id)
            connection.execute(
                update(exports)
                .where(exports.c.id == export.id)
                .values(
                    state=ExportState.PLANNED,
                    engine=facts.engine,
                    key_fingerprint=facts.key_fingerprint,
                    signer=facts.signer,
                    rows=facts.rows,
                    legacy_id_sum=facts.legacy_id_sum,
                    reading_points=facts.reading_points,
                )
            )
            self._ledger.record(
                connection,
                PROVED,
                resource=export.name,
                sha256=export.sha256,
                rows=facts.rows,
                key=facts.key_fingerprint,
                signer=facts.signer,
                reading_points=points_digest(facts.reading_points),
                left_out=", ".join(f"{name} {n}" for name, n in facts.left_out.items()) or None,
            )
        self.mix.join(self._adding)
        self.left_out.update(facts.left_out)
        self.remedies.update(facts.remedies)

    @unit
    def refuse(self, export: KnownExport, reason: str, why: str) -> None:
        """Throw a refused export's rows away and note the refusal.

        Args:
            export: Which was begun and not finished.
            reason: The kind of trouble; `NOTHING_AGAINST_IT` where the export is not to blame.
            why: The same in words of ours, without any value from the data.
        """
        with self._ledger.transaction() as connection:
            _discard(connection, export.sha256)
            self._record_refusal(connection, export.name, export.sha256, reason, why)

    @unit
    def turn_away(self, name: str, sha256: str | None, reason: str, why: str) -> None:
        """Note that an export was refused of which nothing was entered, or whose rows stay planned.

        Args:
            name: The file's name.
            sha256: Of its bytes; None where they could not be read.
            reason: As for `refuse`.
            why: As for `refuse`.
        """
        with self._ledger.transaction() as connection:
            self._record_refusal(connection, name, sha256, reason, why)

    def _record_refusal(
        self, connection: Connection, name: str, sha256: str | None, reason: str, why: str
    ) -> None:
        self._ledger.record(
            connection,
            REFUSED,
            resource=name,
            success=False,
            sha256=sha256,
            reason=reason,
            why=why,
        )


def _days(as_of: date, newest: str) -> int:
    return (date.fromisoformat(newest) - as_of).days


def _discard(connection: Connection, sha256: str) -> None:
    found = connection.execute(
        select(exports.c.id).where(
            exports.c.sha256 == sha256, exports.c.state == ExportState.PROVING
        )
    ).scalar()
    if found is None:
        return
    here = rows.c.id.between(row_id(found, 0), row_id(found + 1, 0) - 1)
    owners = set(connection.execute(select(rows.c.customer).where(here)).scalars()) - {None}
    connection.execute(delete(rows).where(here))
    forget_named(connection, owners)
    connection.execute(delete(exports).where(exports.c.id == found))
