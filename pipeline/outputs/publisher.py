"""Publishes what the user asked for from a ledger: each file whole or absent, the manifest last.

Every file is a function of the ledger alone, so publishing twice gives the same bytes. The
manifest's digest is written into the ledger's chain of events before any file takes its name:
a manifest that the ledger does not name was never published, and after a crash between the
names the ledger knows which files should stand there. That all of them do is an event, too.

After runs that brought nothing no file is touched: the ledger confirms what was published last,
and what it says does not reach further than it did.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.disk import write_together
from pipeline.folder_files import read_in_folder
from pipeline.ledger.publications import (
    CONFIRMATION,
    IN_PLACE,
    MANIFEST_NAME,
    PUBLICATION,
    SIGNATURE_NAME,
    Publication,
)
from pipeline.outputs.files import Outputs
from pipeline.outputs.sinks import MeasuredFile
from pipeline.outputs.unchanged import Earlier, find_unchanged, held

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.disk import StagedFiles
    from pipeline.ledger.ledger import Ledger
    from pipeline.outputs.signature import Signer
    from pipeline.outputs.unchanged import Unchanged


def publish(
    ledger: Ledger,
    folder: Path,
    version: str,
    signer: Signer | None = None,
    *,
    anew: bool = False,
) -> dict[str, Any]:
    """Write every output of a migration that does not stand there as it would be written.

    Without a signer a signature stays where it still fits; one that no longer fits is removed.

    Args:
        ledger: The ledger, held by a run (`begin_run`) or attended (`attend`).
        folder: The migration folder.
        version: Cardferry's version, for the files' metadata.
        signer: Who vouches for the manifest.
        anew: Make every file from the ledger's rows, even what the last publication vouches for.

    Returns:
        The report's figures.

    Raises:
        LocalStorageFailed: The disk refused; each file is still whole, old or new.
    """
    asked = _Asked(ledger, folder, version, signer, anew)
    # Each commit of it is made once; whatever is lost in between is but looks and unnamed files.
    try:
        return ledger.again(lambda: _published(asked))
    finally:
        ledger.second.hang_up()


def _published(asked: _Asked) -> dict[str, Any]:
    ledger, folder, signer = asked.ledger, asked.folder, asked.signer
    ledger.renew_sections()
    with ledger.look(sparingly=True) as look:
        unchanged = None if asked.anew else find_unchanged(look, folder, asked.version)
        key = signer.fingerprint if signer else None
        lasting = unchanged.confirmed(look, key) if unchanged else None
        is_said = look.publication_history().latest is not None
    if unchanged is None or unchanged.figures is None or lasting is None:
        return _written(asked, unchanged)
    if not is_said:
        manifest = unchanged.published.manifest
        ledger.note(CONFIRMATION, resource=MANIFEST_NAME, manifest=manifest, lasting=lasting)
    return unchanged.figures


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `publish` was asked for."""

    ledger: Ledger
    folder: Path
    version: str
    signer: Signer | None
    anew: bool


class _Made(NamedTuple):
    """What was made of the ledger.

    Attributes:
        outputs: How each file is made.
        latest: The publication of the ledger as it stands, if there was one.
        files: Size and SHA-256 of each file, by name.
        manifest: The manifest over them.
    """

    outputs: Outputs
    latest: Publication | None
    files: Mapping[str, tuple[int, str]]
    manifest: bytes


def _written(asked: _Asked, unchanged: Unchanged | None) -> dict[str, Any]:
    """Make the outputs, enter them into the chain, and give them their names; give the figures."""
    ledger, folder = asked.ledger, asked.folder
    with write_together(folder) as staged:
        made = _made(asked, unchanged, staged)
        signed_as = _signed_as(asked, made, staged)
        _note(
            ledger,
            made.latest,
            Publication(
                0,
                made.outputs.history.length,
                asked.version,
                _sha256(made.manifest),
                *signed_as,
                files={name: sha256 for name, (_, sha256) in made.files.items()},
                tables={name: str(told["sha256"]) for name, told in made.outputs.tables.items()},
            ),
        )
        if signed_as == (None, None):
            # The stage syncs the folder, and with it this name's end.
            (folder / SIGNATURE_NAME).unlink(missing_ok=True)
        _write_unless_there(staged, folder, MANIFEST_NAME, made.manifest)
    _note_in_place(ledger)
    return made.outputs.figures


def _made(asked: _Asked, unchanged: Unchanged | None, staged: StagedFiles) -> _Made:
    """Make every file; what stands in the folder with the same bytes is left alone."""
    folder, version = asked.folder, asked.version
    with asked.ledger.look(sparingly=True) as look:
        known = look.publication_history()
        key = asked.signer.fingerprint if asked.signer else _kept_key(folder, known.latest, version)
        outputs = Outputs(look, version, key, asked.ledger.second)
        kept: dict[str, tuple[int, str]] = {}
        if unchanged is not None:
            outputs.go_on_from(unchanged.figures)
            kept = _kept(outputs, unchanged)
        earlier = None if asked.anew else Earlier(known, folder, version)
        files = {n: kept.get(n) or _stage(outputs, n, staged, earlier) for n in outputs.writers}
        manifest = outputs.manifest(files)
    if known.publications:
        for name, (_, sha256) in files.items():
            if name in staged and held(folder / name, sha256):
                staged.forget(name)
    return _Made(outputs, known.latest, files, manifest)


def _kept(outputs: Outputs, unchanged: Unchanged) -> dict[str, tuple[int, str]]:
    """Give size and SHA-256 of the files that need not be made again, by name."""
    found = {name: unchanged.held(name) for name in outputs.made_of_rows}
    return {name: file for name, file in found.items() if file is not None}


def _stage(
    outputs: Outputs, name: str, staged: StagedFiles, earlier: Earlier | None
) -> tuple[int, str]:
    """Make a file, of what was published earlier where that is still right; give size and SHA-256."""
    if earlier is not None and name in outputs.sheets:
        of = outputs.sheets[name]
        there = earlier.sheet(name, of, staged[of]) if of in staged else None
        if there is not None:
            return there
    file = MeasuredFile(staged.new_file(name))
    with ExitStack() as stack:
        if earlier is not None:
            _take_over(outputs, name, earlier, stack)
        outputs.writers[name](file)
    return file.size, file.sha256


def _take_over(outputs: Outputs, name: str, earlier: Earlier, stack: ExitStack) -> None:
    """Let a file be made of the parts of the one that was published last, where it is cut."""
    of = outputs.sheets.get(name)
    if outputs.is_cut(name):
        parts = stack.enter_context(earlier.parts(name))
        if parts is not None:
            outputs.take_parts_over(name, parts)
    elif of is not None and outputs.is_cut(of):
        lines = stack.enter_context(earlier.lines(name, of))
        if lines is not None:
            outputs.take_sheet_over(of, lines)


def _write_unless_there(staged: StagedFiles, folder: Path, name: str, content: bytes) -> None:
    """Write a file of ours, and leave it alone where it holds these bytes already."""
    if not held(folder / name, _sha256(content)):
        staged.new_file(name).write(content)


def _kept_key(folder: Path, latest: Publication | None, version: str) -> str | None:
    """Give the key whose signature in the folder will fit what is published now without a key.

    It does where nothing was done since, by a version that writes the same bytes.
    """
    if latest is None or latest.version != version:
        return None
    try:
        is_there = _sha256(read_in_folder(folder / SIGNATURE_NAME)) == latest.signature
    except OSError:
        return None
    return latest.signing_key if is_there else None


def _signed_as(asked: _Asked, made: _Made, staged: StagedFiles) -> tuple[str | None, str | None]:
    """Sign the manifest, or keep a signature that fits it; give its SHA-256 and the key."""
    if asked.signer is not None:
        signature = asked.signer.sign(made.manifest)
        _write_unless_there(staged, asked.folder, SIGNATURE_NAME, signature)
        return _sha256(signature), asked.signer.fingerprint
    latest = made.latest
    if latest is None or latest.signature is None or latest.manifest != _sha256(made.manifest):
        return None, None
    is_there = _kept_key(asked.folder, latest, asked.version) is not None
    return (latest.signature, latest.signing_key) if is_there else (None, None)


def _note(ledger: Ledger, latest: Publication | None, now: Publication) -> None:
    """Write the publication into the chain of events, unless it says so already."""
    if latest is None or replace(latest, seq=now.seq) != now:
        ledger.note(
            PUBLICATION,
            resource=MANIFEST_NAME,
            length=now.length,
            version=now.version,
            manifest=now.manifest,
            signature=now.signature,
            signing_key=now.signing_key,
            files=now.files,
            tables=now.tables,
        )


def _note_in_place(ledger: Ledger) -> None:
    """Note that every file of the last publication has its name, unless the ledger says so."""
    known = ledger.ask(lambda look: look.publication_history())
    if not known.is_latest_in_place:
        manifest = known.publications[-1].manifest
        ledger.note(IN_PLACE, resource=MANIFEST_NAME, manifest=manifest)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
