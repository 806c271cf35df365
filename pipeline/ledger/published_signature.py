"""Checks who signed the publication that a run goes on from, before the run signs what comes after it.

A signature over the manifest vouches for the whole past: the manifest names the end of the chain of
events, and with it every publication before, and what the tables held. Whoever has no key can
rewrite all of that but the signature. So a run that signs checks it with its own key; where there
is none to check, the run says so in the trail that it signs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.errors import VerificationFailed
from pipeline.folder_files import read_in_folder
from pipeline.ledger.publications import MANIFEST_NAME, SIGNATURE_NAME
from pipeline.logs import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.ledger.publications import PublicationHistory

_SIGNATURE_BYTES_MAX: Final = 4096

log = EventLog("ledger")


class Vouching(Protocol):
    """Who signs a migration's manifests, always in the same way."""

    fingerprint: str

    def sign(self, message: bytes) -> bytes:
        """Give the signature of some bytes."""

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether a signature of some bytes is this signer's."""


class Unchecked(StrEnum):
    """Why a signer cannot check the last publication."""

    NOT_SIGNED = "not_signed"
    OTHER_KEY = "other_key"
    CUT_SHORT = "cut_short"


def require_own_signature(
    known: PublicationHistory, folder: Path, signer: Vouching
) -> Unchecked | None:
    """Make sure that what the ledger says was signed by this signer was.

    Args:
        known: What was published; something was.
        folder: The migration folder, whose files are those that were published.
        signer: Who signs now.

    Returns:
        Why that could not be checked; None if the signature is good.

    Raises:
        VerificationFailed: The signature is not this signer's, and the ledger says that it is.
    """
    if _is_signed(folder, signer):
        return None
    why = _why_unchecked(known, signer)
    if why is not None:
        log.warning("nobody vouches for the last publication", why=why)
        return why
    raise VerificationFailed(
        f"{SIGNATURE_NAME} was not made over {MANIFEST_NAME} with audit.signing_key, and the "
        "ledger says that it was",
        next_step="Keep the folder as it is and ask who touched it; restore it from a backup.",
    )


def _why_unchecked(known: PublicationHistory, signer: Vouching) -> Unchecked | None:
    last = known.publications[-1]
    if last.signing_key is None:
        return Unchecked.NOT_SIGNED
    if last.signing_key != signer.fingerprint:
        return Unchecked.OTHER_KEY
    return None if known.is_latest_in_place else Unchecked.CUT_SHORT


def _is_signed(folder: Path, signer: Vouching) -> bool:
    try:
        manifest = read_in_folder(folder / MANIFEST_NAME)
        signature = read_in_folder(folder / SIGNATURE_NAME, _SIGNATURE_BYTES_MAX)
    except OSError:
        return False
    return signer.has_signed(manifest, signature)
