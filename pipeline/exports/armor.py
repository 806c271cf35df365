"""Takes the wrapping off an armored message and refuses what follows its end.

What mailers, editors and PowerShell do to text is undone: a byte order mark, UTF-16, lines before
the armor. What follows the armor's end is never dropped silently: it could be a second message.

Source: RFC 9580, section 6.2; C2SP age specification, "ASCII armor".
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

from pipeline.exports.end_mark import END_MARK
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BEGIN: Final = re.compile(
    rb"^(?:\xef\xbb\xbf|\?)?[ \t]*(-----BEGIN (?:PGP MESSAGE|AGE ENCRYPTED FILE)-----)",
    re.MULTILINE,
)
"""At the start of a line; a byte order mark may stand before it (of UTF-16 it became a `?`)."""

_END: Final = b"-----END "
_NOTHING: Final = b" \t\r\n\0" + END_MARK
"""What may stand behind the armor."""
_LEADING_BYTES_MAX: Final = 65_536
_LINE_BYTES_MAX: Final = 128
_ENCODINGS: Final = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"-\0-\0", "utf-16-le"),
    (b"\0-\0-", "utf-16-be"),
)
"""By the first bytes; the last two are dashes of an armor without a mark."""


def unwrapped(first: bytes) -> bytes:
    """Give a file's first bytes from its armor on; as they are where there is no armor."""
    text = _as_single_bytes(first)
    begin = _BEGIN.search(text, 0, _LEADING_BYTES_MAX)
    return text[begin.start(1) :] if begin else first


def armored_message(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the one armored message of a file, from the begin line to the end line.

    Args:
        blocks: The file's bytes, the first of which reach the begin line of an armor.

    Raises:
        Refused: `TRAILING` when anything but blanks follows the end line.
    """
    before, ended = b"", False
    for text in _texts(blocks):
        joined = before + text
        if ended:
            _refuse_rest(joined)
            continue
        at = joined.find(_END)
        line_end = joined.find(b"\n", at) if at >= 0 else -1
        if at >= 0 and line_end < 0:
            # The end line may go on in the next block.
            before = joined[at:]
            yield joined[:at]
            if len(before) > _LINE_BYTES_MAX:
                raise Refused(Verdict.TRAILING, "text on the line of the armor's end")
        elif at >= 0:
            ended, before = True, b""
            yield joined[:at] + _end_line(joined[at : line_end + 1])
            _refuse_rest(joined[line_end + 1 :])
        else:
            keep = len(_END) - 1
            before = joined[-keep:]
            yield joined[:-keep]
    if before:
        yield _end_line(before) if before.startswith(_END) else before


def _end_line(line: bytes) -> bytes:
    """Give the armor's last line without what programs put behind texts."""
    return line.rstrip(_NOTHING) + b"\n"


def _refuse_rest(rest: bytes) -> None:
    if rest.strip(_NOTHING):
        second = _BEGIN.search(rest) is not None
        raise Refused(Verdict.TRAILING, "another message" if second else "text after the armor")


def _texts(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the file as bytes of ASCII, from the armor's begin line on."""
    decoder: codecs.IncrementalDecoder | None = None
    for number, block in enumerate(blocks):
        if number == 0:
            encoding = _encoding(block)
            decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
        text = decoder.decode(block).encode("latin-1", "replace") if decoder else block
        if number == 0 and (begin := _BEGIN.search(text)):
            text = text[begin.start(1) :]
        yield text


def _encoding(first: bytes) -> str | None:
    return next((name for mark, name in _ENCODINGS if first.startswith(mark)), None)


def _as_single_bytes(first: bytes) -> bytes:
    encoding = _encoding(first)
    return first.decode(encoding, "replace").encode("latin-1", "replace") if encoding else first
