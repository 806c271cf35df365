"""Chooses the engine that opens an export, and hands it what it needs.

Sequoia is the default and needs no system package. gpg takes over in two cases: the key lives in
its keyring, agent or card; or a signature is asked for, because pysequoia judges none inside a
compressed packet, which is how gpg signs, and finds that out only after the last byte.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.exports.container import sealed_by_passphrase
from pipeline.exports.decryptor.protocol import Request
from pipeline.exports.keys import EnvelopeKeys, opened_key, signer_certificates
from pipeline.exports.openpgp_head import read_head
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.exports.sealed_file import OpenExport

_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it.
_KEY_ID_HEX: Final = 16


@contextmanager
def request_for(export: OpenExport, keys: EnvelopeKeys) -> Iterator[Request]:
    """Open what the decryptor needs and say what it is to do.

    Yields:
        A request whose descriptor and folder last until the end of the block.

    Raises:
        Refused: `NO_KEY`, `KEY_OF_OTHER_KIND`, `SIGNATURE_IMPOSSIBLE`, `GPG_MISSING`.
        SettingsRefused: The key file or a signer's certificate cannot be used.
    """
    request = _age(export, keys) if export.kind == "age" else _openpgp(export, keys)
    with opened_key(keys.key_file, may_be_shared=keys.key_may_be_shared) as key_fd:
        request = replace(
            request,
            key_fd=key_fd,
            passphrase=keys.passphrase.get_secret_value() if keys.passphrase else None,
            signers=tuple(signer_certificates(keys.signer_files)),
            gpg_fingerprint=keys.gpg_fingerprint,
        )
        if request.engine != "gpg" or not (keys.key_file or keys.signer_files):
            yield request
            return
        home = tempfile.mkdtemp(prefix="cardferry-", dir=_private_parent())
        try:
            yield replace(request, home=home)
        finally:
            # The child clears it too; this is for a child that could not.
            shutil.rmtree(home, ignore_errors=True)


def _age(export: OpenExport, keys: EnvelopeKeys) -> Request:
    if keys.signer_files:
        raise Refused(Verdict.SIGNATURE_IMPOSSIBLE)
    if sealed_by_passphrase(export.head):
        return Request("age_passphrase")
    if keys.gpg_fingerprint:
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    if keys.key_file is None:
        raise Refused(Verdict.NO_KEY)
    return Request("age")


def _openpgp(export: OpenExport, keys: EnvelopeKeys) -> Request:
    head = read_head(export.head)
    has_gpg = shutil.which("gpg") is not None
    if keys.gpg_fingerprint:
        if not has_gpg:
            raise Refused(Verdict.GPG_MISSING)
        return Request("gpg", recipients=head.recipients)
    if keys.key_file is None:
        raise Refused(Verdict.NO_KEY)
    old_enough = head.container == "seipd1" and all(
        len(recipient) <= _KEY_ID_HEX for recipient in head.recipients
    )
    if keys.signer_files and has_gpg and old_enough:
        return Request("gpg", recipients=head.recipients)
    return Request("sequoia", recipients=head.recipients)


def _private_parent() -> Path | None:
    """Prefer memory to a disk for the moment that gpg needs a home."""
    return _MEMORY_FOLDER if os.access(_MEMORY_FOLDER, os.W_OK | os.X_OK) else None
