"""Gives the one file of a tar archive as it streams by, and refuses archives of more or none.

Headers are read by the standard library; the walk is our own, because its reader takes a header's
long names into memory whatever their length, and stops at the first end mark.

Source: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING, Final

from pipeline.exports.packing.contents import TAR, counted_files, is_meant
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.exports.packing.byte_stream import ByteStream

BLOCK_BYTES: Final = 512
_EXTENSION_BYTES_MAX: Final = 2**20
_FILES: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_LONG_NAME: Final = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_EXTENDED: Final = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_PAX_SIZE: Final = re.compile(rb"(?:^|\n)\d+ size=(\d{1,18})\n")
_PAX_PATH: Final = re.compile(rb"(?:^|\n)\d+ path=([^\n]*)\n")


def begins(first: bytes) -> bool:
    """Tell whether bytes begin like a tar archive: a header with a checksum that holds."""
    return _header(first[:BLOCK_BYTES]) is not None


def member(stream: ByteStream, pass_over: Callable[[int], None]) -> Iterator[bytes]:
    """Give the bytes of the archive's one file, and take the input to its end.

    Args:
        stream: The archive.
        pass_over: Told how many bytes of other members were unpacked.

    Raises:
        Refused: `ARCHIVE_OF_MANY` at the end, `PACKED_CUT`, `PACKED_DAMAGED`, `PACKED_OTHERWISE`,
            `PACKED_TRAILING`.
    """
    files = 0
    for size, is_file in _members(stream):
        files += is_file
        for octets in _body(stream, size):
            if is_file and files == 1:
                yield octets
            else:
                pass_over(len(octets))
    if not stream.only_blanks_follow():
        raise Refused(Verdict.PACKED_TRAILING, TAR)
    if files != 1:
        raise Refused(Verdict.ARCHIVE_OF_MANY, f"{TAR} with {counted_files(files)}")


def _members(stream: ByteStream) -> Iterator[tuple[int, bool]]:
    """Give each member's size and whether it is a file that is meant; its bytes are to be taken."""
    extension = long_name = b""
    while (block := stream.take(BLOCK_BYTES)).strip(b"\0"):
        header = _header(block)
        if header is None:
            raise Refused(Verdict.PACKED_DAMAGED, TAR)
        if header.type in _EXTENDED:
            extension = _extension(stream, header.size)
        elif header.type in _LONG_NAME:
            long_name = _extension(stream, header.size)
        else:
            size, name = _of_file(header, extension, long_name)
            yield size, header.type in _FILES and is_meant(name)
            extension = long_name = b""


def _header(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def _extension(stream: ByteStream, size: int) -> bytes:
    if size > _EXTENSION_BYTES_MAX:
        raise Refused(Verdict.PACKED_DAMAGED, TAR)
    return b"".join(_body(stream, size))


def _of_file(header: tarfile.TarInfo, extension: bytes, long_name: bytes) -> tuple[int, str]:
    """Give a file's size and name, where extended headers may have the last word."""
    if header.type == tarfile.GNUTYPE_SPARSE or b"GNU.sparse" in extension:
        raise Refused(Verdict.PACKED_OTHERWISE, f"{TAR} with holes in its file (--sparse)")
    size, path = _PAX_SIZE.search(extension), _PAX_PATH.search(extension)
    name = path[1] if path else long_name.rstrip(b"\0")
    holds_bytes = header.type in _FILES or header.type not in tarfile.SUPPORTED_TYPES
    length = int(size[1]) if size else header.size
    return length if holds_bytes else 0, name.decode("utf-8", "replace") or header.name


def _body(stream: ByteStream, size: int) -> Iterator[bytes]:
    """Give a member's bytes and take the padding behind them."""
    left = size
    while left:
        octets = stream.some(left)
        if not octets:
            raise Refused(Verdict.PACKED_CUT, TAR)
        left -= len(octets)
        yield octets
    padding = -size % BLOCK_BYTES
    if len(stream.take(padding)) != padding:
        raise Refused(Verdict.PACKED_CUT, TAR)
