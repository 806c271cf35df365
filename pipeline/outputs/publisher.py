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
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
from pipeline.outputs.unchanged import find_unchanged, held

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
    """Write every output of a migration.

    Without a signer a signature stays where it still fits; one that no longer fits is removed.

    Args:
        ledger: The ledger, held by a run (`begin_run`) or attended (`attend`).
        folder: The migration folder.
        version: Cardferry's version, for the files' metadata.
        signer: Who vouches for the manifest.
        anew: Make every file from the ledger's rows, even what the last publication vouches for;
            what is in the folder already stays there.

    Returns:
        The report's figures.

    Raises:
        LocalStorageFailed: The disk refused; each file is still whole, old or new.
    """
    ledger.renew_sections()
    key = signer.fingerprint if signer else None
    with ledger.look(sparingly=True) as look:
        unchanged = None if anew else find_unchanged(look, folder, version)
        lasting = unchanged.confirmed(look, key) if unchanged else None
        is_said = look.account().latest is not None
    if unchanged is None or unchanged.figures is None or lasting is None:
        return _write(ledger, folder, version, signer, unchanged)
    if not is_said:
        manifest = unchanged.published.manifest
        ledger.note(CONFIRMATION, resource=MANIFEST_NAME, manifest=manifest, lasting=lasting)
    return unchanged.figures


def _write(
    ledger: Ledger,
    folder: Path,
    version: str,
    signer: Signer | None,
    unchanged: Unchanged | None,
) -> dict[str, Any]:
    """Write every output of which nothing else stands in the folder; give the report's figures."""
    with write_together(folder) as staged:
        with ledger.look(sparingly=True) as look:
            known = look.account()
            latest, is_first = known.latest, not known.publications
            is_signed = signer is None and _is_kept(folder, latest, version)
            key = latest.signing_key if is_signed and latest else None
            outputs = Outputs(look, version, signer.fingerprint if signer else key)
            if unchanged is not None:
                outputs.go_on_from(unchanged.figures)
            kept = _kept(outputs, unchanged)
            made = {n: _made(outputs, n, staged) for n in outputs.writers if n not in kept}
            written = {name: kept.get(name) or made[name] for name in outputs.writers}
            manifest = outputs.manifest(written)
        if not is_first:
            _leave_what_is_there(staged, folder, made)
        signed_as: tuple[str | None, str | None] = (None, None)
        if signer is not None:
            signature = signer.sign(manifest)
            _write_unless_there(staged, folder, SIGNATURE_NAME, signature)
            signed_as = _sha256(signature), signer.fingerprint
        elif is_signed and latest is not None and latest.manifest == _sha256(manifest):
            signed_as = latest.signature, latest.signing_key
        _note(
            ledger,
            latest,
            Publication(
                0,
                outputs.account.length,
                version,
                _sha256(manifest),
                *signed_as,
                files={name: sha256 for name, (_, sha256) in written.items()},
                tables={name: str(told["sha256"]) for name, told in outputs.tables.items()},
            ),
        )
        if signed_as == (None, None):
            # The stage syncs the folder, and with it this name's end.
            (folder / SIGNATURE_NAME).unlink(missing_ok=True)
        _write_unless_there(staged, folder, MANIFEST_NAME, manifest)
    _note_in_place(ledger)
    return outputs.figures


def _kept(outputs: Outputs, unchanged: Unchanged | None) -> dict[str, tuple[int, str]]:
    """Give size and SHA-256 of the files that need not be made again, by name."""
    if unchanged is None:
        return {}
    found = {name: unchanged.held(name) for name in outputs.made_of_rows}
    return {name: file for name, file in found.items() if file is not None}


def _leave_what_is_there(
    staged: StagedFiles, folder: Path, made: Mapping[str, tuple[int, str]]
) -> None:
    """Leave files alone that are in the folder as they were made again; each with its digest."""
    for name, (_, sha256) in made.items():
        if held(folder / name, sha256):
            staged.forget(name)


def _write_unless_there(staged: StagedFiles, folder: Path, name: str, content: bytes) -> None:
    """Write a file of ours, and leave it alone where it holds these bytes already."""
    if not held(folder / name, _sha256(content)):
        staged.new_file(name).write(content)


def _made(outputs: Outputs, name: str, staged: StagedFiles) -> tuple[int, str]:
    """Make a file; give its size and SHA-256."""
    file = MeasuredFile(staged.new_file(name))
    outputs.writers[name](file)
    return file.size, file.sha256


def _is_kept(folder: Path, latest: Publication | None, version: str) -> bool:
    """Tell whether the signature in the folder will fit what is published now without a key.

    It does where nothing was done since, by a version that writes the same bytes.
    """
    if latest is None or latest.version != version:
        return False
    try:
        return _sha256(read_in_folder(folder / SIGNATURE_NAME)) == latest.signature
    except OSError:
        return False


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
    with ledger.look() as look:
        known = look.account()
    if not known.is_latest_in_place:
        manifest = known.publications[-1].manifest
        ledger.note(IN_PLACE, resource=MANIFEST_NAME, manifest=manifest)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
