"""Lists the events of a ledger that came after a moment which somebody vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.ledger.publications import IN_PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.ledger.publications import Publication
    from pipeline.outputs.manifest import Manifest
    from pipeline.outputs.verify_ledger import SoundLedger


@dataclass(frozen=True, slots=True)
class LaterEvent:
    """An event, its number in the chain, and who says to have written it."""

    seq: int
    event: str
    actor: str
    origin: str


def not_covered(ledger: SoundLedger, manifest: Manifest) -> list[LaterEvent]:
    """Give the events after those of the manifest, but for those of its own publication."""
    latest = ledger.history.latest
    return [
        later
        for later, event in _later(ledger, manifest.chain.length)
        if (latest is None or later.seq != latest.seq) and not _is_in_place(event, latest)
    ]


def since_head(ledger: SoundLedger, head: str | None) -> list[LaterEvent]:
    """Give the events after the expected hash, by which the chain came; none where none is expected."""
    if head is None or ledger.head_at is None:
        return []
    return [later for later, _ in _later(ledger, ledger.head_at)]


def _later(ledger: SoundLedger, length: int) -> Iterator[tuple[LaterEvent, dict[str, Any]]]:
    """Give the events after the first `length`, each with its whole body."""
    for body, _ in islice(ledger.look.event_lines(), length, None):
        event = orjson.loads(body)
        words = (str(event.get(name)) for name in ("event", "actor", "origin"))
        yield LaterEvent(event["seq"], *words), event


def _is_in_place(event: Mapping[str, Any], latest: Publication | None) -> bool:
    """Tell whether an event says no more than that this publication came to its end."""
    named = event.get("event"), event.get("detail")
    return latest is not None and named == (IN_PLACE, {"manifest": latest.manifest})
