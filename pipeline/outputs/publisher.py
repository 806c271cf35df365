"""Publishes what the user asked for from a ledger: each file whole or absent, the manifest last.

Every file is a function of the ledger alone, so publishing twice gives the same bytes. The
manifest's digest is written into the ledger's chain of events before any file takes its name:
a manifest that the ledger does not name was never published, and after a crash between the
names the ledger knows which files should stand there.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pipeline.disk import write_together
from pipeline.folder_files import open_in_folder, read_in_folder
from pipeline.ledger.publications import PUBLICATION, Publication
from pipeline.outputs.files import Outputs
from pipeline.outputs.manifest import MANIFEST_NAME, SIGNATURE_NAME
from pipeline.outputs.sinks import MeasuredFile, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.ledger.ledger import Ledger
    from pipeline.outputs.signature import Signer


_FOR_OTHERS: Final = 0o077


def publish(
    ledger: Ledger, folder: Path, version: str, signer: Signer | None = None
) -> dict[str, Any]:
    """Write every output of a migration.

    Without a signer a signature stays where it still fits; one that no longer fits is removed.

    Args:
        ledger: The ledger, held by a run (`begin_run`) or attended (`attend`).
        folder: The migration folder.
        version: Cardferry's version, for the files' metadata.
        signer: Who vouches for the manifest.

    Returns:
        The report's figures.

    Raises:
        LocalStorageFailed: The disk refused; each file is still whole, old or new.
    """
    with write_together(folder) as staged:
        with ledger.look(sparingly=True) as look:
            latest = look.account().latest
            kept = signer is None and _is_kept(folder, latest, version)
            key = latest.signing_key if kept and latest else None
            outputs = Outputs(look, version, signer.fingerprint if signer else key)
            written = {}
            for name, write in outputs.writers.items():
                file = MeasuredFile(staged.new_file(name))
                write(file)
                written[name] = (file.size, file.sha256)
            manifest = outputs.manifest(written)
        for name, (size, sha256) in written.items():
            if _stands(folder / name, size, sha256):
                staged.forget(name)
        signed_as: tuple[str | None, str | None] = (None, None)
        if signer is not None:
            signature = signer.sign(manifest)
            staged.new_file(SIGNATURE_NAME).write(signature)
            signed_as = _sha256(signature), signer.fingerprint
        elif kept and latest is not None and latest.manifest == _sha256(manifest):
            signed_as = latest.signature, latest.signing_key
        _note(
            ledger,
            latest,
            Publication(
                0,
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
        staged.new_file(MANIFEST_NAME).write(manifest)
    return outputs.figures


def _stands(path: Path, size: int, sha256: str) -> bool:
    """Tell whether a file of ours holds these very bytes already: it then keeps its inode and date."""
    try:
        with open_in_folder(path) as file:
            facts = os.fstat(file.fileno())
            private = facts.st_uid == os.geteuid() and not facts.st_mode & _FOR_OTHERS
            return private and facts.st_size == size and digest_of(file) == (size, sha256)
    except OSError:
        return False


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
            version=now.version,
            manifest=now.manifest,
            signature=now.signature,
            signing_key=now.signing_key,
            files=now.files,
            tables=now.tables,
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
