"""Writes intents and outcomes down: the part of the ledger that every send waits for.

A batch is applied in one commit. A row is `sent` from the moment its intent is durable until
its outcome is; at any crash those rows, at most C of them, are the ones in doubt.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from pipeline.clock import milliseconds
from pipeline.ledger.attaching import net_open, write_attaching
from pipeline.ledger.batches import ROWS_AT_ONCE, Batch, TokenDoubled
from pipeline.ledger.doubled_tokens import freeze_doubled
from pipeline.ledger.duplicates import resolve_known
from pipeline.ledger.outages import ServerLost
from pipeline.ledger.records import (
    AttachIntent,
    AttemptStep,
    Claim,
    Intent,
    Settlement,
)
from pipeline.ledger.schema import attempts, exports, rows
from pipeline.model import CLAIMABLE_STATES, OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import Entry
    from pipeline.ledger.run_events import RunEvents


class Applied(NamedTuple):
    """What became of a batch.

    Attributes:
        frozen: The rows that were frozen as a token id was given twice; the run must stop.
        waiting: The rows whose intents did not begin: a card alike is under way in another carrier.
    """

    frozen: Sequence[int] = ()
    waiting: Sequence[int] = ()


class Settling:
    """Applies batches of intents and settlements to the ledger.

    Args:
        ledger: The open ledger of the run.
        in_flight_max: C; more open intents than this are a bug and stop the run.
        run_events: Where the trail learns of outcomes and limits, if it is to.
    """

    def __init__(
        self, ledger: Ledger, in_flight_max: int, run_events: RunEvents | None = None
    ) -> None:
        self._ledger = ledger
        self._clock = ledger.clock
        self._events = run_events
        self._in_flight_max = in_flight_max
        self._open = 0
        self._under_way: set[int] = set()
        self._resolved = 0
        last_attempt, last_export = ledger.again(self._last_ids)
        self._next_attempt = last_attempt + 1
        # Only rows of different exports can share a legacy id and both be sent.
        self._several = last_export > 1
        self._batches = ledger.again(ledger.batches)
        self._has_server = ledger.store.has_server

    def _last_ids(self) -> tuple[int, int]:
        """Give the numbers of the last attempt and of the last export; 0 where there is none."""
        last = (select(func.coalesce(func.max(table.c.id), 0)) for table in (attempts, exports))
        with self._ledger.reading() as connection:
            attempt, export = (int(connection.execute(one).scalar_one()) for one in last)
        return attempt, export

    def has_rivals(self, first_id: int, last_id: int) -> bool:
        """Tell whether a row of another export with a legacy id of this range is under way.

        Such a range has to wait: how the other row ends decides whether this one is sent.
        """
        if not self._several:
            return False
        other = rows.alias("other")
        with self._ledger.reading() as connection:
            found = connection.execute(
                select(other.c.id)
                .join(rows, (rows.c.legacy_id == other.c.legacy_id) & (rows.c.id != other.c.id))
                .where(
                    rows.c.id.between(first_id, last_id),
                    rows.c.state.in_(CLAIMABLE_STATES),
                    other.c.state.in_(OPEN_STATES),
                )
            )
            return any(rival in self._under_way for (rival,) in found)

    def claimable(self, first_id: int, last_id: int) -> list[Claim]:
        """Give the rows of a range of ids that may be sent now, in order."""
        with self._ledger.transaction() as connection:
            resolved = resolve_known(connection, first_id, last_id)
            statement = (
                select(*(rows.c[name] for name in Claim._fields))
                .where(rows.c.id.between(first_id, last_id), rows.c.state.in_(CLAIMABLE_STATES))
                .order_by(rows.c.id)
            )
            found = chain.from_iterable(self._ledger.store.selected(connection, statement))
            claims = list(map(Claim._make, found))
        self._resolved += resolved
        if self._several:
            self._under_way.update(claim.id for claim in claims)
        return claims

    def take_resolved(self) -> int:
        """Count the rows, since it was last asked, that need not be sent: others settled them."""
        resolved, self._resolved = self._resolved, 0
        return resolved

    def leave(self, row_id: int) -> None:
        """Take note that this run leaves a claimed row as it is; its like need not wait for it."""
        self._under_way.discard(row_id)

    def number_attempts_from(self, first: int) -> None:
        """Give the attempts from now on numbers from this one, as others have those below."""
        self._next_attempt = max(self._next_attempt, first)

    def intent(self, row_id: int, number: int) -> Intent:
        """Make the intent for a row's next attempt; it counts once it is applied."""
        attempt_id = self._next_attempt
        self._next_attempt += 1
        return Intent(attempt_id, row_id, number)

    def attach_intent(
        self,
        row_id: int,
        customer: int,
        number: int,
        *,
        step: AttemptStep = AttemptStep.ATTACH,
        makes_customer: bool = False,
    ) -> AttachIntent:
        """Make the intent for a request about a row's card; it counts once it is applied.

        Args:
            row_id: The row.
            customer: The customer's number in the ledger.
            number: Which request of this step it is, counted from 1.
            step: What the request is for.
            makes_customer: Whether the request makes the customer, too.
        """
        attempt_id = self._next_attempt
        self._next_attempt += 1
        return AttachIntent(attempt_id, row_id, number, customer, step, makes_customer)

    def give_room(self) -> bool:
        """Give up the room that was kept for answers; tell whether there was any."""
        return self._ledger.reserve.free()

    def apply(self, entries: Sequence[Entry]) -> Applied:
        """Make entries durable in one commit; all of them are dated when that begins.

        Outcomes of tokens count before what is said of cards and customers, and that before new
        intents, whatever their order among the entries: so a token's outcome and the first intent
        to attach it may share a commit.

        Raises:
            AssertionError: More intents would be open than cards may be in flight.
            LocalStorageFailed: The disk refused; whether the batch is on it the next run finds out.
            VerificationFailed: A row was not where this run left it, or a later run took over.
        """
        began, is_short = self._clock.monotonic(), len(entries) <= ROWS_AT_ONCE
        batch = Batch(
            milliseconds(self._clock),
            settled=[item for item in entries if isinstance(item, Settlement)],
            of_cards=[item for item in entries if not isinstance(item, Intent | Settlement)],
            intents=[item for item in entries if isinstance(item, Intent)],
        )
        still_open = self._open + len(batch.intents) - len(batch.settled)
        if batch.of_cards:
            still_open += net_open(batch.of_cards)
        if not 0 <= still_open <= self._in_flight_max:
            raise AssertionError("more intents are open than cards may be in flight")

        def write() -> tuple[Sequence[Settlement], Applied]:
            try:
                return batch.settled, Applied([], self._write(batch, is_short=is_short))
            except TokenDoubled:
                with self._ledger.transaction() as connection:
                    kept, frozen = freeze_doubled(self._ledger, connection, batch.settled)
                    waiting = self._write_in(connection, batch._replace(settled=kept))
                return kept, Applied(frozen, waiting)

        # A file is never lost, so that there is nothing to begin anew.
        settled, applied = self._ledger.again(write) if self._has_server else write()
        self._open = still_open - len(applied.waiting)
        if self._events is not None:
            self._events.committed(settled, self._clock.monotonic() - began)
        if self._several:
            self._under_way.difference_update(
                s.row_id for s in settled if s.state not in CLAIMABLE_STATES
            )
        return applied

    def _write(self, batch: Batch, *, is_short: bool) -> Sequence[int]:
        """Write a batch as one statement, or in a transaction with what such a statement cannot hold."""
        run_events = self._events
        entry = None if run_events is None else run_events.due(batch.at_ms)
        if entry is None and is_short and self._batches.may_hold(batch.of_cards):
            return self._commit_alone(batch)
        with self._ledger.transaction() as connection:
            if run_events is not None and entry is not None:
                run_events.enter(connection, entry)
            waiting = self._write_in(connection, batch)
        if run_events is not None and entry is not None:
            run_events.entered(entry, batch.at_ms)
        return waiting

    def _commit_alone(self, batch: Batch) -> Sequence[int]:
        if not self._has_server:
            return self._batches.commit(batch)
        number = self._ledger.begin_commit()
        try:
            waiting = self._batches.commit(batch, number=number)
        except ServerLost:
            if not self._ledger.was_durable(number):
                raise
            # The batch itself must not be made again, should this be lost, too.
            waiting = self._ledger.again(lambda: self._not_begun(batch.intents))
        self._ledger.committed(number)
        return waiting

    def _not_begun(self, intents: Sequence[Intent]) -> Sequence[int]:
        """Look which intents of a batch did not begin, as the answer that told it was lost."""
        begun = {intent.attempt_id: intent.row_id for intent in intents}
        known = select(attempts.c.id).where(attempts.c.id.in_(begun))
        with self._ledger.reading() as connection:
            for attempt_id in connection.execute(known).scalars():
                del begun[attempt_id]
        return list(begun.values())

    def _write_in(self, connection: Connection, batch: Batch) -> Sequence[int]:
        if self._batches.may_hold(batch.of_cards):
            return self._batches.write(batch)
        if batch.settled:
            self._batches.write(batch._replace(of_cards=(), intents=()))
        write_attaching(connection, batch.of_cards, self._ledger.epoch, batch.at_ms)
        return self._batches.write(batch._replace(settled=(), of_cards=())) if batch.intents else ()
