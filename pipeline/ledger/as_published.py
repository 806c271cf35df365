"""Holds a ledger against everything that was ever published from it, before anybody goes on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.ledger.checks import require_newest, require_untouched
from pipeline.ledger.lasting_proof import require_what_lasts
from pipeline.ledger.publications import account
from pipeline.ledger.published_files import require_published_files
from pipeline.ledger.published_signature import require_own_signature

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from pipeline.ledger.published_signature import Unchecked, Vouching


def require_as_published(
    connection: Connection, folder: Path, signer: Vouching | None, *, kept: bool, files: bool
) -> Unchecked | None:
    """Make sure that ledger, files and signature are those that were published.

    Args:
        connection: A reading connection.
        folder: The migration folder.
        signer: Who signs this migration, if anybody does.
        kept: Go by what is kept of sections (`digests.table_digests`).
        files: Check the published files and their signature, too.

    Returns:
        Why nobody vouches for the last publication, where the signer could not check that.

    Raises:
        VerificationFailed: Something is not what was published.
    """
    require_newest(connection, folder)
    known = account(connection)
    require_untouched(connection, known, kept=kept)
    require_what_lasts(connection, known, kept=kept)
    if not files or not known.publications:
        return None
    require_published_files(known, folder)
    return None if signer is None else require_own_signature(known, folder, signer)
