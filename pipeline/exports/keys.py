"""Opens the key files that the settings name, and checks who may read them.

The parent process opens the secret key's file and hands the descriptor to the decryptor; it never
reads it. Signers' certificates are public and travel as bytes.
"""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pipeline.disk import open_regular_file
from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import SecretStr

_CERTIFICATE_BYTES_MAX: Final = 4 * 2**20
_OTHERS: Final = 0o077

EngineChoice = Literal["auto", "sequoia", "gpg"]


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where one key is: in a file, or in gpg's own keyring under a fingerprint."""

    file: Path | None = None
    gpg: str | None = None


@dataclass(frozen=True, slots=True)
class EnvelopeKeys:
    """What may open an export and who may have made it.

    Attributes:
        key_file: An OpenPGP secret key or an age identity.
        gpg_fingerprint: A key in gpg's own keyring, agent or card; tried after the file.
        more: Further keys (file and fingerprint, one of which is None), tried in turn.
        engine: Who opens OpenPGP: "auto" is Sequoia, and gpg where Sequoia cannot.
        passphrase: Of the key, or of an age export that is sealed by passphrase.
        signer_files: OpenPGP certificates; where there are any, one of them must have signed.
        allow_plaintext: Whether a file that is not sealed is accepted.
        key_may_be_shared: Whether the key file may be readable by others: only towards a vault
            on this machine, where published test keys are at stake, whose mode Git does not keep.
    """

    key_file: Path | None = None
    gpg_fingerprint: str | None = None
    more: tuple[KeyPlace, ...] = ()
    engine: EngineChoice = "auto"
    passphrase: SecretStr | None = field(default=None, repr=False)
    signer_files: tuple[Path, ...] = ()
    allow_plaintext: bool = False
    key_may_be_shared: bool = False

    @property
    def places(self) -> tuple[KeyPlace, ...]:
        """Every key, in the order in which they are tried."""
        file = [KeyPlace(file=self.key_file)] if self.key_file else []
        gpg = [KeyPlace(gpg=self.gpg_fingerprint)] if self.gpg_fingerprint else []
        return (*file, *gpg, *self.more)


@dataclass(frozen=True, slots=True)
class NumberKey:
    """The private key to which card numbers are sealed one by one, as JWE.

    Attributes:
        file: A private key as JWK or PEM, without a passphrase.
        may_be_shared: Whether the file may be readable by others.
    """

    file: Path
    may_be_shared: bool = False


@contextmanager
def opened_key(
    path: Path | None, setting: str = "export.key", *, may_be_shared: bool = False
) -> Iterator[int | None]:
    """Open a secret key's file for handing on; it is checked, not read.

    Args:
        path: The file, where there is one; a symbolic link to it is fine.
        setting: What the file is called in a message.
        may_be_shared: Whether group and others may read it.

    Yields:
        A descriptor that is closed afterwards, or None where there is no file.

    Raises:
        SettingsRefused: The file is missing, unreadable, no regular file, of another owner, or
            open to group or others.
    """
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SettingsRefused([f"{setting}: {_why(error)}"]) from None
    try:
        _refuse_open_key(os.fstat(descriptor), setting, may_be_shared=may_be_shared)
        yield descriptor
    finally:
        os.close(descriptor)


def signer_certificates(paths: tuple[Path, ...]) -> list[bytes]:
    """Read the certificates that an export's signature is judged by.

    Raises:
        SettingsRefused: A file is missing, unreadable or far too large; all are named at once.
    """
    certificates: list[bytes] = []
    problems: list[str] = []
    for path in paths:
        try:
            with open_regular_file(path) as file:
                certificate = file.read(_CERTIFICATE_BYTES_MAX + 1)
        except OSError as error:
            problems.append(f"export.signers: {path.name}: {_why(error)}")
            continue
        if len(certificate) > _CERTIFICATE_BYTES_MAX:
            problems.append(f"export.signers: {path.name}: larger than any certificate")
        certificates.append(certificate)
    if problems:
        raise SettingsRefused(problems)
    return certificates


def is_open_to_others(path: Path) -> bool:
    """Tell whether group or others may read or write a key's file, so that it would be refused."""
    return bool(path.stat().st_mode & _OTHERS)


def _refuse_open_key(status: os.stat_result, setting: str, *, may_be_shared: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsRefused([f"{setting}: not a regular file"])
    if status.st_mode & _OTHERS and not may_be_shared:
        raise SettingsRefused([f"{setting}: open to group or others; chmod 600 it"])
    if status.st_uid not in {os.geteuid(), 0} and not may_be_shared:
        raise SettingsRefused([f"{setting}: owned by another user"])


def _why(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()


def public_part(place: KeyPlace, folder: Path) -> Path:
    """Give a file that `seal_file` takes as its recipient.

    Args:
        place: The key, in a file or in gpg's keyring.
        folder: Where a file may be made.

    Raises:
        SettingsRefused: gpg is not there or has no such key.
    """
    if place.file is not None:
        # The public part stands in the secret key's file.
        return place.file
    try:
        exported = subprocess.run(  # noqa: S603 - a fixed program, and a fingerprint that was checked.
            ["gpg", "--batch", "--export", "--", place.gpg or ""],  # noqa: S607 - found as gpg is.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        ).stdout
    except OSError:
        exported = b""
    if not exported:
        raise SettingsRefused(["export.key: gpg is not installed here or has no such key"])
    file = folder / "public.pgp"
    file.write_bytes(exported)
    return file
