"""Reads an export twice: first to prove and plan it, then to give what was planned.

Pass 1 touches no network, pass 2 nothing that pass 1 did not prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.cards.field_formats import MONTHS, YEARS
from pipeline.cards.rows import ADDRESS_COLUMNS, CARRY_PREFIX
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
from pipeline.ledger.records import ROW_SPAN, row_id
from pipeline.migration.transitions import WaitingCard
from pipeline.vault.omise.request_body import encode_card

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from pipeline.cards.rows import Cards, Chunk, ReaderOptions
    from pipeline.config.policies import OnExpired
    from pipeline.exports.sealed_export import ExportFile, SealedExport
    from pipeline.ledger.planning import KnownExport, Planning
    from pipeline.ledger.records import Claim
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


def waiting_cards(
    sealed: SealedExport,
    file: ExportFile,
    export: KnownExport,
    reading: Reading,
    claim: Callable[[int, int], list[Claim] | None],
) -> Iterator[list[WaitingCard]]:
    """Pass 2: give the cards that the ledger planned and that are still to be sent, in order.

    Args:
        sealed: The export, held open since pass 1.
        file: Its digests; every block is compared with them before it is decrypted.
        export: The export as the ledger knows it.
        reading: How to read it, as in pass 1.
        claim: Gives the rows that may be sent in a range of row ids; None once the run stops.

    Raises:
        VerificationFailed: A planned row does not read as it did when it was planned.
    """
    with sealed.reread(file) as blocks:
        for chunk in read(blocks, reading.options):
            claims = claim(row_id(export.id, chunk.first_row), row_id(export.id, chunk.last_row))
            try:
                if claims:
                    yield _bodies(chunk, claims)
            finally:
                chunk.numbers.wipe()
            if claims is None:
                return


def _bodies(chunk: Chunk, claims: Sequence[Claim]) -> list[WaitingCard]:
    """Build what is sent for the claimed rows; they were judged in pass 1, from these very bytes."""
    frame, numbers = chunk.frame, chunk.numbers
    places = dict(zip(frame.index.tolist(), range(len(frame)), strict=True))
    last_digits = numbers.last_digits().tolist()
    months = [MONTHS.get(text) for text in frame["expiration_month"].tolist()]
    years = [YEARS.get(text) for text in frame["expiration_year"].tolist()]
    names = ["name", *(name for name in ADDRESS_COLUMNS if name in frame.columns)]
    texts = list(zip(*(frame[name].tolist() for name in names), strict=True))
    waiting = []
    for claim in claims:
        place = places.get(claim.id % ROW_SPAN)
        if place is None:
            raise _read_differently()
        month, year = months[place], years[place]
        planned = (claim.last_digits, claim.expiration_month, claim.expiration_year)
        if month is None or year is None or (last_digits[place], month, year) != planned:
            raise _read_differently()
        # An empty text is no address; the vault would store it.
        fields: dict[str, str | int] = {n: t for n, t in zip(names, texts[place], strict=True) if t}
        fields["expiration_month"], fields["expiration_year"] = month, year
        body = encode_card(fields, numbers.reveal(place))
        waiting.append(WaitingCard(claim, body, claim.attempts, claim.unknowns))
    return waiting


def _read_differently() -> VerificationFailed:
    return VerificationFailed(
        "a planned row does not read as it did when it was planned; nothing of it was sent",
        next_step="Finish with the version and settings that planned it, or use a new folder.",
    )
