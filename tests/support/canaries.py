"""A seed in, made-up card numbers in every way of writing them out."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

KINDS = (("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("36", 14), ("3528", 16), ("62", 19))


def make_number(random: Random) -> str:
    """Give a number of a known brand with the right check digit; nobody's card."""
    prefix, length = random.choice(KINDS)
    body = prefix + "".join(random.choices("0123456789", k=length - len(prefix) - 1))
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(body))]
    total = sum(value // 10 + value % 10 for value in doubled)
    return f"{body}{-total % 10}"


def grouped(number: str, separator: str) -> str:
    """Give the number as its card shows it."""
    sizes = {14: (4, 6, 4), 15: (4, 6, 5), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}[len(number)]
    places = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    parts = [number[start:end] for start, end in pairwise(places)]
    return separator.join(parts)


def _base64(offset: int, *, urlsafe: bool = False) -> Callable[[str], bytes]:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return lambda number: encode(b"{:"[:offset] + number.encode() + b";")


WRITINGS: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "plain": ("plain", str.encode),
    "escaped": ("plain", lambda number: f"\\n{number}\\t".encode()),
    "float": ("plain", lambda number: f"{number}.0".encode()),
    "spaces": ("grouped", lambda number: grouped(number, " ").encode()),
    "dashes": ("grouped", lambda number: grouped(number, "-").encode()),
    "dots": ("grouped", lambda number: grouped(number, ".").encode()),
    "no-break spaces": ("grouped", lambda number: grouped(number, "\u00a0").encode()),
    "thin spaces": ("grouped", lambda number: grouped(number, "\u2009").encode()),
    "zero-width spaces": ("grouped", lambda number: grouped(number, "\u200b").encode()),
    "narrow no-break spaces": ("grouped", lambda number: grouped(number, "\u202f").encode()),
    "ideographic spaces": ("grouped", lambda number: grouped(number, "\u3000").encode()),
    "soft hyphens": ("grouped", lambda number: grouped(number, "\u00ad").encode()),
    "minus signs": ("grouped", lambda number: grouped(number, "\u2212").encode()),
    "low lines": ("grouped", lambda number: grouped(number, "_").encode()),
    "escaped spaces": ("grouped", lambda number: grouped(number, "\\u00a0").encode()),
    "digit by digit": ("grouped", lambda number: " ".join(number).encode()),
    "url": ("url-encoded", lambda number: quote(grouped(number, " ")).encode()),
    "url dashes": ("url-encoded", lambda number: grouped(number, "%2D").encode()),
    "form": ("url-encoded", lambda number: quote_plus(grouped(number, " ")).encode()),
    "base64 at 0": ("base64", _base64(0)),
    "base64 at 1": ("base64", _base64(1)),
    "base64 at 2": ("base64", _base64(2)),
    "urlsafe base64": ("base64", _base64(1, urlsafe=True)),
    "base64 of groups": ("base64", lambda number: _base64(1)(grouped(number, " "))),
    "wrapped base64": (
        "base64",
        lambda number: base64.encodebytes(b"{" * 50 + number.encode() + b"}" * 50),
    ),
    "hex": ("hex", lambda number: number.encode().hex().encode()),
    "upper hex": ("hex", lambda number: grouped(number, "-").encode().hex().upper().encode()),
    "hex dump": ("hex", lambda number: number.encode().hex(" ").encode()),
    "escaped bytes": ("hex", lambda number: "".join(f"\\x{ord(d):02x}" for d in number).encode()),
    "percent": ("hex", lambda number: "".join(f"%{ord(d):02X}" for d in number).encode()),
    "Thai digits": (
        "other digits",
        lambda number: number.translate({48 + d: 0x0E50 + d for d in range(10)}).encode(),
    ),
    "full-width digits": (
        "other digits",
        lambda number: number.translate({48 + d: 0xFF10 + d for d in range(10)}).encode(),
    ),
    "Persian digits": (
        "other digits",
        lambda number: number.translate({48 + d: 0x06F0 + d for d in range(10)}).encode(),
    ),
    "utf-16-le": ("utf-16-le", lambda number: f"number {number}.".encode("utf-16-le")),
    "utf-16-be": ("utf-16-be", lambda number: f"\u0e01{number}\u0e01".encode("utf-16-be")),
    "utf-16 groups": ("utf-16-le", lambda number: grouped(number, " ").encode("utf-16-le")),
    "utf-16 no-break groups": (
        "utf-16-le",
        lambda number: grouped(number, "\u00a0").encode("utf-16-le"),
    ),
    "utf-16 thin groups": (
        "utf-16-be",
        lambda number: grouped(number, "\u2009").encode("utf-16-be"),
    ),
}
"""Ways of writing a number, each with the encoding that a search calls it by."""
