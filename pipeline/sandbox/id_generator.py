"""Generates 19-character ids that never repeat.

An id's first ten characters count microseconds since 1970 in base 36 and only ever grow, the
other nine are random. So two ids differ within one process whatever the random source does, and
after a restart too, because the generator starts above the last id that the state
remembers. The real vault's ids look time-ordered as well: a token and its card share their first
characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(first + second for first in _DIGITS for second in _DIGITS)
_MOMENT_LENGTH: Final = 10


def _moment_text(number: int) -> str:
    parts = []
    for _ in range(_MOMENT_LENGTH // 2):
        number, rest = divmod(number, 1296)
        parts.append(_PAIRS[rest])
    return "".join(reversed(parts))


class IdGenerator:
    """Makes the part of an id that follows its prefix.

    Args:
        now: The wall clock, in seconds since 1970.
        random_bytes: A source of random bytes, `os.urandom` outside tests.
        last: An id made before, whose moment no new id may reach; None at the first start.
    """

    def __init__(
        self, now: Callable[[], float], random_bytes: Callable[[int], bytes], last: str | None
    ) -> None:
        self._now = now
        self._random_bytes = random_bytes
        self._moment = int(last.rpartition("_")[2][:_MOMENT_LENGTH], 36) if last else 0

    def _tail(self) -> str:
        number = int.from_bytes(self._random_bytes(7), "big")
        parts = []
        for _ in range(4):
            number, rest = divmod(number, 1296)
            parts.append(_PAIRS[rest])
        return "".join(parts) + _DIGITS[number % 36]

    def pair(self) -> tuple[str, str]:
        """Give two id bodies of one moment, for a token and its card."""
        self._moment = max(self._moment + 1, int(self._now() * 1_000_000))
        moment = _moment_text(self._moment)
        return moment + self._tail(), moment + self._tail()

    def one(self) -> str:
        """Give one id body."""
        return self.pair()[0]
