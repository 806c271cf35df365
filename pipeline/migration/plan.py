"""Proves an export and plans every row of it in the ledger (pass 1); no network is touched."""

from __future__ import annotations

import hashlib
import os
from collections import Counter as Counts
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from pipeline.config.loading import meaning_digest
from pipeline.disk import sha256_of
from pipeline.errors import (
    CardferryError,
    ExportRefused,
    Interrupted,
    KeyUnusable,
    LocalStorageFailed,
    SettingsRefused,
    VerificationFailed,
)
from pipeline.exports.sealed_export import SealedExport
from pipeline.exports.sealed_file import shown_name
from pipeline.hashing import hash_total, shown
from pipeline.ledger.export_events import NOTHING_AGAINST_IT
from pipeline.ledger.plan_records import PlannedCards, ProvedFacts, SealedFacts
from pipeline.logs import EventLog, Word
from pipeline.migration.judged_chunks import judged_chunks
from pipeline.migration.rows_alike import RowsAlike

log = EventLog("plan")

_MANY: Final = 0.05
_CHUNKS_A_COMMIT: Final = 4
"""A commit costs what inserting a thousand rows does, and what is written of an export that is not
proved to its end is thrown away anyway."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from pipeline.config.models import Settings
    from pipeline.exports.keys import EnvelopeKeys
    from pipeline.exports.reading_points import ReadingPoints
    from pipeline.exports.sealed_export import ExportFile, Limits, PlainBlocks
    from pipeline.ledger.plan_records import JudgedChunk, KnownExport
    from pipeline.ledger.planning import Planning
    from pipeline.metrics import Counter
    from pipeline.migration.judged_chunks import Reading


class PlannedExport(NamedTuple):
    """An export that pass 1 has proved and that is held open for pass 2."""

    sealed: SealedExport
    file: ExportFile
    known: KnownExport


def opened(path: Path, keys: EnvelopeKeys, limits: Limits, planning: Planning) -> SealedExport:
    """Open an export for its two passes.

    Args:
        path: Where it lies.
        keys: What opens it, and who may have signed it.
        limits: How much it may unpack to.
        planning: Learns of one that is refused.

    Raises:
        ExportRefused: It is missing, no regular file, or not sealed as it should be.
    """
    with refusals_noted(planning, path):
        return SealedExport(path, keys, limits)


@contextmanager
def refusals_noted(planning: Planning, path: Path) -> Iterator[None]:
    """Let the trail learn of a file that is refused before anything of it is entered.

    Raises:
        ExportRefused: As the block does.
    """
    try:
        yield
    except ExportRefused as refusal:
        # Where there is no file, a name was mistyped and nothing was refused.
        if os.path.lexists(path):
            name = shown_name(path)
            planning.turn_away(name, sha256_of(path), _kind(refusal), _why(refusal, name))
        raise


def prove_and_plan(
    sealed: SealedExport,
    planning: Planning,
    reading: Reading,
    as_of: date,
    counter: Counter,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[ExportFile, KnownExport]:
    """Pass 1: read a whole export, prove it, and plan every row of it in the ledger.

    An export whose bytes the ledger has planned before is only hashed.

    Args:
        sealed: The export, open.
        planning: Writes the plan.
        reading: How the export is read and judged.
        as_of: The day (UTC) on which expirations are judged.
        counter: Told the rows that were read.
        meanwhile: Called while the process that decrypts the export starts, if one has to.

    Returns:
        The sealed bytes' digests, and the export as the ledger knows it, planned.

    Raises:
        ExportRefused: Something is wrong with the export as a whole; nothing of it stays planned.
    """
    with refusals_noted(planning, sealed.path):
        file = sealed.digest()
        reading.expects.check_bytes(file.name, file.sha256)
    known = planning.find(file.sha256)
    if known is not None and known.is_planned:
        planning.note_known(known)
        _log_export("export known", sealed, file)
        return file, known
    facts = SealedFacts(file.name, file.size, file.sha256, b"".join(file.block_digests), file.kind)
    export = planning.begin(facts, as_of)
    try:
        with sealed.prove(meanwhile) as blocks:
            proved, alike = _plan_rows(blocks, planning, export, reading, counter)
    except (Interrupted, LocalStorageFailed):
        # Nothing is wrong with the export; the next run throws the broken plan away.
        raise
    except CardferryError as refusal:
        planning.refuse(export, _kind(refusal), _why(refusal, file.name))
        if isinstance(refusal, ExportRefused):
            raise refusal.naming(file.name) from None
        raise
    planning.finish(export, proved, alike.are_alike)
    _log_export("export planned", sealed, file)
    if reading.profile is None:
        # A profile tells them itself.
        _log_remedies(proved.remedies)
    return file, replace(export, reading_points=proved.reading_points)


def _log_export(event: str, sealed: SealedExport, file: ExportFile) -> None:
    """Name an export in the log; a name that could be a card number is masked, as everywhere."""
    log.info(event, export=sealed.path.with_name(sealed.name), sha256=Word(file.sha256))


def _kind(refusal: CardferryError) -> str:
    """Name what kind of refusal it is, or that it says nothing against the export."""
    is_to_blame = isinstance(refusal, ExportRefused) and not isinstance(refusal, KeyUnusable)
    return type(refusal).__name__ if is_to_blame else NOTHING_AGAINST_IT


def _why(refusal: CardferryError, name: str) -> str:
    return refusal.message.removeprefix(f"{name}: ")


def _log_remedies(remedies: Mapping[tuple[str, str], int]) -> None:
    for (setting, value), rows in remedies.items():
        log.warning(
            "rows would be read with another setting",
            rows=rows,
            setting=Word(setting),
            value=Word(value),
        )


def _plan_rows(
    blocks: PlainBlocks,
    planning: Planning,
    export: KnownExport,
    reading: Reading,
    counter: Counter,
) -> tuple[ProvedFacts, RowsAlike]:
    total, last_row = 0, 0
    left_out: Counts[str] = Counts()
    remedies: Counts[tuple[str, str]] = Counts()
    alike = RowsAlike()
    points: list[ReadingPoints] = []
    unwritten: list[JudgedChunk] = []
    judged = judged_chunks(blocks, reading, export.as_of, alike, points.append, is_first=True)
    for chunk in judged:
        unwritten.append(chunk)
        total = hash_total(total, PlannedCards.of(chunk.cards).columns[1])
        total = hash_total(total, (item.legacy_id for item in chunk.rejections if item.legacy_id))
        left_out.update(chunk.left_out)
        remedies.update(chunk.remedies)
        counter.add(chunk.last_row - last_row)
        last_row = chunk.last_row
        reading.expects.check_count(last_row, is_all=False)
        # The next chunk is read when no memory is taken by this one, but for what is kept of it.
        del chunk
        if len(unwritten) == _CHUNKS_A_COMMIT:
            _write(planning, export, unwritten)
    _write(planning, export, unwritten)
    reading.expects.check_count(last_row, is_all=True)
    if blocks.file.sha256 != export.sha256:
        raise VerificationFailed(
            "the export changed while it was read",
            next_step="Run again once nothing writes to the export any more.",
        )
    origin = blocks.origin
    proved = ProvedFacts(
        origin.engine,
        origin.key_fingerprint,
        origin.signer,
        last_row,
        shown(total),
        points[0].as_text(),
        dict(sorted(left_out.items())),
        # A few odd rows say nothing of the settings.
        {remedy: rows for remedy, rows in remedies.items() if rows >= last_row * _MANY},
    )
    return proved, alike


def _write(planning: Planning, export: KnownExport, chunks: list[JudgedChunk]) -> None:
    """Write chunks into the ledger, if there are any, and forget them."""
    if not chunks:
        return
    cards = PlannedCards.joined([PlannedCards.of(chunk.cards) for chunk in chunks])
    rejections = [rejection for chunk in chunks for rejection in chunk.rejections]
    chunks.clear()
    planning.add(export, cards, rejections)


def plan_digest(
    settings: Settings, exports: Iterable[tuple[str, date]], cohort: str | None = None
) -> str:
    """Give the digest of a plan: these exports' bytes, judged by these settings.

    What an earlier run has carried already is no part of it, so `check` on one machine and `run`
    on another give the same digest. A card expires with a month; so does the digest.

    Args:
        settings: The settings in force; those count that a result means something by.
        exports: SHA-256 of each export's sealed bytes, and the day its cards are judged on.
        cohort: SHA-256 of the file of legacy ids, where only those are sent.

    Returns:
        Hexadecimal SHA-256.
    """
    parts = sorted((sha256, f"{as_of:%Y-%m}") for sha256, as_of in exports)
    plan = {"meaning": meaning_digest(settings), "exports": parts, "cohort": cohort}
    return hashlib.sha256(orjson.dumps(plan, option=orjson.OPT_SORT_KEYS)).hexdigest()


def refuse_another_plan(approved: str | None, found: str) -> None:
    """Refuse a plan that is not the approved one.

    Raises:
        SettingsRefused: The digests differ; nothing was sent.
    """
    if approved is not None and approved.lower() != found:
        raise SettingsRefused(
            ["--plan: the exports, the settings or the month are not those of the approved plan"],
            next_step=f"Look at `cardferry check` again; the plan is now {found}.",
        )
