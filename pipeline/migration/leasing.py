"""Takes chunks of rows for one of several carriers, reads them, and gives them back when they are done."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.migration.claiming import Claimed, RowsWanted
from pipeline.migration.waiting_cards import waiting_cards

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from concurrent.futures import Executor

    from pipeline.ledger.sharing.chunks import Lease
    from pipeline.ledger.sharing.joined import JoinedLedger
    from pipeline.migration.judged_chunks import Reading
    from pipeline.migration.owned_cards import OwnedCards
    from pipeline.migration.plan import PlannedExport
    from pipeline.migration.send_factory import SendParts
    from pipeline.migration.transitions import WaitingCard

    Answer = TypeVar("Answer")

IDLE_S: Final = 0.2
"""How long a carrier that finds nothing free waits before it looks again."""


class Leasing:
    """Gives a carrier the cards of the chunks that it takes.

    Each export is read from its beginning, as nothing else can be decrypted; of the chunks that are
    not its own next to nothing is parsed.

    Args:
        ledger: The carrier's.
        thread: The ledger's thread.
        exports: The run's exports by their number, proved to be the run's and held open.
        reading: How to read them.
    """

    def __init__(
        self,
        ledger: JoinedLedger,
        thread: Executor,
        exports: Mapping[int, PlannedExport],
        reading: Reading,
    ) -> None:
        self._ledger = ledger
        self._thread = thread
        self._exports = exports
        self._reading = reading
        self._turns = threading.Lock()
        self._left: dict[Lease, int] = {}
        self._finished: list[Lease] = []
        self._waiting: set[Lease] = set()
        self._next: Lease | None = None
        self._parts: SendParts
        self._owned: OwnedCards | None

    def bind(self, parts: SendParts, owned: OwnedCards | None) -> None:
        """Learn for whom chunks are taken, and who knows the customers of cards."""
        self._parts, self._owned = parts, owned

    def cards(self) -> Generator[list[WaitingCard]]:
        """Give the cards of one chunk after the other, until the run has none left.

        Where none is free for now an empty list is given, again and again: one may be, later.
        """
        while not self._is_stopping:
            export_id = self._ask(self._ledger.export_to_carry)
            if export_id is None:
                return
            if self._ask(self._ledger.has_free):
                yield from self._pass_over(self._exports[export_id])
            yield []
            threading.Event().wait(IDLE_S)

    def done(self, row: int) -> None:
        """Take in that nothing more is done with a row's card for now."""
        with self._turns:
            for lease in self._left:
                if lease.first_id <= row <= lease.last_id:
                    self._left[lease] -= 1
                    break
            else:
                return
            if not self._left[lease]:
                del self._left[lease]
                self._finished.append(lease)

    def give_back(self) -> None:
        """Give back the chunks with which nothing is left to do; in the ledger's thread."""
        with self._turns:
            finished, self._finished = self._finished, []
        for lease in finished:
            waits = lease in self._waiting
            if self._ledger.give_back(lease, waits=waits):
                self._waiting.discard(lease)
            else:
                with self._turns:
                    self._finished.append(lease)

    @property
    def _is_stopping(self) -> bool:
        return self._parts.tokenizer.is_stopping

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        return self._thread.submit(question).result()

    def _pass_over(self, export: PlannedExport) -> Generator[list[WaitingCard]]:
        sealed, file, known = export

        def first_from(first_id: int, _: int) -> int | None:
            if self._is_stopping:
                return None
            if self._next is None:
                self._next = self._ask(lambda: self._ledger.take(known.id, first_id))
            return None if self._next is None else self._next.first_id

        def claim(_: int, last_id: int) -> Claimed | None:
            lease = self._next
            if self._is_stopping or lease is None:
                return None
            if lease.first_id > last_id:
                return Claimed([], {})
            self._next = None
            return self._ask(lambda: self._claim(lease))

        def ids(first_id: int, last_id: int) -> Mapping[int, str]:
            return self._ask(lambda: self._planned_ids(first_id, last_id))

        wanted = RowsWanted(first_from, claim, ids)
        yield from waiting_cards(sealed, file, known, self._reading, self._parts.vault, wanted)

    def _planned_ids(self, first_id: int, last_id: int) -> Mapping[int, str]:
        with self._ledger.look() as look:
            return look.planned_ids(first_id, last_id)

    def _claim(self, lease: Lease) -> Claimed:
        settling = self._parts.settling
        settling.number_attempts_from(lease.first_attempt)
        claimed = Claimed(settling.claimable(lease.first_id, lease.last_id), {})
        if self._owned is not None:
            claimed, waits = self._owned.claimed(lease, claimed)
            if waits:
                self._waiting.add(lease)
        with self._turns:
            if claimed.rows:
                self._left[lease] = len(claimed.rows)
            else:
                self._finished.append(lease)
        return claimed
