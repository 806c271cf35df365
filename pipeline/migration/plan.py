"""Proves an export and plans every row of it in the ledger (pass 1); no network is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.cards.rows import CARRY_PREFIX
from pipeline.cards.validator import Rules, validate
from pipeline.errors import (
    CardferryError,
    ExportRefused,
    Interrupted,
    LocalStorageFailed,
    VerificationFailed,
)
from pipeline.exports.reader import read
from pipeline.hashing import hash_total, shown
from pipeline.ledger.planning import PlannedCard, ProvedFacts, SealedFacts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.cards.rows import Cards, Chunk, ReaderOptions
    from pipeline.config.policies import OnExpired
    from pipeline.exports.sealed_export import ExportFile, SealedExport
    from pipeline.ledger.planning import KnownExport, Planning
    from pipeline.metrics import Counter


@dataclass(frozen=True, slots=True)
class Reading:
    """How exports are read and judged in this run."""

    options: ReaderOptions
    expired: OnExpired
    brands: frozenset[str]
    livemode: bool
    loopback_vault: bool

    def rules(self, as_of: date) -> Rules:
        """Give the rules for an export that is judged on that day."""
        return Rules(
            as_of=as_of,
            expired=self.expired,
            brands=self.brands,
            livemode=self.livemode,
            loopback_vault=self.loopback_vault,
        )


def prove_and_plan(
    sealed: SealedExport, planning: Planning, reading: Reading, as_of: date, counter: Counter
) -> tuple[ExportFile, KnownExport]:
    """Pass 1: read a whole export, prove it, and plan every row of it in the ledger.

    An export whose bytes the ledger has planned before is only hashed.

    Raises:
        ExportRefused: Something is wrong with the export as a whole; nothing of it stays planned.
    """
    file = sealed.digest()
    known = planning.find(file.sha256)
    if known is not None and known.is_planned:
        planning.note_known(known)
        return file, known
    facts = SealedFacts(file.name, file.size, file.sha256, b"".join(file.block_digests), file.kind)
    export = planning.begin(facts, as_of)
    try:
        proved = _plan_rows(sealed, planning, export, reading, counter)
    except (Interrupted, LocalStorageFailed):
        # Nothing is wrong with the export; the next run throws the broken plan away.
        raise
    except CardferryError as refusal:
        planning.refuse(export, type(refusal).__name__)
        if isinstance(refusal, ExportRefused):
            raise refusal.naming(file.name) from None
        raise
    planning.finish(export, proved)
    return file, export


def _plan_rows(
    sealed: SealedExport,
    planning: Planning,
    export: KnownExport,
    reading: Reading,
    counter: Counter,
) -> ProvedFacts:
    rules = reading.rules(export.as_of)
    total, last_row = 0, 0
    with sealed.prove() as blocks:
        for chunk in read(blocks, reading.options):
            verdict = validate(chunk, rules)
            rejections = [*chunk.rejections, *verdict.rejections]
            cards = planned_cards(verdict.cards)
            planning.add(export, cards, rejections)
            total = hash_total(total, (card.legacy_id for card in cards))
            total = hash_total(total, (item.legacy_id for item in rejections if item.legacy_id))
            counter.add(chunk.last_row - last_row)
            last_row = chunk.last_row
            wipe_chunk(chunk, verdict.cards)
        # A reader that needs no more bytes leaves some; the proof needs every one.
        for _ in blocks:
            pass
        if blocks.file.sha256 != export.sha256:
            raise VerificationFailed(
                "the export changed while it was read",
                next_step="Run again once nothing writes to the export any more.",
            )
        origin = blocks.origin
    return ProvedFacts(origin.engine, origin.key_fingerprint, origin.signer, last_row, shown(total))


def planned_cards(cards: Cards) -> list[PlannedCard]:
    """Give what the ledger keeps of valid cards."""
    frame = cards.frame
    carried = [name for name in frame.columns if name.startswith(CARRY_PREFIX)]
    carries = _carry_texts(frame, carried) if carried else [None] * len(frame)
    columns = ("legacy_id", "last_digits", "brand", "expiration_month", "expiration_year")
    lists = [frame[name].tolist() for name in columns]
    values = zip(frame.index.tolist(), *lists, carries, strict=True)
    return list(map(PlannedCard._make, values))


def _carry_texts(frame: Any, carried: Sequence[str]) -> list[str | None]:
    names = [name.removeprefix(CARRY_PREFIX) for name in carried]
    rows = zip(*(frame[name].tolist() for name in carried), strict=True)
    return [orjson.dumps(dict(zip(names, row, strict=True))).decode() for row in rows]


def wipe_chunk(chunk: Chunk, cards: Cards) -> None:
    """Overwrite a chunk's card numbers; copies inside the parser are out of reach."""
    chunk.numbers.wipe()
    cards.numbers.wipe()
