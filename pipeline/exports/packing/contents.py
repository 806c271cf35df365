"""Tells what a stream is packed in, what holds no text of rows, and which files of an archive count."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

from pipeline import counts
from pipeline.exports.container import is_age, sealed_openpgp

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK_BYTES: Final = 1024

ZIP: Final = "ZIP archive"
TAR: Final = "tar archive"
PACKINGS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "gzip": (b"\x1f\x8b\x08",),
    # A level, then a block's mark or, in an empty file, the end's.
    "bzip2": tuple(
        b"BZh%d%b" % (level, mark)
        for level in range(1, 10)
        for mark in (b"1AY&SY", b"\x17rE8P\x90")
    ),
    "xz": (b"\xfd7zXZ\0",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),
    # A member, the end of an empty archive, and two marks of an archive in parts.
    ZIP: (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00"),
}
"""What we unpack, by name, with the bytes that it may begin with; tar has a checksum instead."""

_TAR_CHECKSUM: Final = re.compile(rb"[ \0]*[0-7]+[ \0]*")
_TAR_CHECKSUM_AT: Final = slice(148, 156)
"""Octal digits and padding (POSIX.1-2024, pax, "ustar Interchange Format")."""

_MARKS: Final = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x1f\x9d", "a file packed by Unix compress (.Z)"),
    (b"\x04\x22\x4d\x18", "a file packed by LZ4"),
    (b"LZIP\x01", "a file packed by lzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (xls) or another Office document"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"PAR1", "a Parquet table"),
    (b"ORC\x00", "an ORC table"),
    (b"Obj\x01", "an Avro file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PGDMP", "a dump of PostgreSQL"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"-----BEGIN PGP", "another OpenPGP file"),
    (b"-----BEGIN CMS", "an S/MIME message"),
    (b"Salted__", "a file encrypted by OpenSSL"),
)
_MARKUP: Final = re.compile(rb"<(!doctype\s+html|html|\?xml)\b", re.IGNORECASE)
_WIDE_MARKS: Final = (
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
)
_NO_TEXT: Final = re.compile(rb"[\x00\x02-\x08\x0e-\x19\x7f]")
"""Control characters that neither text nor a delimiter of databases (U+0001, U+001C ...) is."""

_LEFT_BY_SYSTEMS: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})

_STRAYS_MAX: Final = 3
_PART_OF_BYTES: Final = 33
_PART_OF_WIDE: Final = 7
"""A thirty-third of random bytes and more is no text; a seventh of UTF-16 and more is NUL."""


def packing_of(first: bytes) -> str | None:
    """Give the name of what a stream is packed in; None where its first bytes are of no packing.

    Args:
        first: The stream's first bytes, `LOOK_BYTES` where it has them. For a tar archive they are
            a guess: whether the checksum holds is for `tar_archive.begins` to say.
    """
    for name, marks in PACKINGS.items():
        if first.startswith(marks):
            return name
    return TAR if _TAR_CHECKSUM.fullmatch(first[_TAR_CHECKSUM_AT]) else None


def named_content(first: bytes) -> str | None:
    """Give the name of what is no text of rows; None for text.

    Args:
        first: The content's first bytes, `LOOK_BYTES` where it has them.
    """
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, name in _MARKS:
        if text.startswith(mark):
            return name
    if is_age(first):
        return "another age file"
    if sealed_openpgp(first):
        return "another OpenPGP file"
    if markup := _MARKUP.match(text):
        return "an XML document" if markup[1].startswith(b"?") else "an HTML page"
    return None if _may_be_text(first) else "bytes that are no text"


def is_meant(name: str) -> bool:
    """Tell a file from folders and from what systems add by themselves."""
    *folders, last = name.replace("\\", "/").split("/")
    return not (
        not last
        or "__MACOSX" in folders
        or last.startswith("._")
        or last.lower() in _LEFT_BY_SYSTEMS
    )


def counted_files(files: int) -> str:
    """Say how many files an archive has."""
    return counts.counted(files, "file") if files else "no file"


def _may_be_text(first: bytes) -> bool:
    """Tell text, also of two or four bytes a sign, from bytes as chance has them."""
    if first.startswith(_WIDE_MARKS) or first.count(0) * _PART_OF_WIDE > len(first):
        return True
    strays = len(_NO_TEXT.findall(first))
    return strays <= max(_STRAYS_MAX, len(first) // _PART_OF_BYTES)
