"""Publishes a migration's outputs again, from its ledger alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.errors import VerificationFailed
from pipeline.ledger.as_published import trouble_with_files
from pipeline.ledger.ledger_url import is_begun
from pipeline.ledger.publications import MANIFEST_NAME, RESTORATION, SIGNATURE_UNCHECKED
from pipeline.migration.run_ledger import opened_alone
from pipeline.migration.run_request import WRITING_OUTPUTS
from pipeline.outputs.publisher import publish

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.ledger.ledger import Ledger
    from pipeline.migration.run_request import Tools
    from pipeline.outputs.signature import Signer


def publish_again(
    folder: Path,
    tools: Tools,
    signer: Signer | None,
    who: tuple[str, str],
    *,
    restore: bool = False,
    wait_s: float = 0.0,
) -> dict[str, Any]:
    """Write every output of a folder again; the same bytes if nothing changed.

    Args:
        folder: The migration folder.
        tools: The clock dates the event; what takes long is told.
        signer: Who vouches for the manifest; None keeps a signature that still fits.
        who: Who publishes, and from which host and process, for the trail.
        restore: Also write over files that were changed, or taken away, since they were published;
            the trail names them.
        wait_s: How long to wait for a run of this folder to end.

    Returns:
        The report's figures.

    Raises:
        VerificationFailed: There is no ledger, it is damaged, or a file is not what was published.
        MigrationLocked: A run holds the folder.
        LocalStorageFailed: The disk refused, or the ledger's server did not come back soon; each
            file is still whole, old or new.
    """
    if not is_begun(folder):
        raise VerificationFailed(
            "there is no ledger in this folder",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    with opened_alone(folder, wait_s, tools) as ledger:
        ledger.signer = signer
        ledger.attend(*who, files=not restore)
        if ledger.unchecked is not None:
            ledger.note(SIGNATURE_UNCHECKED, resource=MANIFEST_NAME, why=ledger.unchecked.value)
        if restore:
            _note_restored(ledger, folder)
        with tools.long_work(WRITING_OUTPUTS):
            return publish(ledger, folder, __version__, signer, anew=True)


def _note_restored(ledger: Ledger, folder: Path) -> None:
    """Note which files are about to be written again, and what was wrong with each."""
    troubles = trouble_with_files(ledger.ask(lambda look: look.publication_history()), folder)
    if troubles:
        ledger.note(RESTORATION, resource=str(len(troubles)), files=troubles)
