"""The open part of an age file: its first bytes in, how it is sealed out.

Source: C2SP age specification, https://c2sp.org/age, "Header" and "ASCII armor".
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

AGE_MAGIC: Final = b"age-encryption.org/v1\n"
AGE_ARMOR_LINE: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"


def is_age(first: bytes) -> bool:
    """Tell an age file, binary or armored, by its first bytes."""
    return first.startswith(AGE_MAGIC) or first.lstrip().startswith(AGE_ARMOR_LINE)


def sealed_by_passphrase(first: bytes) -> bool:
    """Tell whether an age file names a passphrase as its way in; it is the only way then."""
    header = first if first.startswith(AGE_MAGIC) else _dearmored(first)
    return header.startswith(AGE_MAGIC + b"-> scrypt ")


def is_age_identity(key: bytes) -> bool:
    """Tell an age identity file, also one that is sealed by passphrase, from an OpenPGP key."""
    return b"AGE-SECRET-KEY-" in key or is_age(key)


def _dearmored(first: bytes) -> bytes:
    lines = first.lstrip().splitlines()[1:4]
    try:
        return b"".join(base64.b64decode(line, validate=True) for line in lines)
    except binascii.Error:
        return b""
