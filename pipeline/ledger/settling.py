"""Intents and outcomes in, settled rows out: the part of the ledger that every send waits for.

A batch is applied in one commit. A row is `sent` from the moment its intent is durable until
its outcome is; at any crash those rows, at most C of them, are the ones in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from pipeline.ledger.batches import CLAIMABLE, Batches, TokenDoubled
from pipeline.ledger.doubles import freeze_doubled
from pipeline.ledger.entries import Claim, Intent, Settlement
from pipeline.ledger.resolving import resolve_known
from pipeline.ledger.schema import attempts, exports, rows
from pipeline.model import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.diary import Diary
    from pipeline.ledger.ledger import Ledger


class Settling:
    """Applies batches of intents and settlements to the ledger.

    Args:
        ledger: The open ledger of the run.
        in_flight_max: C; more open intents than this are a bug and stop the run.
        diary: Where the trail learns of outcomes and limits, if it is to.
    """

    def __init__(self, ledger: Ledger, in_flight_max: int, diary: Diary | None = None) -> None:
        self._ledger = ledger
        self._diary = diary
        self._in_flight_max = in_flight_max
        self._open = 0
        self._supersedes: dict[int, int] = {}
        self._under_way: set[int] = set()
        with ledger.reading() as connection:
            self._next_attempt = 1 + (
                connection.execute(select(func.max(attempts.c.id))).scalar() or 0
            )
            # Only rows of different exports can share a legacy id and both be sent.
            self._several = (connection.execute(select(func.max(exports.c.id))).scalar() or 0) > 1
        self._batches = Batches(ledger.engine, ledger.epoch)

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
                    rows.c.state.in_(CLAIMABLE),
                    other.c.state.in_(OPEN_STATES),
                )
            )
            return any(rival in self._under_way for (rival,) in found)

    def claimable(self, first_id: int, last_id: int) -> list[Claim]:
        """Give the rows of a range of ids that may be sent now, in order."""
        with self._ledger.transaction() as connection:
            resolve_known(connection, first_id, last_id)
            found = connection.execute(
                select(
                    rows.c.id,
                    rows.c.attempts,
                    rows.c.unknowns,
                    rows.c.last_digits,
                    rows.c.expiration_month,
                    rows.c.expiration_year,
                    rows.c.supersedes,
                )
                .where(rows.c.id.between(first_id, last_id), rows.c.state.in_(CLAIMABLE))
                .order_by(rows.c.id)
            ).all()
        claims = [Claim(*row) for row in found]
        self._supersedes.update((c.id, c.supersedes) for c in claims if c.supersedes is not None)
        if self._several:
            self._under_way.update(claim.id for claim in claims)
        return claims

    def intent(self, row_id: int, number: int) -> Intent:
        """Make the intent for a row's next attempt; it counts once it is applied."""
        attempt_id = self._next_attempt
        self._next_attempt += 1
        return Intent(attempt_id, row_id, number, self._ledger.now_ms())

    def now_ms(self) -> int:
        """Give the ledger's wall clock in milliseconds."""
        return self._ledger.now_ms()

    def apply(self, batch: Sequence[Intent | Settlement]) -> list[int]:
        """Make a batch durable in one commit.

        Returns:
            The rows that were frozen because a token id was given twice; the run must stop.

        Raises:
            LocalStorageFailed: The disk refused; nothing of the batch happened.
            VerificationFailed: A row was not where this run left it.
        """
        intents = [item for item in batch if isinstance(item, Intent)]
        settled = [item for item in batch if isinstance(item, Settlement)]
        still_open = self._open + len(intents) - len(settled)
        if not 0 <= still_open <= self._in_flight_max:
            raise AssertionError("more intents are open than cards may be in flight")
        frozen: list[int] = []
        try:
            with self._ledger.transaction() as connection:
                self._write(connection, intents, settled)
        except TokenDoubled:
            with self._ledger.transaction() as connection:
                settled, frozen = freeze_doubled(self._ledger, connection, settled)
                self._write(connection, intents, settled)
        self._open = still_open
        self._under_way.difference_update(s.row_id for s in settled if s.state not in CLAIMABLE)
        return frozen

    def _write(
        self, connection: Connection, intents: list[Intent], settled: list[Settlement]
    ) -> None:
        for item in settled if self._supersedes else ():
            old = self._supersedes.get(item.row_id) if item.token is not None else None
            if old is not None:
                connection.execute(
                    update(rows).where(rows.c.id == old).values(superseded_by=item.row_id)
                )
        self._batches.write_settlements(connection, settled)
        self._batches.write_intents(connection, intents)
        if self._diary is not None:
            # Last, as a doubled token undoes all of the above and brings it here once more.
            self._diary.enter(connection, settled)
