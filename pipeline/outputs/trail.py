"""Writes `trail.jsonl` from the ledger's events, and checks such a file link by link.

A line is the event itself (who, what, when, success, origin, resource: PCI DSS 10.2.2) with the
hash of the event before it (`prev`) and its own (`hash`), as canonical JSON. Without those two
members a line is, byte for byte, what was hashed: see `pipeline.hashing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from pipeline import hashing
from pipeline.outputs.differences import Difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRAIL_NAME: Final = "trail.jsonl"


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where a chain of events stops: the last hash and the number of events."""

    head: str = hashing.GENESIS
    length: int = 0


def trail_lines(events: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Give the trail's lines for events as (canonical body, hash), in their order."""
    previous = hashing.GENESIS
    for body, own in events:
        event = orjson.loads(body)
        yield hashing.canonical({**event, "prev": previous, "hash": own}) + b"\n"
        previous = own


def check_trail(lines: Iterable[bytes]) -> ChainEnd | Difference:
    """Follow the chain through a trail.

    Args:
        lines: The file's lines with their line ends.

    Returns:
        Where the chain ends, or the first line that does not hold.
    """
    end = ChainEnd()
    for number, line in enumerate(lines, 1):
        own = _own_hash(line, end)
        if own is None:
            return Difference(
                TRAIL_NAME, f"line {number}", "the line does not follow from the one before it"
            )
        end = ChainEnd(own, number)
    return end


def _own_hash(line: bytes, before: ChainEnd) -> str | None:
    """Give the line's hash if the line is canonical, in its turn, and linked; None if not."""
    if not line.endswith(b"\n"):
        return None
    try:
        event = orjson.loads(line)
        if hashing.canonical(event) + b"\n" != line:
            return None
        own, previous = event.pop("hash"), event.pop("prev")
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    in_turn = event.get("seq") == before.length + 1 and previous == before.head
    return str(own) if in_turn and hashing.link(before.head, event) == own else None
