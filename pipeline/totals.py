"""Legacy ids in, an order-free hash total out: lost, added or changed ids show without sorting."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPACE: Final = 1 << 256


def hash_total(total: int, legacy_ids: Iterable[str]) -> int:
    """Add legacy ids to a hash total: the sum of SHA-256 over their UTF-8 bytes, mod 2^256."""
    for legacy_id in legacy_ids:
        total += int.from_bytes(hashlib.sha256(legacy_id.encode()).digest())
    return total % _SPACE


def shown(total: int) -> str:
    """Give a hash total as reports show it: 64 hexadecimal digits."""
    return f"{total:064x}"
