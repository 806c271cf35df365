"""Claims rows for sending: which need a token, which have one, and whose customers they are."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.ledger.records import AttachState, Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import AttachClaim
    from pipeline.ledger.settling import Settling
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.migration.known_customers import KnownCustomer, KnownCustomers

_RIVALS_EVERY_S: Final = 0.02
"""How often a range of rows that waits for another export's rows looks whether they settled."""


class Claimed(NamedTuple):
    """Rows that may be sent now.

    Attributes:
        rows: Each of them, in the order in which they are to be sent.
        attaching: Where the cards of those are to go that belong to customers, by row id.
    """

    rows: list[Claim]
    attaching: dict[int, tuple[AttachClaim, KnownCustomer]]

    def needs_token(self, row: int) -> bool:
        """Say whether a row has no token yet."""
        to = self.attaching.get(row)
        return to is None or to[0].token_id is None


class RowsWanted(NamedTuple):
    """Says which rows an export is read for; ranges are of row ids.

    Attributes:
        first_from: Gives the first row of a range that is wanted; None if there is none, or once
            the run stops.
        claim: Gives the rows of a range that may be sent now; None once the run stops.
        ids: Gives the legacy ids of those rows of a range that were planned.
        has_to_wait: Tells, after a pause, that a range cannot be claimed yet; it is asked again.
    """

    first_from: Callable[[int, int], int | None]
    claim: Callable[[int, int], Claimed | None]
    ids: Callable[[int, int], Mapping[int, str]]
    has_to_wait: Callable[[int, int], bool] = lambda _first_id, _last_id: False


@dataclass(slots=True)
class _FirstClaimable:
    """Remembers the first row to be sent until it was passed: behind it nothing is looked for twice.

    Rows that are planned anew meanwhile are carried in the next pass, which asks anew.
    """

    _asked: int = 0
    _found: int = -1

    def of(self, look: Snapshot, first_id: int, last_id: int) -> int | None:
        """Give the first row of a range that is to be sent; the range ends where its export does."""
        if not self._asked <= first_id <= self._found:
            found = look.first_claimable(first_id, last_id)
            self._asked, self._found = first_id, last_id + 1 if found is None else found
        return self._found if self._found <= last_id else None


@dataclass(slots=True)
class Claiming:
    """Claims ranges of rows, from the thread that reads the export.

    Args:
        ledger: The open ledger of the run.
        settling: Knows which rows may be sent.
        thread: The ledger's thread.
        is_stopping: Whether nothing more will be sent.
        customers: The customers of cards under way; None where there are tokens only.
    """

    ledger: Ledger
    settling: Settling
    thread: Executor
    is_stopping: Callable[[], bool]
    customers: KnownCustomers | None
    _first: set[int] = field(default_factory=set)

    @property
    def wanted(self) -> RowsWanted:
        """The rows that are to be sent, or to be put on a customer; for one reading of an export."""
        first_from = partial(self._first_from, _FirstClaimable())
        return RowsWanted(first_from, self.claim, self.ids, self.has_to_wait)

    @property
    def wanted_first(self) -> RowsWanted:
        """The rows whose cards may be on customers unseen."""
        return RowsWanted(self.first_in_doubt, self.claim_in_doubt, self.ids)

    def _first_from(self, claimable: _FirstClaimable, first_id: int, last_id: int) -> int | None:
        """Give the first row of a range that is to be sent or attached, or None."""

        def ask() -> int | None:
            with self.ledger.look() as look:
                found = claimable.of(look, first_id, last_id)
                if self.customers is None:
                    return found
                # A row that has its token may wait before the first planned one, or behind the last.
                return look.first_to_attach(first_id, found or last_id) or found

        return None if self.is_stopping() else self.thread.submit(ask).result()

    def first_in_doubt(self, first_id: int, last_id: int) -> int | None:
        """Give the first row of a range whose card may be on a customer unseen, or None."""

        def ask() -> int | None:
            with self.ledger.look() as look:
                return look.first_to_attach(first_id, last_id, [AttachState.DOUBTED])

        return None if self.is_stopping() else self.thread.submit(ask).result()

    def ids(self, first_id: int, last_id: int) -> Mapping[int, str]:
        """Give the legacy ids of those rows of a range that were planned."""

        def ask() -> Mapping[int, str]:
            with self.ledger.look() as look:
                return look.planned_ids(first_id, last_id)

        return self.thread.submit(ask).result()

    def has_to_wait(self, first_id: int, last_id: int) -> bool:
        """Tell, after a pause, that rows of other exports with ids of a range are under way.

        Whoever reads must say so, and not wait here: one of them may have been set aside until
        others were sent, and comes again only once it is known that there are none.
        """
        rivals = self.settling.has_rivals
        if self.is_stopping() or not self.thread.submit(rivals, first_id, last_id).result():
            return False
        threading.Event().wait(_RIVALS_EVERY_S)
        return True

    def claim(self, first_id: int, last_id: int) -> Claimed | None:
        """Give the rows of a range that may be sent now; None once the run stops."""
        if self.is_stopping():
            return None
        return self.thread.submit(self._claim, first_id, last_id).result()

    def take_resolved(self) -> int:
        """Count the rows, since it was last asked, that need not be sent: others settled them."""
        return self.thread.submit(self.settling.take_resolved).result()

    def in_doubt(self, first_id: int, last_id: int) -> int:
        """Count the rows of a range whose cards may be on customers unseen.

        They go first: until they are settled nobody knows whether their customers were made.
        """
        if self.customers is None:
            return 0
        return len(self._doubted(first_id, last_id))

    def claim_in_doubt(self, first_id: int, last_id: int) -> Claimed | None:
        """Give those rows of a range; None once the run stops. No later claim gives them again."""
        if self.is_stopping():
            return None
        found = self._doubted(first_id, last_id)
        self._first.update(claim.row_id for claim in found)
        claimed = Claimed([claim_of(claim) for claim in found], {})
        self.thread.submit(self._add_customers, claimed, found).result()
        return claimed

    def _doubted(self, first_id: int, last_id: int) -> list[AttachClaim]:
        def ask() -> list[AttachClaim]:
            with self.ledger.look() as look:
                found = look.attachable(first_id, last_id, only=AttachState.DOUBTED, begun=True)
                return [claim for claim in found if claim.token_id is not None]

        return self.thread.submit(ask).result()

    def _claim(self, first_id: int, last_id: int) -> Claimed:
        claimed = Claimed(self.settling.claimable(first_id, last_id), {})
        if self.customers is not None:
            with self.ledger.look() as look:
                found = look.attachable(first_id, last_id, begun=True)
            found = [claim for claim in found if claim.row_id not in self._first]
            claimed.rows.extend(claim_of(claim) for claim in found if claim.token_id is not None)
            claimed.rows.sort(key=lambda claim: claim.id)
            self._add_customers(claimed, found)
        return claimed

    def _add_customers(self, claimed: Claimed, found: list[AttachClaim]) -> None:
        customers = self.customers
        if customers is None or not found:
            return
        with self.ledger.look() as look:
            records = look.customers_of({claim.customer for claim in found})
        for claim in found:
            claimed.attaching[claim.row_id] = claim, customers.of(records[claim.customer])


def claim_of(claim: AttachClaim) -> Claim:
    """Give the claim of a row that has its token: nothing is sent for that."""
    card = (claim.last_digits, claim.expiration_month, claim.expiration_year)
    return Claim(claim.row_id, 0, 0, *card, brand="")
