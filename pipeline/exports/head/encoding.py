"""Names the encoding of an export by its first bytes.

A guess is for a person to see in a settings file; no row is ever read by one.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from pipeline.exports.end_mark import text_without_end_mark

_ENCODINGS: Final = ("cp1252", "cp874", "cp932", "gb18030", "big5", "cp949", "cp1251", "cp1250")
_LATIN: Final = "cp1252"
_LIKE_LATIN: Final = frozenset(("cp1250", "cp1251"))
"""Encodings of one byte a letter in which German or French reads as words of other letters."""
_LINES_MAX: Final = 200
_OTHERS_MAX: Final = 2
_WIDE: Final = 0.3
_HALF: Final = 0.5
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_STRANGE: Final = re.compile(
    r"(?<=[^\W\d_])[\u00a1-\u00b6\u00b8-\u00bf\u00d7\u00f7\u02c6\u02dc\u2020\u2021\u2030]"
)
"""What no word of a Latin language has after a letter, but words in another encoding read as it."""
_BEYOND_ASCII: Final = re.compile(r"[A-Za-z]*[^\x00-\x7f]+[A-Za-z]*")
_THAI: Final = re.compile(
    r"(?:[\u0e40-\u0e44]?[\u0e01-\u0e2e][\u0e2f-\u0e3a\u0e45-\u0e4e]*|[\u0e50-\u0e59])+"
)
"""Thai syllables: vowels and tones that are written above or behind a consonant never begin one."""
_NEARLY_ALL: Final = 0.9
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes) -> tuple[str, tuple[str, ...]]:
    """Name the encoding of a text's first bytes.

    Returns:
        The encoding, and others that are as likely: where there are any, it is no more than the
        likeliest. A byte order mark names itself, and the reader believes it. Where a few accents
        do not tell Latin encodings apart it is windows-1252, which most programs write.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, ()
    zeros = [head[place : 2 * (len(head) // 2) : 2].count(0) for place in (0, 1)]
    if max(zeros) > _WIDE * len(head) / 2:
        return ("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"), ()
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _named(head)
    return "utf-8", ()


def decoded_head(head: bytes, encoding: str) -> str:
    """Give a head's text up to its last whole line; what cannot be read stays out."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    whole = text_without_end_mark(text.lstrip("\ufeff"))
    return whole.replace("\r\n", "\n").replace("\r", "\n")


def _named(head: bytes) -> tuple[str, tuple[str, ...]]:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - only where it is not UTF-8.

    whole = head[: head.rfind(b"\n") + 1] or head
    # Lines of ASCII say nothing and take long.
    telling = [line for line in whole.split(b"\n") if not line.isascii()]
    some = b"\n".join(telling[:_LINES_MAX])
    if _is_thai(some):
        return "cp874", (_LATIN,)
    found = from_bytes(some, cp_isolation=list(_ENCODINGS), threshold=0.5)
    named = [name for match in found for name in (match.encoding, *match.could_be_from_charset)]
    # Of nothing but ASCII, or of next to nothing, it names other encodings than it was asked for.
    names = [name for name in named if name in _ENCODINGS]
    if not _reads(b"\n".join(telling), _LATIN):
        names = [name for name in names if name != _LATIN] or ["cp1250"]
    elif not names or (names[0] in _LIKE_LATIN and _is_latin(some, names[0])):
        names = [_LATIN, *names, "cp1250"]
    elif names[0] in _LIKE_LATIN:
        names = [names[0], _LATIN, *names[1:]]
    first, *others = dict.fromkeys(names)
    return first, tuple([name for name in others if _reads(some, name)][:_OTHERS_MAX])


def _reads(text: bytes, encoding: str) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_thai(text: bytes) -> bool:
    if not _reads(text, "cp874"):
        return False
    words = _BEYOND_ASCII.findall(text.decode("cp874"))
    good = sum(_THAI.fullmatch(word) is not None for word in words)
    return good >= _NEARLY_ALL * len(words) and sum(map(len, words)) > 2 * len(words)


def _is_latin(text: bytes, other: str) -> bool:
    """Tell whether nothing but the frequency of letters speaks for another encoding.

    Under windows-1252 its words are of letters, none has a sign inside, and most have plain letters
    beside the accents, which a word in Cyrillic has not.
    """
    read = text.decode(_LATIN)
    if _STRANGE.search(read):
        return False
    words = [word for word in _LETTERS.findall(read) if not word.isascii()]
    mixed = sum(any(map(str.isascii, word)) for word in words)
    return other != "cp1251" or mixed > _HALF * len(words)
