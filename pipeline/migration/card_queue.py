"""Gives each slot its next card, and never two at once that must not be under way together.

An answer is compared with its card by last four digits and expiration. Two cards with equal ones
could be swapped by the vault and nobody would see it, so the second waits until the first is done.
So does a second card of one customer: a customer has one card under way at a time, and no slot waits
for another slot.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

from pipeline.clock import pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pipeline.clock import Clock
    from pipeline.migration.transitions import WaitingCard

_WAITING_MAX: Final = 5_000
"""No more is read while so many cards wait for their like or for their time."""

_OTHERS_FIRST: Final = 4
"""A card that was set aside lets so many others go before it, while there are any."""

_LOOK_AGAIN_S: Final = 0.05


class CardQueue:
    """Cards that wait for a slot, in order, but for those that have to wait longer.

    Args:
        source: Gives the next cards to send; an empty list where there are none for now.
        clock: For cards that wait for their time.
        stopping: Set when the run is to stop.
    """

    def __init__(
        self, source: AsyncIterator[list[WaitingCard]], clock: Clock, stopping: asyncio.Event
    ) -> None:
        self._source = source
        self._clock = clock
        self._stopping = stopping
        self._ready: deque[WaitingCard] = deque()
        self._under_way: set[object] = set()
        self._alike: dict[object, deque[WaitingCard]] = {}
        self._alike_count = 0
        self._aside: list[tuple[float, int, int, WaitingCard]] = []
        self._taken = 0
        self._order = count()
        self._refilling = asyncio.Lock()
        self._exhausted = False
        self._dry = False
        """Whether the source had none when it was last asked, and may have some later."""

    async def next(self) -> WaitingCard | None:
        """Give the next card; `None` when there is none or the run is to stop."""
        while not self._stopping.is_set():
            card = self._pop()
            if card is not None:
                self._taken += 1
                return card
            if self._is_full:
                await pause(self._clock, _LOOK_AGAIN_S, self._stopping)
            elif not self._exhausted:
                await self._refill()
            elif self._aside:
                wait_s = self._aside[0][0] - self._clock.monotonic()
                await pause(self._clock, max(wait_s, _LOOK_AGAIN_S), self._stopping)
            else:
                # Cards that wait for their like are taken by the slot that has it.
                return None
        return None

    @property
    def _is_full(self) -> bool:
        """Whether so many wait that the source is not asked for more."""
        return self._alike_count + len(self._aside) >= _WAITING_MAX

    def done(self, card: WaitingCard) -> None:
        """Take in that a card needs its slot no more; wipe it and let its like go next."""
        card.wipe()
        self._release(card)

    def set_aside(self, card: WaitingCard, seconds: float) -> None:
        """Keep a card for later: after so many seconds, and after some others."""
        entry = (
            self._clock.monotonic() + seconds,
            self._taken + _OTHERS_FIRST,
            next(self._order),
            card,
        )
        heapq.heappush(self._aside, entry)
        self._release(card)

    def wipe(self) -> None:
        """Overwrite every card that still waits."""
        waiting = (*self._ready, *(card for *_, card in self._aside))
        for card in (*waiting, *(card for cards in self._alike.values() for card in cards)):
            card.wipe()

    def _pop(self) -> WaitingCard | None:
        while True:
            card = self._pop_aside() if self._aside else None
            if card is None and self._ready:
                card = self._ready.popleft()
            if card is None:
                return None
            keys = card.keys
            if self._under_way.isdisjoint(keys):
                self._under_way.update(keys)
                return card
            self._park(card, keys)

    def _busy_key(self, keys: Sequence[object]) -> object | None:
        return next((key for key in keys if key in self._under_way), None)

    def _park(self, card: WaitingCard, keys: Sequence[object]) -> None:
        """Let a card wait for whatever has one of its keys, and its like go first on the free."""
        self._alike.setdefault(self._busy_key(keys), deque()).append(card)
        self._alike_count += 1
        for key in keys:
            if key not in self._under_way:
                self._promote(key)

    def _pop_aside(self) -> WaitingCard | None:
        due, after, _, card = self._aside[0]
        if due > self._clock.monotonic():
            return None
        # Who has to let others go first waits for no one who cannot come before it went.
        others_left = bool(self._ready) or not (self._exhausted or self._dry or self._is_full)
        if self._taken < after and others_left:
            return None
        heapq.heappop(self._aside)
        return card

    def _release(self, card: WaitingCard) -> None:
        keys = card.keys
        self._under_way.difference_update(keys)
        if self._alike:
            for key in keys:
                self._promote(key)

    def _promote(self, key: object) -> None:
        """Make the first card ready that waits for a key which is free, and for no other."""
        alike = self._alike.get(key)
        while alike:
            card = alike.popleft()
            self._alike_count -= 1
            busy = self._busy_key(card.keys)
            if busy is None:
                self._ready.appendleft(card)
                break
            self._alike.setdefault(busy, deque()).append(card)
            self._alike_count += 1
        if alike is not None and not alike:
            del self._alike[key]

    async def _refill(self) -> None:
        async with self._refilling:
            if not self._ready and not self._exhausted:
                batch = await anext(self._source, None)
                self._exhausted = batch is None
                self._dry = not batch
                self._ready.extend(batch or ())
