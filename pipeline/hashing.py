"""Chains events by their hashes, and adds legacy ids to a total that shows a lost or changed one.

An event's line is canonical JSON in the sense of RFC 8785 for the values we allow: sorted keys, no
spaces, strings, integers, booleans and null only, so that any implementation finds the same
bytes. `hash = SHA-256(0x01 || previous hash || event bytes)` in hexadecimal.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS: Final = "0" * 64
"""The hash that stands before the first event."""

_SPACE: Final = 1 << 256
_WORD_BYTES: Final = 8
_WORDS: Final = 4
"""Words of a digest, which `struct` reads as one integer each."""

Scalar = str | int | bool | None
Detail = Scalar | Mapping[str, str]
"""What an event may say beyond its common members."""


def canonical(event: Mapping[str, object]) -> bytes:
    """Give the event's canonical JSON bytes; keys in code point order."""
    return orjson.dumps(dict(event), option=orjson.OPT_SORT_KEYS)


def link(previous: str, event: Mapping[str, object]) -> str:
    """Give the hexadecimal hash that ties an event to the one before it."""
    return link_bytes(previous, canonical(event))


def link_bytes(previous: str, event_bytes: bytes) -> str:
    """Give the same hash for an event that is canonical bytes already."""
    return hashlib.sha256(b"\x01" + bytes.fromhex(previous) + event_bytes).hexdigest()


def hash_total(total: int, legacy_ids: Iterable[str]) -> int:
    """Add legacy ids to a hash total: the sum of SHA-256 over their UTF-8 bytes, mod 2^256."""
    sha256 = hashlib.sha256
    digests = b"".join([sha256(legacy_id.encode()).digest() for legacy_id in legacy_ids])
    words = struct.unpack(f">{len(digests) // _WORD_BYTES}Q", digests)
    # Each word of the digests by itself: adding whole ones up costs as much as working them out.
    for place in range(_WORDS):
        total += sum(words[place::_WORDS]) << (_WORDS - 1 - place) * _WORD_BYTES * 8
    return total % _SPACE


def shown(total: int) -> str:
    """Give a hash total as reports show it: 64 hexadecimal digits."""
    return f"{total:064x}"
