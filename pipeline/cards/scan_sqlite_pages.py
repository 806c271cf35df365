"""Reads the pages of a SQLite database, its rollback journal or its WAL, many at a time.

Source: sqlite.org/fileformat2.html, sections 1.3, 3 and 4.
"""

from __future__ import annotations

from itertools import compress
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

HEAD_BYTES: Final = 100
"""How much of a file says whether it is one of these."""

_DATABASE_MAGIC: Final = b"SQLite format 3\0"
_JOURNAL_MAGIC: Final = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_WAL_MAGICS: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_WAL_HEADER: Final = 32
_WAL_FRAME: Final = 24
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_BLOCK_BYTES: Final = 1 << 23


class Pages(NamedTuple):
    """Whole pages, one behind the other, each with its number in the database."""

    numbers: list[int]
    block: bytes
    size: int

    def page(self, place: int) -> bytes:
        """Give one page's bytes; places count from 0."""
        return self.block[place * self.size : (place + 1) * self.size]

    def where(self, flags: npt.NDArray[np.bool_]) -> Pages:
        """Give those that are flagged."""
        images = np.frombuffer(self.block, dtype=np.uint8).reshape(-1, self.size)
        return Pages(list(compress(self.numbers, flags)), images[flags].tobytes(), self.size)


def joined(some: list[Pages]) -> Pages:
    """Give all of these, which have one size, as one."""
    numbers = [number for pages in some for number in pages.numbers]
    return Pages(numbers, b"".join(pages.block for pages in some), some[0].size)


class _Layout(NamedTuple):
    """Where pages begin, their size, and what stands before and after each (bytes)."""

    start: int
    size: int
    before: int
    after: int


def is_sqlite(head: bytes) -> bool:
    """Say whether a file that begins so (`HEAD_BYTES`) can be taken apart here."""
    return _layout(head) is not None


def read_pages(stream: IO[bytes]) -> Iterator[Pages]:
    """Give all pages, some megabytes at a time; numbers are counted, or read before each page.

    A last, incomplete page is filled up with NULs, so that it is searched like the others.

    Args:
        stream: A seekable stream of a file that `is_sqlite`.
    """
    stream.seek(0)
    layout = _layout(stream.read(HEAD_BYTES))
    if layout is None:
        return
    stream.seek(layout.start)
    read = 0
    image_size = layout.before + layout.size + layout.after
    while raw := stream.read(max(1, _BLOCK_BYTES // image_size) * image_size):
        spare = len(raw) % image_size
        if 0 < spare <= layout.before:
            raw, spare = raw[:-spare], 0
        raw += bytes(-spare % image_size)
        images = np.frombuffer(raw, dtype=np.uint8).reshape(-1, image_size)
        if layout.before:
            numbers = images[:, :4].copy().view(">u4")[:, 0].tolist()
            raw = images[:, layout.before : layout.before + layout.size].tobytes()
        else:
            numbers = list(range(read + 1, read + 1 + len(images)))
            read += len(images)
        yield Pages(numbers, raw, layout.size)


def _layout(head: bytes) -> _Layout | None:
    layout = None
    if head.startswith(_DATABASE_MAGIC):
        size = int.from_bytes(head[16:18], "big")
        layout = _Layout(0, 1 << 16 if size == 1 else size, 0, 0)
    elif head.startswith(_WAL_MAGICS):
        layout = _Layout(_WAL_HEADER, int.from_bytes(head[8:12], "big"), _WAL_FRAME, 0)
    elif head.startswith(_JOURNAL_MAGIC):
        sector, size = (int.from_bytes(head[at : at + 4], "big") for at in (20, 24))
        layout = _Layout(sector, size, 4, 4)
    return layout if layout and layout.size in _PAGE_SIZES else None
