"""Card numbers and any bytes in, the writings in which a number stands in them out.

Written without `pipeline.cards.scan`, so that the two can be held against each other: this one
knows which numbers to look for, the other must find any.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow.parquet as pq

from pipeline.cards.scan import scan
from tests.support.canaries import grouped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GROUPED_LENGTHS = (14, 15, 16, 19)
_SPOILED_SIGNS = (0, 2, 3)
"""Base64 signs at the start that depend on the bytes before, at each offset."""


def writings(number: str) -> dict[str, bytes]:
    """Give every encoding of the issue: plain, spaced, url, base64 at three offsets, hex, UTF-16."""
    found = {
        "plain": number.encode(),
        "digit by digit": " ".join(number).encode(),
        "hex": number.encode().hex().encode(),
        "hex with blanks": number.encode().hex(" ").encode(),
        "percent": "".join(f"%{ord(digit):02x}" for digit in number).encode(),
        "reversed": number[::-1].encode(),
        "utf-16-le": number.encode("utf-16-le"),
        "utf-16-be": number.encode("utf-16-be"),
    }
    if len(number) in GROUPED_LENGTHS:
        found["spaced"] = grouped(number, " ").encode()
        found["dashed"] = grouped(number, "-").encode()
        found["url"] = quote(grouped(number, " ")).encode()
        found["form"] = grouped(number, "+").encode()
    for offset, spoiled in enumerate(_SPOILED_SIGNS):
        signs = base64.b64encode(bytes(offset) + number.encode())
        found[f"base64 at {offset}"] = signs[spoiled : (offset + len(number)) // 3 * 4]
    return found


class Watch:
    """Looks for a set of numbers in every writing.

    Args:
        numbers: Unique card numbers that must not be found.
    """

    def __init__(self, numbers: Iterable[str]) -> None:
        self.numbers = tuple(dict.fromkeys(numbers))
        self._needles = [
            (name, number[-4:], needle)
            for number in self.numbers
            for name, needle in writings(number).items()
        ]

    def in_bytes(self, blob: bytes) -> list[tuple[str, str]]:
        """Give writing and last four digits of everything found."""
        return [(name, last) for name, last, needle in self._needles if needle in blob]

    def in_folder(self, folder: Path) -> list[tuple[str, str, str]]:
        """Give file, writing and last four of everything found; Parquet is decoded as well.

        `cardferry scan`'s own search runs over the folder too, for numbers of any other form.
        """
        found = []
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            blobs = [path.read_bytes(), str(path).encode()]
            if path.suffix == ".parquet":
                blobs.append(repr(pq.read_table(path).to_pylist()).encode())
            found += [(path.name, *seen) for blob in blobs for seen in self.in_bytes(blob)]
        found += [(seen.path, seen.encoding, seen.last_digits) for seen in scan([folder])]
        return found
