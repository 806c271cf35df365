"""Gives the one file of a ZIP archive as it streams by, and refuses archives of more or none.

The standard library's reader starts at the end of the file, which a stream does not have, so the
members are read by the headers before them and the directory at the end is compared with what
came: a second archive behind the first, or a member that no directory lists, is not passed over.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 (structure; the directory from 4.3.11 on), 4.4
(fields) and 4.5.3 (ZIP64).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.exports.packing.byte_stream import STEP_BYTES, ByteStream
from pipeline.exports.packing.compressed import BZIP2, XZ, ZSTD, Inflate, Method, one_stream
from pipeline.exports.packing.contents import PACKINGS, ZIP, counted_files, is_meant
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCAL: Final = b"PK\x03\x04"
_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
_EXTRA: Final = struct.Struct("<HH")
_ZIP64: Final = 1
_IN_ZIP64: Final = 0xFFFF_FFFF
_IN_PARTS: Final = PACKINGS[ZIP][2:]
_ENCRYPTED: Final = 0x2041
"""Flags 0, 6 and 13: any of the format's three ways to encrypt."""

_LENGTHS_BEHIND: Final = 0x08
_DESCRIPTOR: Final = b"PK\x07\x08"
_STORED: Final = 0
_DEFLATE: Final = Method("deflate", Inflate)
_METHODS: Final = {8: _DEFLATE, 12: BZIP2, 93: ZSTD, 95: XZ}
_METHOD_NAMES: Final = {9: "Deflate64", 14: "LZMA", 98: "PPMd"}
_AES: Final = 99
_OFFICE: Final = ("[Content_Types].xml", "_rels/", "xl/", "docProps/", "customXml/", "mimetype")

_EXTRA_DATA, _ENTRY, _SIGNATURE = b"PK\x06\x08", b"PK\x01\x02", b"PK\x05\x05"
_END64, _LOCATOR, _END = b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06"
_ENTRY_REST: Final = struct.Struct("<24xHHH12x")
_RECORD_BYTES_MAX: Final = 2**20


@dataclass(frozen=True, slots=True)
class _Member:
    """What the header before a member says."""

    name: str
    flags: int
    method: int
    checksum: int
    packed: int
    size: int

    @property
    def lengths_behind(self) -> bool:
        return bool(self.flags & _LENGTHS_BEHIND)


def member(stream: ByteStream, pass_over: Callable[[int], None]) -> Iterator[bytes]:
    """Give the bytes of the archive's one file, and take the input to its end.

    Args:
        stream: The archive.
        pass_over: Told how many bytes of other members were unpacked.

    Raises:
        Refused: `ARCHIVE_OF_MANY` at the end, `ARCHIVE_LOCKED`, `NOT_ROWS` for a spreadsheet,
            `PACKED_CUT`, `PACKED_DAMAGED`, `PACKED_OTHERWISE`, `PACKED_TRAILING`.
    """
    if stream.peek(4) in _IN_PARTS:
        raise Refused(Verdict.PACKED_OTHERWISE, f"{ZIP} that is split into parts")
    members = files = 0
    while (header := _header(stream)) is not None:
        members += 1
        meant = is_meant(header.name)
        files += meant
        for octets in _body(stream, header):
            if meant and files == 1:
                yield octets
            else:
                pass_over(len(octets))
    if _members_listed(stream) != members:
        raise Refused(Verdict.PACKED_DAMAGED, ZIP)
    if not stream.only_blanks_follow():
        raise Refused(Verdict.PACKED_TRAILING, ZIP)
    if files != 1:
        raise Refused(Verdict.ARCHIVE_OF_MANY, f"{ZIP} with {counted_files(files)}")


def _header(stream: ByteStream) -> _Member | None:
    """Take the next member's header; None where the directory begins."""
    if stream.peek(4) != LOCAL:
        return None
    raw = stream.take(_HEADER.size)
    if len(raw) != _HEADER.size:
        raise Refused(Verdict.PACKED_CUT, ZIP)
    _, _, flags, method, _, _, checksum, packed, size, name_length, extra_length = _HEADER.unpack(
        raw
    )
    name = stream.take(name_length).decode("utf-8", "replace")
    extra = stream.take(extra_length)
    if name.startswith(_OFFICE):
        raise Refused(Verdict.NOT_ROWS, "a spreadsheet (xlsx, ods) or another office document")
    if flags & _ENCRYPTED or method == _AES:
        raise Refused(Verdict.ARCHIVE_LOCKED, ZIP)
    size, packed = _zip64(extra, size, packed)
    return _Member(name, flags, method, checksum, packed, size)


def _zip64(extra: bytes, size: int, packed: int) -> tuple[int, int]:
    """Give lengths beyond 4 GiB, which stand in an extra field (4.5.3)."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _ZIP64:
            longs = list(struct.unpack(f"<{length // 8}Q", extra[at : at + length // 8 * 8]))
            size = longs.pop(0) if size == _IN_ZIP64 and longs else size
            packed = longs.pop(0) if packed == _IN_ZIP64 and longs else packed
        at += length
    return size, packed


def _body(stream: ByteStream, header: _Member) -> Iterator[bytes]:
    """Give a member's bytes and compare them with its checksum and lengths."""
    packed = _Packed(stream, header)
    checksum = size = 0
    for octets in _unpacked(packed.stream, header):
        checksum = zlib.crc32(octets, checksum)
        size += len(octets)
        yield octets
    found = (checksum, packed.end(), size)
    told = (header.checksum, header.packed, header.size)
    if not (_descriptor(stream, *found) if header.lengths_behind else found == told):
        raise Refused(Verdict.PACKED_DAMAGED, ZIP)


def _unpacked(packed: ByteStream, header: _Member) -> Iterator[bytes]:
    if header.method == _STORED:
        if header.lengths_behind and not header.packed and not header.name.endswith("/"):
            raise Refused(Verdict.PACKED_OTHERWISE, f"{ZIP} of which only the end tells lengths")
        return packed.rest()
    method = _METHODS.get(header.method)
    if method is None:
        name = _METHOD_NAMES.get(header.method, f"method {header.method}")
        raise Refused(Verdict.PACKED_OTHERWISE, f"{ZIP} compressed with {name}")
    return one_stream(packed, method)


class _Packed:
    """A member's packed bytes, bounded where the header tells their number."""

    def __init__(self, source: ByteStream, header: _Member) -> None:
        unbounded = header.lengths_behind and not header.packed and header.method != _STORED
        self._source = source
        self._left = None if unbounded else header.packed
        self._given = 0
        self.stream = ByteStream(self._blocks())

    def end(self) -> int:
        """Leave what follows the member where it was, and give the member's packed length."""
        ahead = self.stream.read_ahead()
        if self._left is None:
            self._source.put_back(ahead)
        elif self._left or ahead:
            at_end = not self._source.peek(1)
            raise Refused(Verdict.PACKED_CUT if at_end else Verdict.PACKED_DAMAGED, ZIP)
        return self._given - len(ahead)

    def _blocks(self) -> Iterator[bytes]:
        while self._left is None or self._left:
            most = STEP_BYTES if self._left is None else min(self._left, STEP_BYTES)
            octets = self._source.some(most)
            if not octets:
                return
            self._given += len(octets)
            if self._left is not None:
                self._left -= len(octets)
            yield octets


def _descriptor(stream: ByteStream, checksum: int, packed: int, size: int) -> bool:
    """Take the lengths behind a member; their width is not told, so both are tried (4.3.9)."""
    if stream.peek(4) == _DESCRIPTOR:
        stream.take(4)
    for form in (struct.Struct("<III"), struct.Struct("<IQQ")):
        if stream.peek(form.size + 2) == _packed_form(form, checksum, packed, size) + b"PK":
            stream.take(form.size)
            return True
    return False


def _packed_form(form: struct.Struct, *numbers: int) -> bytes:
    try:
        return form.pack(*numbers)
    except struct.error:
        return b""


def _members_listed(stream: ByteStream) -> int:
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
