"""Unpacks gzip, bzip2, xz and zstd, block by block, with bounded steps and memory.

Several streams one after the other are one text, as their formats say (RFC 1952, section 2.2;
RFC 8878, section 3); anything else after the end is refused, for it would be dropped unseen.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.exports.packing.byte_stream import STEP_BYTES, ByteStream
from pipeline.exports.packing.contents import PACKINGS
from pipeline.exports.verdict import Refused, Verdict

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FEED_BYTES: Final = 2**14
"""Little at a time, because what a stream leaves over is copied at its end."""

_XZ_MEMORY_MAX: Final = 2**27
_ZSTD_WINDOW_LOG_MAX: Final = 27
"""128 MiB: twice what `xz -9` needs, and what zstd itself allows without `--long`."""

_GZIP_WINDOW: Final = 31
RAW_DEFLATE_WINDOW: Final = -15


class Decompressor(Protocol):
    """What the standard library's decompressors have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more input."""

    @property
    def unused_data(self) -> bytes:
        """What follows the stream's end."""

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """Give the next bytes, no more than `max_length`."""


class Inflate:
    """Zlib's decompressor in the form of the others."""

    def __init__(self, window: int = RAW_DEFLATE_WINDOW) -> None:
        self._inner = zlib.decompressobj(window)
        self._left = b""

    @property
    def eof(self) -> bool:  # noqa: D102 - as the protocol says.
        return self._inner.eof

    @property
    def needs_input(self) -> bool:  # noqa: D102
        return not self._left

    @property
    def unused_data(self) -> bytes:  # noqa: D102
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        """Give the next bytes, no more than `max_length`."""
        octets = self._inner.decompress(self._left + data, max_length)
        self._left = self._inner.unconsumed_tail
        return octets


@dataclass(frozen=True, slots=True)
class Method:
    """One way of compressing.

    Attributes:
        name: As it stands in messages and in `PACKINGS`.
        make: Gives a decompressor for one stream.
    """

    name: str
    make: Callable[[], Decompressor]

    def begins(self, first: bytes) -> bool:
        """Tell whether bytes begin like a stream of this method."""
        return first.startswith(PACKINGS[self.name])


def _gzip() -> Decompressor:
    return Inflate(_GZIP_WINDOW)


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_MAX)


def _zstd() -> Decompressor:
    window = zstd.DecompressionParameter.window_log_max
    return zstd.ZstdDecompressor(options={window: _ZSTD_WINDOW_LOG_MAX})


BZIP2: Final = Method("bzip2", bz2.BZ2Decompressor)
XZ: Final = Method("xz", _xz)
ZSTD: Final = Method("zstd", _zstd)
METHODS: Final = {method.name: method for method in (Method("gzip", _gzip), BZIP2, XZ, ZSTD)}

_MARK_BYTES: Final = 10


def decompressed(stream: ByteStream, method: Method) -> Iterator[bytes]:
    """Give what the streams of one method unpack to, and take the input to its end.

    Raises:
        Refused: `PACKED_CUT`, `PACKED_DAMAGED`, `PACKED_TRAILING`, `PACKED_OTHERWISE`.
    """
    while True:
        yield from one_stream(stream, method)
        if not method.begins(stream.peek(_MARK_BYTES)):
            break
    if not stream.only_blanks_follow():
        raise Refused(Verdict.PACKED_TRAILING, f"{method.name} file")


def one_stream(stream: ByteStream, method: Method) -> Iterator[bytes]:
    """Give what one stream unpacks to; what follows it stays in the input.

    Raises:
        Refused: `PACKED_CUT`, `PACKED_DAMAGED`, `PACKED_OTHERWISE`.
    """
    unpacker = method.make()
    while not unpacker.eof:
        packed = stream.some(_FEED_BYTES) if unpacker.needs_input else b""
        if not packed and unpacker.needs_input:
            raise Refused(Verdict.PACKED_CUT, f"{method.name} data")
        try:
            octets = unpacker.decompress(packed, STEP_BYTES)
        except (zlib.error, OSError, lzma.LZMAError, zstd.ZstdError) as error:
            raise _refusal(error, method) from None
        if octets:
            yield octets
    stream.put_back(unpacker.unused_data)


def _refusal(error: Exception, method: Method) -> Refused:
    text = str(error).lower()
    if "memory" in text or "window" in text:
        return Refused(
            Verdict.PACKED_OTHERWISE, f"{method.name} data that need too much memory to unpack"
        )
    return Refused(Verdict.PACKED_DAMAGED, f"{method.name} data")
