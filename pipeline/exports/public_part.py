"""Gives the public part of a key that opens exports, so that something can be sealed to it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.exports.keys import KeyPlace


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
