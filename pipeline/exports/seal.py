"""Seals a plain file as an export, with OpenPGP or age by the key's kind.

The plain bytes stream from the source to the encryptor; what reaches the disk is sealed, and its
name appears once it is whole.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final

import pyrage
import pysequoia

from pipeline.disk import open_regular_file, write_atomically
from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.exports.keys import opened_key

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

_KEY_BYTES_MAX: Final = 4 * 2**20
_AGE_RECIPIENT: Final = "age1"
_AGE_IDENTITY: Final = "AGE-SECRET-KEY-1"
_NEXT: Final = "Give an OpenPGP certificate file, or an age recipient (age1...) or a file of them."

Recipients = list[pyrage.x25519.Recipient] | list[pysequoia.Cert]


def seal_file(
    source: Path,
    target: Path,
    recipient: Path | str,
    *,
    sign_with: Path | None = None,
    passphrase: SecretStr | None = None,
    armor: bool = False,
) -> None:
    """Seal a file; an older file of the target's name is replaced, whole or not at all.

    Args:
        source: What to seal; may be a pipe.
        target: The export to write, mode 0600; its folder must exist.
        recipient: A file of OpenPGP certificates or age recipients, or one age recipient.
        sign_with: An OpenPGP secret key to sign with; age files cannot be signed.
        passphrase: Of the signing key.
        armor: Whether to write text.

    Raises:
        SettingsRefused: A key cannot be read or used.
        LocalStorageFailed: The source cannot be read or the target not written.
    """
    recipients = recipients_of(recipient)
    signer = _signer(sign_with, passphrase)
    _require_readable(source)
    with write_atomically(target) as file:
        if _are_age(recipients):
            if signer is not None:
                raise SettingsRefused(["--sign-with: an age file cannot be signed"])
            _seal_age(source, file, recipients, armor=armor)
        else:
            _seal_openpgp(source, file, recipients, signer, armor=armor)


def sealed_name(source: str, recipients: Recipients) -> str:
    """Give the name that a sealed file gets by itself."""
    return source + (".age" if _are_age(recipients) else ".pgp")


def recipients_of(recipient: Path | str) -> Recipients:
    """Read whom to seal to.

    Args:
        recipient: A file of OpenPGP certificates or age recipients, or one age recipient. A
            secret key's file is fine too; its public part is taken.

    Raises:
        SettingsRefused: It names no recipient.
    """
    if isinstance(recipient, str):
        return _age_recipients([recipient])
    key = _read_key(recipient)
    lines = [line.strip() for line in key.decode("utf-8", "replace").splitlines()]
    named = [line for line in lines if line.startswith((_AGE_RECIPIENT, _AGE_IDENTITY))]
    return _age_recipients(named) if named else _certificates(key)


def _age_recipients(named: list[str]) -> list[pyrage.x25519.Recipient]:
    try:
        return [
            pyrage.x25519.Identity.from_str(name).to_public()
            if name.startswith(_AGE_IDENTITY)
            else pyrage.x25519.Recipient.from_str(name)
            for name in named
        ]
    except (pyrage.RecipientError, pyrage.IdentityError):
        raise SettingsRefused(
            ["--to: no age recipient that can be read"], next_step=_NEXT
        ) from None


def _certificates(file: bytes) -> list[pysequoia.Cert]:
    try:
        found = pysequoia.Cert.split_bytes(file)
    except RuntimeError:
        found = []
    if not found:
        raise SettingsRefused(["--to: no public key that can be read"], next_step=_NEXT)
    return found


def _are_age(recipients: Recipients) -> bool:
    return isinstance(recipients[0], pyrage.x25519.Recipient)


def _read_key(path: Path) -> bytes:
    try:
        with open_regular_file(path) as file:
            return file.read(_KEY_BYTES_MAX)
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise SettingsRefused([f"--to: {why}"], next_step=_NEXT) from None


def _signer(path: Path | None, passphrase: SecretStr | None) -> pysequoia.PySigner | None:
    with opened_key(path, "--sign-with") as descriptor:
        if descriptor is None:
            return None
        key = os.pread(descriptor, _KEY_BYTES_MAX, 0)
    password = passphrase.get_secret_value() if passphrase else None
    try:
        return pysequoia.Tsk.from_bytes(key).signer(password)
    except RuntimeError:
        problem = "--sign-with: no OpenPGP secret key that can sign, or not with this passphrase"
        raise SettingsRefused([problem]) from None


def _require_readable(source: Path) -> None:
    # A pipe ends when its writer does; a device may never.
    endless = source.is_dir() or source.is_block_device() or _is_device(source)
    if endless or not os.access(source, os.R_OK):
        raise LocalStorageFailed(
            f"{source.name}: cannot be read", next_step="Give a file that this user may read."
        )


def _is_device(source: Path) -> bool:
    """Say whether this is a device that may never end: neither a terminal nor the null device."""
    return source.is_char_device() and not (source.samefile(os.devnull) or _is_terminal(source))


def _is_terminal(source: Path) -> bool:
    with source.open("rb", buffering=0) as opened:
        return opened.isatty()


def _seal_openpgp(
    source: Path,
    file: IO[bytes],
    recipients: list[pysequoia.Cert],
    signer: pysequoia.PySigner | None,
    *,
    armor: bool,
) -> None:
    # The binding takes paths; this one leads to the file that is open already.
    written = f"/proc/self/fd/{file.fileno()}"
    try:
        pysequoia.encrypt_file(str(source), written, recipients, signer, armor=armor)
    except RuntimeError as error:
        raise _trouble(str(error)) from None


def _seal_age(
    source: Path, file: IO[bytes], recipients: list[pyrage.x25519.Recipient], *, armor: bool
) -> None:
    try:
        with source.open("rb") as plain:
            pyrage.encrypt_io(plain, file, recipients, armor)
    except OSError as error:
        raise _trouble(str(error)) from None


def _trouble(text: str) -> LocalStorageFailed | SettingsRefused:
    if "os error" in text or "Errno" in text:
        return LocalStorageFailed(
            "sealing stopped: the source cannot be read or the target not written",
            next_step="Check both disks for errors and space, then run the same command again.",
        )
    return SettingsRefused(
        ["--to: the key cannot be sealed to (expired, revoked, or not for encryption)"],
        next_step="Ask the receiver for a current public key.",
    )
