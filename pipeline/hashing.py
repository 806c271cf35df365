"""Chains events by their hashes, and adds legacy ids to a total that shows a lost or changed one.

An event's line is canonical JSON in the sense of RFC 8785 for the values we allow: sorted keys, no
spaces, strings, integers, booleans and null only, so that any implementation finds the same
bytes. `hash = SHA-256(0x01 || previous hash || event bytes)` in hexadecimal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GENESIS: Final = "0" * 64
"""The hash that stands before the first event."""

_SPACE: Final = 1 << 256
_DIGEST_BYTES: Final = 32
_WORD_BITS: Final = 32
_WORDS: Final = _DIGEST_BYTES * 8 // _WORD_BITS
_MANY_BYTES: Final = 64 * _DIGEST_BYTES

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
    if len(digests) < _MANY_BYTES:
        return (total + sum(_whole_digests(digests))) % _SPACE
    import numpy as np  # noqa: PLC0415 - few commands add up many ids.

    words = np.frombuffer(digests, dtype=">u4").reshape(-1, _WORDS)
    # Each word of the digests by itself: whole ones cost as much to add as to work out. A sum of
    # as many words of 32 bits as memory holds fits into 64.
    for place, word in enumerate(words.sum(axis=0, dtype=np.uint64).tolist()):
        total += word << (_WORDS - 1 - place) * _WORD_BITS
    return total % _SPACE


def _whole_digests(digests: bytes) -> Iterator[int]:
    for start in range(0, len(digests), _DIGEST_BYTES):
        yield int.from_bytes(digests[start : start + _DIGEST_BYTES])


def shown(total: int) -> str:
    """Give a hash total as reports show it: 64 hexadecimal digits."""
    return f"{total:064x}"
