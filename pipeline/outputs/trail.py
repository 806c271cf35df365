"""Writes `trail.jsonl` from the ledger's events.

A line is the event itself (who, what, when, success, origin, resource: PCI DSS 10.2.2) with the
hash of the event before it (`prev`) and its own (`hash`), as canonical JSON. Without those two
members a line is, byte for byte, what was hashed: see `pipeline.hashing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from pipeline import hashing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRAIL_NAME: Final = "trail.jsonl"


def trail_lines(events: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Give the trail's lines for events as (canonical body, hash), in their order."""
    previous = hashing.GENESIS
    for body, own in events:
        event = orjson.loads(body)
        yield hashing.canonical({**event, "prev": previous, "hash": own}) + b"\n"
        previous = own
