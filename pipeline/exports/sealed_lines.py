"""Tells a file whose lines are sealed one by one: each an OpenPGP message in base64.

Such a file has no seal as a whole: each line is whole and genuine or is not, but lines that were
taken out, put twice or swapped leave no trace. A plain first line may name the columns.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from pipeline.exports.openpgp_head import looks_like_message, read_head

LINE_BYTES_MAX: Final = 2**20
_MESSAGE_BYTES_MIN: Final = 40


def first_sealed_line(first: bytes) -> bytes | None:
    """Give the message on the first or second line of a file; None where there is none.

    Args:
        first: The file's first bytes, both lines whole.
    """
    lines = first.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 2)
    # What a block ends with may be half a line.
    return next(filter(None, map(message_of, lines[:2])), None)


def message_of(line: bytes) -> bytes | None:
    """Give the OpenPGP message that a line holds in base64; None where it holds none."""
    try:
        message = base64.b64decode(line.strip(b'\r\n \t"'), validate=True)
    except binascii.Error:
        return None
    sealed = (
        len(message) >= _MESSAGE_BYTES_MIN
        and looks_like_message(message)
        and read_head(message).container not in {None, "clear"}
    )
    return message if sealed else None
