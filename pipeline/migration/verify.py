"""Verifies a migration folder, with its exports where they are given, and notes who looked.

No published file is touched. That somebody looked, and what they found, goes into the ledger's
chain of events: from there the next run's trail has it.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.config.loading import meaning_digest
from pipeline.errors import CardferryError, SettingsRefused
from pipeline.exports.sealed_export import SealedExport
from pipeline.folder_files import read_in_folder
from pipeline.ledger.bearing import ALONE, begun_anew
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, is_elsewhere, ledger_url, ledger_url_to_verify
from pipeline.ledger.lock import migration_lock
from pipeline.ledger.planning import Planning
from pipeline.ledger.publications import MANIFEST_NAME, VERIFICATION
from pipeline.ledger.store import require_reachable
from pipeline.migration import export_factory
from pipeline.migration.judged_chunks import judged_chunks
from pipeline.outputs.verify import Trusted, Verification, verify
from pipeline.outputs.verify_export import compare_export
from pipeline.outputs.verify_ledger import LEDGER_ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.outputs.verify_ledger import Difference


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found, and why it is not in the trail where it is not."""

    found: Verification
    not_noted: str | None


def verify_migration(
    folder: Path,
    clock: Clock,
    *,
    trusted: Trusted,
    exports: Sequence[Path],
    settings: tuple[Settings, Credentials] | None,
    who: tuple[str, str],
) -> Verified:
    """Check a folder's files, ledger and chain, and exports row by row; then note it.

    Args:
        folder: The migration folder.
        clock: For the moment of the note.
        trusted: What the verifier knows from elsewhere.
        exports: Exports to open again and to compare with the ledger.
        settings: What the exports are read with; needed where there are any.
        who: Who looks, and from which host and process, for the trail.

    Raises:
        SettingsRefused: The public key is none, or these settings are not the migration's.
        ExportRefused: An export cannot be opened again.
        LocalStorageFailed: The ledger is there but cannot be read, or its server did not come back
            soon.
    """

    def reach() -> None:
        require_reachable(ledger_url_to_verify(folder), read_only=True)

    found = begun_anew(lambda: verify(folder, clock, __version__, trusted), reach, clock)
    if exports and settings and not _ledger_differs(found):
        compare = partial(_compare_exports, folder, exports, *settings, clock)
        found.differences += begun_anew(compare, reach, clock, was_there=True)
    return Verified(found, _note(folder, clock, len(exports), found, who))


def _ledger_differs(found: Verification) -> bool:
    return any(d.file in {LEDGER_NAME, LEDGER_ELSEWHERE} for d in found.differences)


def _note(
    folder: Path, clock: Clock, exports: int, found: Verification, who: tuple[str, str]
) -> str | None:
    """Write the verification into the chain of events; give the reason where that may not be."""
    ledger_path = folder / LEDGER_NAME
    if _ledger_differs(found):
        # What has been tampered with is evidence, to the last byte.
        return "the ledger itself does not verify"
    if is_elsewhere(folder):
        if ledger_path.exists():
            return "this is a copy; the ledger itself is elsewhere"
    elif ledger_path.stat().st_uid != os.geteuid() or not os.access(ledger_path, os.W_OK):
        return "the ledger belongs to somebody else, or may not be written"
    try:
        manifest = sha256(read_in_folder(folder / MANIFEST_NAME)).hexdigest()
    except OSError:
        manifest = None
    try:
        with (
            migration_lock(folder),
            closing(_opened_again(folder, clock)) as ledger,
        ):
            # A difference in a file is what the event tells of, and no reason to write none.
            ledger.attend(*who, files=False)
            ledger.note(
                VERIFICATION,
                resource=MANIFEST_NAME,
                success=not found.differences,
                differences=len(found.differences),
                first_file=found.differences[0].file if found.differences else None,
                exports=exports,
                signature=found.signature,
                manifest=manifest,
            )
    except CardferryError as trouble:
        return trouble.message
    return None


def _opened_again(folder: Path, clock: Clock) -> Ledger:
    """Open the ledger to write to it; its server was there when the ledger was looked at."""
    place = ledger_url(folder)
    return begun_anew(
        lambda: Ledger(place, clock, waits=ALONE),
        lambda: require_reachable(place),
        clock,
        was_there=True,
    )


def _compare_exports(
    folder: Path,
    paths: Sequence[Path],
    settings: Settings,
    credentials: Credentials,
    clock: Clock,
) -> list[Difference]:
    keys, limits = (
        export_factory.envelope_keys(settings, credentials),
        export_factory.envelope_limits(settings),
    )
    reading = export_factory.reading(settings)
    with closing(Ledger(ledger_url_to_verify(folder), clock, read_only=True, apart=True)) as ledger:
        if ledger.recall("settings_digest") != meaning_digest(settings):
            raise SettingsRefused(
                ["vault, export columns or rules differ from those of this migration"],
                next_step="Name the settings file that the run was started with.",
            )
        differences: list[Difference] = []
        for path in paths:
            with SealedExport(path, keys, limits) as sealed:
                digest = sealed.digest().sha256
                known = Planning(ledger).find(digest)
                with sealed.prove() as blocks, ledger.look() as look:
                    judged = judged_chunks(blocks, reading, known.as_of) if known else iter(())
                    differences += compare_export(look, digest, path.name, judged)
        return differences
