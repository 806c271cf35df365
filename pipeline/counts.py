"""Says counts in words that agree with them: `1 row waits`, `2,000 rows wait`."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Give a count with its noun: `1 row`, `2,000 rows`.

    Args:
        count: How many.
        noun: What, in the singular; its plural has an `s` more.
    """
    return f"{count:,} {noun}{agreeing(count, '', 's')}"


def agreeing(count: float, one: str, many: str) -> str:
    """Give the word that goes with a count: `waits` with one, `wait` with any other number."""
    return one if count == 1 else many
