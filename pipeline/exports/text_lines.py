"""Cuts blocks of bytes into batches of whole lines, in encodings that hold ASCII as it is.

Nothing here depends on how the bytes were cut into blocks: the same bytes give the same lines, at
the same places of the text. A place is counted in bytes from its first line on, after the byte order
mark was taken off, UTF-16 was made UTF-8 and an old Mac's line ends were made line feeds.
The mark at a text's end is no part of it (`end_mark`).
A line ends at LF, with or without CR before it. Only where the first line ends at a lone CR (an
old Mac's file) every CR ends a line; elsewhere a lone CR is a character that spoils its row.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.exports.end_mark import without_end_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BATCH_BYTES: Final = 256 * 1024
_BATCH_LINES: Final = 8192
"""A line costs a hundred bytes beyond its own, so a batch of lines of one byte would cost much."""
_LINE_FEED: Final = ord("\n")
_LOOK: Final = 4096

# A CR that nothing follows yet may be half of a CR LF.
_FIRST_LINE_END: Final = re.compile(rb"\r\n|\r(?=[^\n])|\n")

# UTF-32's little-endian mark begins with UTF-16's, so it stands first.
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, None),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# What UTF-16 or UTF-32 cannot mean becomes a byte sequence that is no UTF-8 either, so that only
# its own row is undecodable.
_MARK_ERRORS: Final = "cardferry-mark"


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    end = error.end if isinstance(error, UnicodeDecodeError) else 0
    return "\udcff", end


codecs.register_error(_MARK_ERRORS, _mark)


@dataclass(frozen=True, slots=True)
class TextLines:
    """An export as lines.

    `blocks` gives the bytes of `batches` uncut, to those who want no lines; only one of the two may
    be used. `first_line` is as much of it as the first block has, and `head` all of
    that block. `starts_with` is the first two characters that are no blanks, as bytes.
    """

    batches: LineBatches
    encoding: str
    starts_with: bytes
    blocks: Iterator[bytes]
    first_line: bytes
    head: bytes


def text_lines(blocks: Iterable[bytes], encoding: str, line_bytes_max: int) -> TextLines:
    """Cut an export into lines.

    Args:
        blocks: The plain bytes, cut anywhere.
        encoding: What the export is in, unless it begins with a byte order mark: a superset of
            ASCII, or UTF-16 or UTF-32.
        line_bytes_max: Bytes that a line may have, without its line feed.
    """
    gathered = _gathered(blocks)
    head = next(gathered, b"")
    for mark, wide in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            gathered = _chained(head[len(mark) :], gathered)
            encoding = "utf-8"
            if wide is not None:
                gathered = _transcoded(gathered, wide)
            head = next(gathered, b"")
            break
    else:
        wide_name = _without_mark(encoding)
        if wide_name is not None:
            gathered = _transcoded(_chained(head, gathered), wide_name)
            encoding = "utf-8"
            head = next(gathered, b"")
    gathered = without_end_mark(_chained(head, gathered))
    head = next(gathered, b"")
    first_end = _FIRST_LINE_END.search(head)
    gathered = _chained(head, gathered)
    if first_end is not None and first_end[0] == b"\r":
        gathered = _with_line_feeds(gathered)
    encoding = "utf-8" if codecs.lookup(encoding).name == "utf-8-sig" else encoding
    starts_with = b"".join(head[:_LOOK].split())[:2]
    first_line = head.lstrip().partition(b"\n")[0].rstrip()
    batches = LineBatches(gathered, line_bytes_max)
    return TextLines(batches, encoding, starts_with, gathered, first_line, head)


def begins_as_json(starts_with: bytes) -> bool:
    """Tell JSON from CSV by the first two characters that are no blanks.

    A header's first name may stand in brackets, too: `[id]`.
    """
    return starts_with[:1] == b"{" or starts_with in {b"[", b"[{", b"[]"}


def _without_mark(encoding: str) -> str | None:
    """Give the encoding of a wide text that has no mark: little-endian, as on most machines."""
    name = codecs.lookup(encoding).name
    if not name.startswith(("utf-16", "utf-32")):
        return None
    return name if name.endswith(("-le", "-be")) else f"{name}-le"


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _gathered(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small blocks and cut large ones, so that each step has a fair amount to do."""
    waiting: list[bytes] = []
    size = 0
    for block in blocks:
        for start in range(0, len(block), _BATCH_BYTES):
            piece = block[start : start + _BATCH_BYTES]
            waiting.append(piece)
            size += len(piece)
            if size >= _BATCH_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def in_utf8(lines: TextLines) -> Iterator[bytes]:
    """Give an export's bytes uncut and in UTF-8."""
    if codecs.lookup(lines.encoding).name == "utf-8":
        return lines.blocks
    return _transcoded(lines.blocks, lines.encoding)


def _transcoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_MARK_ERRORS)
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _with_line_feeds(blocks: Iterator[bytes]) -> Iterator[bytes]:
    cut = b""
    for block in blocks:
        joined = cut + block
        # A CR at the end may be half of a CR LF.
        cut = joined[-1:] if joined.endswith(b"\r") else b""
        whole = joined[: len(joined) - len(cut)]
        yield whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    yield cut.replace(b"\r", b"\n")


class LineBatches:
    """Whole lines, some at a time, each batch with the place in the text where it begins.

    A batch is bytes that end with a line feed, or None for one line that was longer than allowed.

    Args:
        blocks: The text, cut anywhere.
        line_bytes_max: Bytes that a line may have, without its line feed.
    """

    def __init__(self, blocks: Iterator[bytes], line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._pieces = self._cut(blocks)
        self._waiting: tuple[int, bytes] | None = None
        self._passed_to = 0
        self._in_gap = False
        self.has_gaps = False
        """Whether something was passed over."""
        self.at = 0
        """Where the batch that was given last begins."""
        self.is_after_gap = False
        """Whether what stood before that batch was passed over."""

    def __iter__(self) -> Iterator[bytes | None]:
        return self

    def __next__(self) -> bytes | None:
        """Give the next batch."""
        while True:
            at, batch = self._waiting or next(self._pieces)
            self._waiting = None
            before = self._passed_to - at
            if before > 0:
                batch, at = (batch or b"")[before:], self._passed_to
                if not batch:
                    continue
            self.is_after_gap, self._in_gap = self._in_gap, False
            self.at = at
            return batch

    def give_again(self, rest: bytes, size: int) -> None:
        """Let the rest of the batch that was given last come once more; it had that size."""
        if rest:
            self._waiting = self.at + size - len(rest), rest

    def pass_over(self, to: int) -> None:
        """Give nothing more that stands before a place of the text, the beginning of a line."""
        self._passed_to, self._in_gap, self.has_gaps = to, True, True

    def _cut(self, blocks: Iterator[bytes]) -> Iterator[tuple[int, bytes | None]]:
        tail = b""
        skipping = False
        read = 0
        for block in blocks:
            read += len(block)
            if read <= self._passed_to:
                tail, skipping = b"", False
                continue
            rest = block
            if skipping:
                end = block.find(b"\n")
                if end < 0:
                    continue
                rest, skipping = block[end + 1 :], False
            rest = tail + rest
            start = read - len(rest)
            end = rest.rfind(b"\n") + 1
            yield from _pieces(start, rest[:end], self._line_bytes_max)
            tail = rest[end:]
            if len(tail) > self._line_bytes_max:
                yield start + end, None
                tail, skipping = b"", True
        if tail:
            yield read - len(tail), tail + b"\n"


def _pieces(start: int, lines: bytes, line_bytes_max: int) -> Iterator[tuple[int, bytes | None]]:
    """Give lines as batches, each with its place; the first begins at `start`."""
    for at, batch in _without_long_lines(lines, line_bytes_max):
        if batch is None:
            yield start + at, None
        else:
            yield from _of_few_lines(start + at, batch)


def _without_long_lines(batch: bytes, line_bytes_max: int) -> Iterator[tuple[int, bytes | None]]:
    """Give lines with their places; None in the place of one that is too long."""
    if not batch:
        return
    ends = np.flatnonzero(np.frombuffer(batch, dtype=np.uint8) == _LINE_FEED)
    starts = np.concatenate(([0], ends[:-1] + 1))
    start = 0
    for line in np.flatnonzero(ends - starts > line_bytes_max).tolist():
        if starts[line] > start:
            yield start, batch[start : starts[line]]
        yield int(starts[line]), None
        start = int(ends[line]) + 1
    if start < len(batch):
        yield start, batch[start:]


def _of_few_lines(at: int, batch: bytes) -> Iterator[tuple[int, bytes]]:
    if batch.count(b"\n") <= _BATCH_LINES:
        yield at, batch
        return
    ends = 1 + np.flatnonzero(np.frombuffer(batch, dtype=np.uint8) == _LINE_FEED)
    start = 0
    for end in (*ends[_BATCH_LINES - 1 : -1 : _BATCH_LINES].tolist(), len(batch)):
        yield at + start, batch[start:end]
        start = end
