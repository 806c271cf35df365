"""Takes off the Ctrl-Z by which old programs mark where a text ends.

DOS, and CP/M before it, write one sign (U+001A) behind the last line, behind the last row where no
line end follows it, or several to fill a block; what copies such a file may end it with a line end
of its own. None of that belongs to a row. Anywhere else the sign is a control character like
others, and spoils its row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

END_MARK: Final = b"\x1a"

_LINE_ENDS: Final = (b"\r\n", b"\n", b"\r")
_LINE_END_BYTES_MAX: Final = 2
_MARKS_AT_ONCE: Final = 64 * 1024
_AT_END: Final = re.compile("(?<!\x1a)\x1a+(?:\r\n?|\n)?\\Z")


def without_end_mark(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give a text without the mark at its end, however it is cut.

    Args:
        blocks: Bytes of an encoding that holds ASCII as it is.
    """
    # What may be the end is held back until more comes: a count of marks, as a block may be full of
    # them, and the line end behind them.
    marks, line_end = 0, b""
    for block in blocks:
        joined = line_end + block
        if marks and joined in _LINE_ENDS:
            line_end = joined
            continue
        kept, more, end = _split(joined)
        if marks and not kept and not line_end:
            marks, line_end = marks + more, end
            continue
        yield from _written(marks)
        if kept:
            yield kept
        marks, line_end = more, end


def text_without_end_mark(text: str) -> str:
    """Give a whole text without the mark at its end."""
    return _AT_END.sub("", text)


def _split(block: bytes) -> tuple[bytes, int, bytes]:
    """Give a block up to the marks at its end, how many those are, and the line end behind them."""
    if END_MARK not in block[-1 - _LINE_END_BYTES_MAX :]:
        return block, 0, b""
    line_end = next((end for end in _LINE_ENDS if block.endswith(end)), b"")
    whole = len(block) - len(line_end)
    kept = block[:whole].rstrip(END_MARK)
    if len(kept) == whole:
        return block, 0, b""
    return kept, whole - len(kept), line_end


def _written(marks: int) -> Iterator[bytes]:
    for start in range(0, marks, _MARKS_AT_ONCE):
        yield END_MARK * min(_MARKS_AT_ONCE, marks - start)
