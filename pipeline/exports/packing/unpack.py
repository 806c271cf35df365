"""Takes off what a proved stream is packed in, within bounds, and names what cannot be read.

The seal is proved first: where a layer is damaged, the rest of the seal is read, so that a change
on the way is told as such and never as the sender's bad packing.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from pipeline.exports.packing.byte_stream import ByteStream
from pipeline.exports.packing.contents import LOOK_BYTES, TAR, ZIP, named_content, packing_of
from pipeline.exports.verdict import OF_THE_PACKING, Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

LAYERS_MAX: Final = 4
"""A tar archive in gzip in a ZIP archive has three; nobody packs five times in good faith."""

Ending = TypeVar("Ending")
Layer: TypeAlias = "Callable[[ByteStream, Callable[[int], None]], Iterator[bytes]]"
"""Packed bytes in, plain ones out; told how many bytes were unpacked and passed over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an export may unpack to.

    Attributes:
        plain_bytes_max: Bytes of plain text, after each layer that is taken off.
        ratio_max: Plain bytes for each sealed byte read so far, after each layer.
        ratio_after_bytes: Plain bytes after which the ratio is checked.
        stall_s: Seconds that the decryptor may take for its next byte.
    """

    plain_bytes_max: int = 64 * 2**30
    ratio_max: float = 200.0
    ratio_after_bytes: int = 10_000_000
    stall_s: float = 120.0


class Growth:
    """Compares what one pass unpacked to with the sealed bytes that it read.

    Args:
        limits: How much is allowed.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sealed_bytes = 0
        """Sealed bytes read so far; whoever reads them says so."""

    def check(self, plain_bytes: int) -> None:
        """Check the size of one layer's text so far.

        Raises:
            Refused: `TOO_LARGE`, `RATIO`.
        """
        if plain_bytes > self._limits.plain_bytes_max:
            raise Refused(Verdict.TOO_LARGE)
        is_checked = plain_bytes > self._limits.ratio_after_bytes
        if is_checked and plain_bytes > self._limits.ratio_max * self.sealed_bytes:
            raise Refused(Verdict.RATIO)


class Unpacking(Generic[Ending]):
    """One pass over packed bytes: what they unpack to, and what they were packed in.

    Args:
        blocks: The packed bytes; what they return at their end, this returns.
        check_size: Asked with the bytes that a layer has unpacked to so far; raises when they are
            too many.
    """

    def __init__(
        self, blocks: Generator[bytes, None, Ending], check_size: Callable[[int], None]
    ) -> None:
        self._blocks = blocks
        self._check_size = check_size
        self.layers: list[str] = []
        """What the bytes are packed in, outermost first, as far as it is known."""

    @property
    def in_archive(self) -> bool:
        """Whether only the end can tell if the archive holds more than one file."""
        return bool({ZIP, TAR}.intersection(self.layers))

    def unpacked(self) -> Generator[bytes, None, Ending]:
        """Give the innermost bytes.

        Raises:
            Refused: One of `OF_THE_PACKING`, or what the packed bytes or `check_size` raise.
        """
        with closing(self._blocks):
            source = _Source(self._blocks)
            try:
                yield from self._inner(source)
            except Refused as refused:
                if refused.verdict in OF_THE_PACKING:
                    source.drain()
                raise
            source.drain()
            return source.ending

    def _inner(self, source: _Source[Ending]) -> Iterator[bytes]:
        stream = ByteStream(source)
        first = stream.peek(LOOK_BYTES)
        while (layer := _layer(first)) is not None:
            if len(self.layers) == LAYERS_MAX:
                raise Refused(Verdict.PACKED_TOO_OFTEN, str(LAYERS_MAX))
            name, unpack = layer
            self.layers.append(name)
            measured = _Measured(self._check_size)
            stream = ByteStream(measured.blocks(unpack(stream, measured.add)))
            first = stream.peek(LOOK_BYTES)
        if self.layers or first:
            content = named_content(first)
            if content is not None:
                raise Refused(Verdict.NOT_ROWS, content)
        return stream.rest()


class _Measured:
    """Counts what one layer unpacks to, what is passed over in an archive too, and has its size checked."""

    def __init__(self, check_size: Callable[[int], None]) -> None:
        self._check_size = check_size
        self._size = 0

    def add(self, size: int) -> None:
        self._size += size
        self._check_size(self._size)

    def blocks(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.add(len(block))
            yield block


class _Source(Generic[Ending]):
    """An iterator over a generator's blocks that keeps what it returned."""

    ending: Ending

    def __init__(self, blocks: Generator[bytes, None, Ending]) -> None:
        self._blocks = blocks
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        try:
            return next(self._blocks)
        except StopIteration as end:
            self.ending, self._ended = end.value, True
            raise StopIteration from None

    def drain(self) -> None:
        for _ in self:
            pass


def _layer(first: bytes) -> tuple[str, Layer] | None:
    """Give the outermost packing and what takes it off, loaded for those exports that are packed."""
    packing = packing_of(first)
    if packing is None:
        return None
    if packing == ZIP:
        from pipeline.exports.packing import zip_archive  # noqa: PLC0415 - see above.

        return ZIP, zip_archive.member
    if packing == TAR:
        from pipeline.exports.packing import tar_archive  # noqa: PLC0415

        return (TAR, tar_archive.member) if tar_archive.begins(first) else None
    from pipeline.exports.packing.compressed import METHODS, decompressed  # noqa: PLC0415

    return packing, lambda stream, _: decompressed(stream, METHODS[packing])
