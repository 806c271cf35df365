"""Holds a ledger and its files against all that was ever published, before anybody goes on from it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import orjson

from pipeline.errors import VerificationFailed
from pipeline.folder_files import open_in_folder, read_in_folder, why_not
from pipeline.ledger.checks import require_newest, require_untouched
from pipeline.ledger.lasting_proof import require_what_lasts
from pipeline.ledger.publications import MANIFEST_NAME, publication_history
from pipeline.ledger.published_signature import require_own_signature

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from pipeline.ledger.publications import PublicationHistory
    from pipeline.ledger.published_signature import Unchecked, Vouching

RESTORE: Final = "cardferry publish DIR --restore"
"""The command that writes published files again where they were changed or taken away."""
_CHANGED: Final = "was changed since it was published from this ledger"
_MISSING: Final = "is missing, and the ledger knows that it was published"


def require_as_published(
    connection: Connection,
    folder: Path,
    signer: Vouching | None,
    *,
    kept: bool,
    rows: bool,
    files: bool,
) -> Unchecked | None:
    """Make sure that ledger, files and signature are those that were published.

    Args:
        connection: A reading connection.
        folder: The migration folder.
        signer: Who signs this migration, if anybody does.
        kept: Go by what is kept of sections (`digests.table_digests`).
        rows: Compare the tables that grow with cards, too; else nobody wrote since that was done.
        files: Check the published files and their signature, too.

    Returns:
        Why nobody vouches for the last publication, where the signer could not check that.

    Raises:
        VerificationFailed: Something is not what was published.
    """
    require_newest(connection, folder)
    known = publication_history(connection)
    require_untouched(connection, known, kept=kept, rows=rows)
    if rows:
        require_what_lasts(connection, known, kept=kept)
    if not files or not known.publications:
        return None
    _require_published_files(known, folder)
    return None if signer is None else require_own_signature(known, folder, signer)


def _require_published_files(known: PublicationHistory, folder: Path) -> None:
    """Make sure that every file of the last publication is in its folder as it was published.

    The manifest is the word of then, and a run that went on without it would sign whatever the
    ledger says now. The trail of events says itself which files there were.

    Raises:
        VerificationFailed: A file is missing, or another than was published.
    """
    for name, problem in trouble_with_files(known, folder).items():
        raise VerificationFailed(
            f"{name} {problem}",
            next_step="Keep a copy of the folder as it is (`cp -a`), and ask who touched it. `cardferry verify "
            f"DIR` names every difference. Once that copy is kept, `{RESTORE}` writes the files again "
            "from the ledger, and the next run goes on.",
        )
    if known.is_latest_in_place and _tables_of(folder) != known.publications[-1].tables:
        raise VerificationFailed(
            f"{MANIFEST_NAME} and the ledger's trail name other digests of the ledger's tables",
            next_step="Keep the folder as it is and ask who touched it; restore the ledger from a "
            "backup.",
        )


def _tables_of(folder: Path) -> dict[str, str]:
    """Give SHA-256 of each table as a manifest names it, whose own digest is right."""
    manifest = orjson.loads(read_in_folder(folder / MANIFEST_NAME))
    return {name: told["sha256"] for name, told in manifest["ledger"].items()}


def trouble_with_files(known: PublicationHistory, folder: Path) -> dict[str, str]:
    """Say what is wrong with the published files of a folder, by name; nothing if all are there.

    A publication that was cut short may have left some of its files and some of the one before:
    none of that is wrong. Once its last file has taken its name the ledger says so.
    """
    standing = [publication.digests() for publication in known.may_stand()]
    names = dict.fromkeys(name for digests in standing for name in digests)
    troubles = {}
    for name in names:
        expected = {digests.get(name) for digests in standing}
        if known.in_place == 0:
            expected.add(None)
        problem = _trouble(folder / name, expected)
        if problem is not None:
            troubles[name] = problem
    return troubles


def _trouble(path: Path, expected: set[str | None]) -> str | None:
    """Say what is wrong with a file that should have one of these digests; None: may be missing."""
    try:
        with open_in_folder(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None if None in expected else _MISSING
    except OSError as trouble:
        return why_not(trouble)
    return None if found in expected else _CHANGED
