"""Gathers single intents and settlements into few large commits: one writer, full sync, in order.

The queue is first in, first out, so whoever waits for an intent to be durable knows that every
settlement queued before it is durable as well. That is why a slot may queue its outcome and
the next row's intent one after the other: open intents never exceed the slots.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from pipeline.ledger.batches import ROWS_AT_ONCE
from pipeline.ledger.records import AttachIntent, AttemptStep, Intent
from pipeline.ledger.reserve import DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from concurrent.futures import Executor

    from pipeline.ledger.records import (
        AttachSettlement,
        CustomerFound,
        Entry,
        Retirement,
        RowRefusal,
        Settlement,
    )
    from pipeline.ledger.settling import Applied, Settling

    Settled = Settlement | AttachSettlement | CustomerFound | Retirement | RowRefusal
    _Waiter = asyncio.Future[Container[int]]
    """Waits for a commit, and learns which rows' intents it left out."""

_WORTH_A_COMMIT: Final = 64
"""A commit's syncs take as long as writing about this many entries; smaller batches do not pay."""

_BATCHES_IN_A_ROW: Final = 4
"""After so many the ledger's thread lets those who want to read have their turn."""


class GroupCommit:
    """Coalesces what the slots queue into commits in the ledger's own thread.

    A batch holds at most as many entries as cards may be in flight, but never fewer than are worth
    a commit nor more than one statement takes. Each slot brings two, its outcome and its next
    intent, so one half of the slots can be on the wire while the other half waits for the disk. In
    batches of all that waits every slot would fall into step, and the disk would stand idle while
    they send, the vault while they are written down.

    Args:
        settling: What applies a batch.
        executor: The ledger's thread; exactly one, so that commits stay in order.
        on_frozen: Told the rows that were frozen for a doubled token id.
        on_failed: Told why nothing is written any more, before anybody who waits is.
        in_flight_max: C, how many cards may be in flight.
    """

    def __init__(
        self,
        settling: Settling,
        executor: Executor,
        on_frozen: Callable[[Sequence[int]], None],
        on_failed: Callable[[BaseException], None],
        in_flight_max: int,
    ) -> None:
        self._settling = settling
        self._executor = executor
        self._on_frozen = on_frozen
        self._on_failed = on_failed
        self._entries_max = min(max(in_flight_max, _WORTH_A_COMMIT), ROWS_AT_ONCE)
        self._queue: deque[tuple[tuple[Entry, ...], _Waiter | None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing = False
        self._drained: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._no_intents: DiskFull | None = None

    def settle(self, *entries: Settled) -> None:
        """Queue what became of something; it is durable before any intent that is queued after it.

        Several entries of one call become durable in one commit.
        """
        if entries:
            self._queue.append((entries, None))
            self._wake()

    async def intend(self, row_id: int, number: int) -> Intent | None:
        """Write a row's next attempt down and wait until it is on the disk; only then send it.

        None where another carrier has a card alike under way: nothing of this one was begun.

        Raises:
            LocalStorageFailed: The disk refused, now or before; the row must not be sent.
        """
        intent = self._settling.intent(row_id, number)
        left_out = await self._durable(intent)
        return None if row_id in left_out else intent

    async def intend_attach(
        self,
        row_id: int,
        customer: int,
        number: int,
        *,
        after: Sequence[Settled] = (),
        step: AttemptStep = AttemptStep.ATTACH,
        makes_customer: bool = False,
    ) -> AttachIntent:
        """Write the next request about a row's card down and wait until that is on the disk.

        Args:
            row_id: The row.
            customer: The customer's number in the ledger.
            number: Which request of this step it is, counted from 1.
            after: What is to become durable in the same commit, such as the token's outcome.
            step: What the request is for.
            makes_customer: Whether the request makes the customer, too.

        Raises:
            LocalStorageFailed: The disk refused, now or before; nothing may be sent.
        """
        intent = self._settling.attach_intent(
            row_id, customer, number, step=step, makes_customer=makes_customer
        )
        await self._durable(*after, intent)
        return intent

    async def _durable(self, *entries: Entry) -> Container[int]:
        if self._no_intents is not None:
            self.settle(*(e for e in entries if not isinstance(e, Intent | AttachIntent)))
            raise self._no_intents
        waiter: _Waiter = (self._loop or self._bind()).create_future()
        self._queue.append((entries, waiter))
        self._wake()
        left_out = await waiter
        failure = self._failure or self._no_intents
        if failure is not None:
            # A later batch failed before this slot had its turn: nothing more may be sent.
            raise failure
        return left_out

    async def drain(self) -> None:
        """Wait until everything queued is durable.

        Raises:
            LocalStorageFailed: The disk refused; what is still queued is lost to this run,
                and its rows will count as ambiguous.
        """
        while self._writing:
            self._drained = self._drained or (self._loop or self._bind()).create_future()
            await asyncio.wait([self._drained])
        if self._failure is not None:
            raise self._failure

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.get_running_loop()
        return loop

    def _wake(self) -> None:
        if self._failure is not None:
            self._refuse_queued()
        elif not self._writing:
            self._writing = True
            # Whoever else is about to queue something this turn shares the commit.
            (self._loop or self._bind()).call_soon(self._begin)

    def _begin(self) -> None:
        """Set the ledger's thread to work on what is queued, or come to rest."""
        try:
            if self._queue:
                self._executor.submit(self._write)
            else:
                self._rest()
        except RuntimeError as failure:
            # The thread takes no more work.
            self._failed(failure, [])

    def _write(self) -> None:
        """Make a few batches of what is queued durable, and go on; in the ledger's thread.

        The thread takes the next batch by itself, as asking the loop for it would cost the time
        that the loop needs to come round.
        """
        loop = self._loop
        assert loop is not None  # noqa: S101 - the loop begins it.
        batch: list[Entry] = []
        waiters: list[_Waiter] = []
        try:
            for _ in range(_BATCHES_IN_A_ROW):
                batch, waiters = self._next_batch()
                applied = self._settling.apply(batch)
                loop.call_soon_threadsafe(self._written, waiters, applied)
                if not self._queue:
                    loop.call_soon_threadsafe(self._begin)
                    return
            self._executor.submit(self._write)
        except DiskFull as full:
            self._write_without_intents(loop, full, batch, waiters)
        except BaseException as failure:  # noqa: BLE001 - it is handed to every waiter.
            loop.call_soon_threadsafe(self._failed, failure, waiters)

    def _write_without_intents(
        self,
        loop: asyncio.AbstractEventLoop,
        full: DiskFull,
        batch: list[Entry],
        waiters: list[_Waiter],
    ) -> None:
        """Send nothing more, and write what is known into the room that was kept for it."""
        kept = [entry for entry in batch if not isinstance(entry, Intent | AttachIntent)]
        try:
            if not self._settling.give_room():
                raise full  # noqa: TRY301 - there is no more room to give.
            frozen = self._settling.apply(kept).frozen if kept else ()
        except BaseException as failure:  # noqa: BLE001 - it is handed to every waiter.
            loop.call_soon_threadsafe(self._failed, failure, waiters)
            return
        loop.call_soon_threadsafe(self._refuse_intents, full, waiters, frozen)

    def _next_batch(self) -> tuple[list[Entry], list[_Waiter]]:
        """Take what waits longest, with those who wait for it."""
        batch: list[Entry] = []
        waiters: list[_Waiter] = []
        while self._queue and len(batch) < self._entries_max:
            entries, waiter = self._queue.popleft()
            batch += entries
            if waiter is not None:
                waiters.append(waiter)
        return batch, waiters

    def _written(self, waiters: list[_Waiter], applied: Applied) -> None:
        if applied.frozen:
            self._on_frozen(applied.frozen)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(applied.waiting)

    def _failed(self, failure: BaseException, waiters: list[_Waiter]) -> None:
        self._failure = failure
        self._on_failed(failure)
        self._refuse(waiters, failure)
        self._refuse_queued()
        self._rest()

    def _refuse_intents(
        self, full: DiskFull, waiters: list[_Waiter], frozen: Sequence[int]
    ) -> None:
        """Let no intent be written any more; outcomes go on as long as there is room for them."""
        self._no_intents = full
        self._on_failed(full)
        self._refuse(waiters, full)
        queued, self._queue = self._queue, deque()
        for entries, waiter in queued:
            if waiter is not None and not waiter.done():
                waiter.set_exception(full)
            known = tuple(e for e in entries if not isinstance(e, Intent | AttachIntent))
            if known:
                self._queue.append((known, None))
        if frozen:
            self._on_frozen(frozen)
        self._begin()

    def _refuse_queued(self) -> None:
        """Tell whoever waits for the disk that it has failed; what is queued is lost to this run."""
        assert self._failure is not None  # noqa: S101 - only then there is something to refuse.
        self._refuse([waiter for _, waiter in self._queue if waiter is not None], self._failure)
        self._queue.clear()

    def _refuse(self, waiters: list[_Waiter], failure: BaseException) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(failure)

    def _rest(self) -> None:
        self._writing = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
