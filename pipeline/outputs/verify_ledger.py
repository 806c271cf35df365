"""Finds out how far ledger and manifest can be trusted, before files are compared with them.

The ledger names the digest of the manifest that was published last, the manifest holds digests
of all files and tables, and the trail is in both. So when two of them disagree the third says
which of them was changed.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from pipeline import hashing
from pipeline.errors import CardferryError, LocalStorageFailed, SettingsRefused
from pipeline.folder_files import (
    bounded_lines,
    open_in_folder,
    read_in_folder,
    trouble_with_own_file,
    why_not,
)
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url_to_verify
from pipeline.ledger.publications import MANIFEST_NAME
from pipeline.outputs.manifest import Manifest, parse_manifest
from pipeline.outputs.trail import TRAIL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.ledger.publications import PublicationHistory
    from pipeline.ledger.snapshot import Snapshot

LEDGER_ELSEWHERE: Final = "ledger"
"""The name of a ledger that is no file of the folder, in differences."""

_OUT_OF_REACH: Final = (LocalStorageFailed, SettingsRefused)

WHOLE: Final = "whole file"
"""The place of a difference that is not in one place."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that no longer says what it said.

    Attributes:
        file: The file's name in the migration folder.
        place: Where in the file: a byte, a line, a row and column, an event, or `WHOLE`.
        problem: What is wrong there, without any value from the data.
    """

    file: str
    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.problem}"


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where a chain of events stops: the last hash and the number of events."""

    head: str = hashing.GENESIS
    length: int = 0


@dataclass(frozen=True, slots=True)
class SoundLedger:
    """A ledger whose structure and chain of events hold.

    Attributes:
        look: A look at it.
        history: What was published.
        head_at: How many events the chain had at the expected hash; None if it never had it.
    """

    look: Snapshot
    history: PublicationHistory
    head_at: int | None


@contextmanager
def examined_ledger(
    folder: Path, clock: Clock, expect_head: str | None = None
) -> Iterator[SoundLedger | Difference]:
    """Open a ledger for looking and check its structure and its chain of events.

    Raises:
        LocalStorageFailed: The file is there but cannot be read, or the server does not answer.
        SettingsRefused: The server does not let us in.
    """
    path, name = folder / LEDGER_NAME, LEDGER_NAME
    place = ledger_url_to_verify(folder)
    if place.is_known:
        name = LEDGER_ELSEWHERE
    else:
        wrong = trouble_with_own_file(path) if os.path.lexists(path) else "is missing"
        if wrong:
            yield Difference(LEDGER_NAME, WHOLE, wrong)
            return
        _require_readable(path)
    try:
        ledger = Ledger(place, clock, read_only=True, apart=True)
    except Exception as trouble:
        if place.is_known and isinstance(trouble, _OUT_OF_REACH):
            raise
        # Whatever a damaged header makes SQLite say.
        yield Difference(name, WHOLE, _opening_trouble(trouble))
        return
    try:
        with ledger.look(sparingly=True) as look:
            examined = _examined(look, expect_head, name)
            if isinstance(examined, Difference):
                yield examined
                return
            with look.proving_meanwhile():
                yield examined
    finally:
        ledger.close()


def _opening_trouble(trouble: Exception) -> str:
    if isinstance(trouble, CardferryError):
        return trouble.message
    return f"cannot be opened ({type(trouble).__name__})"


def _examined(look: Snapshot, expect_head: str | None, name: str) -> SoundLedger | Difference:
    try:
        if not look.is_sound():
            return Difference(name, "database structure", "the database is damaged")
        broken, head_at = _follow_chain(look, expect_head)
        if broken:
            problem = "does not follow from the event before it"
            return Difference(name, f"event {broken}", problem)
        return SoundLedger(look, look.publication_history(), head_at)
    except Exception as trouble:
        if name == LEDGER_ELSEWHERE and isinstance(trouble, _OUT_OF_REACH):
            raise
        # Whatever a damaged database makes SQLite say.
        return Difference(name, WHOLE, _opening_trouble(trouble))


def _follow_chain(look: Snapshot, expect_head: str | None) -> tuple[int | None, int | None]:
    """Give the first event that does not follow, or None; and after how many the hash was come by."""
    head, head_at = hashing.GENESIS, 0 if expect_head in {None, hashing.GENESIS} else None
    for number, (body, own) in enumerate(look.event_lines(), 1):
        event = orjson.loads(body)
        head = hashing.link_bytes(head, body.encode())
        if own != head or event.get("seq") != number or hashing.canonical(event) != body.encode():
            return number, None
        if head == expect_head:
            head_at = number
    return None, head_at


def _require_readable(path: Path) -> None:
    try:
        with open_in_folder(path) as file:
            file.read(1)
    except OSError as trouble:
        raise LocalStorageFailed(
            f"{path.name} cannot be read ({trouble.strerror})",
            next_step="Give this user the right to read the folder's files.",
        ) from None


@dataclass(frozen=True, slots=True)
class CheckedManifest:
    """How far the manifest may be trusted.

    Attributes:
        content: Its bytes as they stand in the folder; none where it cannot be read.
        manifest: What it says, where that may be trusted.
        difference: What is wrong: of the manifest, or of a ledger that is older than it.
    """

    content: bytes
    manifest: Manifest | None
    difference: Difference | None = None


def check_manifest(folder: Path, ledger: SoundLedger | Difference) -> CheckedManifest:
    """Compare the manifest with what the ledger says of the last publication."""
    try:
        content = read_in_folder(folder / MANIFEST_NAME)
    except OSError as trouble:
        return _distrusted(b"", WHOLE, why_not(trouble))
    manifest = parse_manifest(content)
    if isinstance(ledger, Difference):
        if manifest is None:
            return _distrusted(content, WHOLE, "is not a manifest")
        return CheckedManifest(content, manifest)
    return _checked_by_ledger(folder, content, manifest, ledger.history)


def _checked_by_ledger(
    folder: Path, content: bytes, manifest: Manifest | None, history: PublicationHistory
) -> CheckedManifest:
    digest = hashlib.sha256(content).hexdigest()
    if history.latest is not None and history.latest.manifest == digest and manifest:
        return CheckedManifest(content, manifest)
    known = [p.seq for p in history.publications if p.manifest == digest]
    if known:
        return _distrusted(content, WHOLE, _older(history, known[-1]))
    if manifest is not None and _speaks_of_more(manifest, folder, history):
        behind = Difference(
            LEDGER_NAME,
            f"after event {history.length}",
            "is older than the published files, which speak of more events",
        )
        return CheckedManifest(content, manifest, behind)
    return _distrusted(content, WHOLE, "is not the manifest that the ledger names")


def _older(history: PublicationHistory, seq: int) -> str:
    if seq == history.publications[-1].seq:
        return f"was published before the ledger went on to event {history.length}"
    return f"is an older manifest, the one of event {seq}"


def _speaks_of_more(manifest: Manifest, folder: Path, history: PublicationHistory) -> bool:
    """Tell whether manifest and trail agree on a longer chain than the ledger has."""
    told = ChainEnd(manifest.chain.head, manifest.chain.length)
    try:
        with open_in_folder(folder / TRAIL_NAME) as file:
            lines = bounded_lines(file)
            return check_trail(lines) == told and told.length > history.length
    except OSError:
        return False


def _distrusted(content: bytes, place: str, problem: str) -> CheckedManifest:
    return CheckedManifest(content, None, Difference(MANIFEST_NAME, place, problem))


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
