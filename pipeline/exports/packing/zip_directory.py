"""Takes the directory at the end of a ZIP archive and counts the members that it lists.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.11 to 4.3.16.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from pipeline.exports.packing.byte_stream import ByteStream

_EXTRA_DATA, _ENTRY, _SIGNATURE = b"PK\x06\x08", b"PK\x01\x02", b"PK\x05\x05"
_END64, _LOCATOR, _END = b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06"

_ENTRY_REST: Final = struct.Struct("<24xHHH12x")
_RECORD_BYTES_MAX: Final = 2**20


def members_listed(stream: ByteStream) -> int:
    """Take everything from the last member's end to the archive's end.

    Returns:
        The members that the directory lists.

    Raises:
        Refused: `PACKED_CUT`, `PACKED_DAMAGED`.
    """
    listed = 0
    while (mark := _taken(stream, 4)) != _END:
        if mark == _ENTRY:
            listed += 1
            lengths = _ENTRY_REST.unpack(_taken(stream, _ENTRY_REST.size))
            _skip(stream, sum(lengths))
        elif mark == _LOCATOR:
            _skip(stream, 16)
        elif mark == _END64:
            _skip(stream, struct.unpack("<Q", _taken(stream, 8))[0])
        elif mark == _SIGNATURE:
            _skip(stream, struct.unpack("<H", _taken(stream, 2))[0])
        elif mark == _EXTRA_DATA:
            _skip(stream, struct.unpack("<I", _taken(stream, 4))[0])
        else:
            raise Refused(Verdict.PACKED_DAMAGED, "ZIP archive")
    comment_length = struct.unpack("<16xH", _taken(stream, 18))[0]
    _skip(stream, comment_length)
    return listed


def _taken(stream: ByteStream, size: int) -> bytes:
    octets = stream.take(size)
    if len(octets) != size:
        raise Refused(Verdict.PACKED_CUT, "ZIP archive")
    return octets


def _skip(stream: ByteStream, size: int) -> None:
    if size > _RECORD_BYTES_MAX:
        raise Refused(Verdict.PACKED_DAMAGED, "ZIP archive")
    _taken(stream, size)
