"""How many requests may be under way: answers and failures in, a number of slots out."""

from __future__ import annotations


class InFlight:
    """A limit that halves when the vault struggles and grows by one with each round of answers.

    Args:
        slots_max: The most that are ever allowed; at least one always is.
    """

    def __init__(self, slots_max: int) -> None:
        self._slots_max = slots_max
        self._answers = 0
        self._cut_at = float("-inf")
        self.limit = slots_max

    def succeeded(self) -> bool:
        """Take in an answer; say whether it earned a slot more."""
        if self.limit == self._slots_max:
            return False
        self._answers += 1
        if self._answers < self.limit:
            return False
        self._answers = 0
        self.limit += 1
        return True

    def failed(self, now: float, *, sent_at: float) -> None:
        """Take in a timeout or a 5xx: half the slots, once for all that left before the last cut."""
        if sent_at < self._cut_at:
            return
        self._cut_at = now
        self._answers = 0
        self.limit = max(self.limit // 2, 1)
