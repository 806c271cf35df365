"""Looks for card numbers in streams of any length, packed ones too, and tells their places.

The stream is read in blocks that overlap, so memory stays flat and no number is cut in two.
What is packed (gzip, bzip2, xz, zip) is unpacked while it is read, never to a disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar, cast

from pipeline.cards.scan_ahead import look_ahead
from pipeline.cards.scan_encodings import REACH, search
from pipeline.cards.scan_prefilter import regions_that_could_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.cards.scan_numbers import Sighting

BLOCK_BYTES: Final = 1 << 20
"""How much is looked at closely at once."""

_READ_BYTES: Final = 1 << 23
UNPACKED_BYTES_MAX: Final = 1 << 30
"""How much one file may unpack to (1 GiB); the rest is reported as not searched."""

_NESTED_ZIP_BYTES_MAX: Final = 64 << 20
_DEPTH_MAX: Final = 4
_ZIP: Final = b"PK\x03\x04"
_OPENERS: Final[dict[bytes, Callable[[IO[bytes]], object]]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
# Between two pieces: a line end is a border to every encoding but base64, whose lines may be
# wrapped; two NULs are one to that and to UTF-16.
BORDER: Final = b"\n\0\0"
_UNPACKING_TROUBLES: Final = (
    EOFError, OSError, RuntimeError, ValueError, lzma.LZMAError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


_DAMAGED: Final = "damaged or locked inside"

Label = TypeVar("Label")


class Readable(Protocol):
    """What a search needs of a stream."""

    def read(self, size: int, /) -> bytes:
        """Give at most `size` bytes, none at the end."""
        ...


@dataclass(slots=True)
class Unpacking:
    """What one file may still unpack to, and what could not be unpacked."""

    bytes_left: int = UNPACKED_BYTES_MAX
    troubles: list[str] = field(default_factory=list)


def search_stream(stream: Readable) -> Iterator[tuple[int, Sighting]]:
    """Give every sighting of a stream with its offset in it (bytes)."""
    for piece, regions in look_ahead(_regions, _overlapping(stream, _READ_BYTES)):
        for start, end in regions:
            for place, seen in _search_region(piece.block, start, end):
                if piece.owns(place):
                    yield piece.offset + place, seen


def _regions(piece: _Piece) -> list[tuple[int, int]]:
    return regions_that_could_hold(piece.block, REACH)


def search_packed(stream: IO[bytes], allowance: Unpacking) -> Iterator[tuple[str, Sighting]]:
    """Give every sighting inside a packed stream with its place, layer by layer.

    Args:
        stream: A seekable stream at its beginning; a stream that is not packed gives nothing.
        allowance: How much may be unpacked; troubles are added to it.
    """
    yield from _unpack(stream, "", allowance, depth=1)


def search_pieces(pieces: Iterable[tuple[Label, bytes]]) -> Iterator[tuple[Label, Sighting]]:
    """Give every sighting in many small pieces, each with its piece's label.

    Pieces are searched by the megabyte: one search costs more than a small piece is worth.
    """
    labels: list[Label] = []
    parts: list[bytes] = []
    size = 0
    for label, piece in pieces:
        labels.append(label)
        parts.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield from _search_pool(labels, parts)
            labels, parts, size = [], [], 0
    yield from _search_pool(labels, parts)


def _search_pool(labels: list[Label], parts: list[bytes]) -> Iterator[tuple[Label, Sighting]]:
    ends = list(accumulate(len(part) + len(BORDER) for part in parts))
    for seen in search(BORDER.join(parts)):
        yield labels[bisect_right(ends, seen.start)], seen


def _search_region(block: bytes, start: int, end: int) -> Iterator[tuple[int, Sighting]]:
    """Look closely at one region of a block; places count from the block's beginning."""
    first = max(0, start - REACH)
    for piece in _overlapping(io.BytesIO(block[first : end + REACH]), BLOCK_BYTES):
        for seen in search(piece.block):
            place = first + piece.offset + seen.start
            if piece.owns(seen.start) and start <= place < end:
                yield place, seen


class _Piece(NamedTuple):
    """A part of a stream that overlaps with the one before it and the one after it."""

    offset: int
    block: bytes
    is_last: bool

    def owns(self, place: int) -> bool:
        """Say whether what begins there is told of this piece, and not of one beside it."""
        # What begins further on will come with the next piece, which knows what follows it.
        low = 0 if self.offset == 0 else REACH
        return low <= place < (len(self.block) if self.is_last else len(self.block) - REACH)


def _overlapping(stream: Readable, size: int) -> Iterator[_Piece]:
    offset, kept = 0, b""
    while True:
        fresh = stream.read(size)
        block = kept + fresh
        if len(fresh) == 0:
            yield _Piece(offset, block, is_last=True)
            return
        if len(block) <= 2 * REACH:
            kept = block
            continue
        yield _Piece(offset, block, is_last=False)
        kept = block[-2 * REACH :]
        offset += len(block) - len(kept)


def _unpack(
    stream: IO[bytes], place: str, allowance: Unpacking, depth: int
) -> Iterator[tuple[str, Sighting]]:
    head = stream.read(len(_ZIP) + 2)
    stream.seek(0)
    if depth > _DEPTH_MAX:
        allowance.troubles.append("packed too many times over")
        return
    try:
        if head.startswith(_ZIP):
            yield from _unzip(stream, place, allowance, depth)
        for magic, opener in _OPENERS.items():
            if head.startswith(magic):
                with cast("IO[bytes]", opener(stream)) as unpacked:
                    yield from _search_layer(unpacked, f"{place}unpacked ", allowance, depth)
    except _UNPACKING_TROUBLES:
        allowance.troubles.append(_DAMAGED)


def _unzip(
    stream: IO[bytes], place: str, allowance: Unpacking, depth: int
) -> Iterator[tuple[str, Sighting]]:
    with zipfile.ZipFile(stream) as archive:
        # Members are numbered, not named: a name may hold anything.
        for number, member in enumerate(archive.infolist(), start=1):
            if not member.is_dir():
                with archive.open(member) as unpacked:
                    here = f"{place}member {number} "
                    yield from _search_layer(unpacked, here, allowance, depth)


def _search_layer(
    unpacked: IO[bytes], place: str, allowance: Unpacking, depth: int
) -> Iterator[tuple[str, Sighting]]:
    limited = _Limited(unpacked, allowance)
    head = limited.read(len(_ZIP) + 2)
    if head.startswith((_ZIP, *_OPENERS)):
        # A packed thing inside a packed thing has to be seekable: it is held in memory.
        inner = io.BytesIO(head + limited.read(_NESTED_ZIP_BYTES_MAX))
        if limited.read(1):
            allowance.troubles.append("too large inside to unpack")
        yield from _unpack(inner, place, allowance, depth + 1)
        return
    for offset, seen in search_stream(_Prefixed(head, limited)):
        yield f"{place}byte {offset}", seen


class _Limited:
    """Reads on until the allowance is spent or the packing turns out damaged, and notes that."""

    def __init__(self, source: IO[bytes], allowance: Unpacking) -> None:
        self._source = cast("io.BufferedIOBase", source)
        self._allowance = allowance
        self._ended = False

    def read(self, size: int, /) -> bytes:
        parts: list[bytes] = []
        while size > 0 and not self._ended:
            # In small steps, so that what stands before a damaged place is not lost.
            fresh = self._step(min(size, io.DEFAULT_BUFFER_SIZE))
            parts.append(fresh)
            size -= len(fresh)
        return b"".join(parts)

    def _step(self, size: int) -> bytes:
        try:
            fresh = self._source.read1(size)
        except _UNPACKING_TROUBLES:
            self._allowance.troubles.append(_DAMAGED)
            fresh = b""
        self._ended = not fresh
        self._allowance.bytes_left -= len(fresh)
        if self._allowance.bytes_left < 0:
            self._allowance.troubles.append("unpacks to more than the limit")
            self._ended = True
        return fresh


class _Prefixed:
    """Gives back what was read to look at a stream's beginning, then the stream."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._rest.read(size)
