"""Reads SQLite's integers of variable length at many places at once.

Source: sqlite.org/fileformat2.html, section 1.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.scan_sqlite_records import VARINT_MAX

if TYPE_CHECKING:
    import numpy.typing as npt

    Places: TypeAlias = npt.NDArray[np.int64]
    Bytes: TypeAlias = npt.NDArray[np.uint8]

PADDING: Final = 32
"""How many bytes have to follow what is read, so that nothing is read behind the end."""

TOP_BIT: Final = 0x80


def varints(whole: Bytes, places: Places) -> tuple[Places, Places]:
    """Read a varint at each place; give the values (64 bits, signed) and the places behind."""
    behind = behind_varints(whole, places)
    first = np.minimum(places, len(whole) - PADDING)
    values = whole[first].astype(np.int64)
    longer = np.flatnonzero(values >= TOP_BIT)
    values[longer] &= TOP_BIT - 1
    for step in range(1, VARINT_MAX):
        longer = longer[behind[longer] > first[longer] + step]
        read = whole[first[longer] + step].astype(np.int64)
        if step == VARINT_MAX - 1:
            values[longer] = (values[longer] << 8) | read
        else:
            values[longer] = (values[longer] << 7) | (read & (TOP_BIT - 1))
    return values, behind


def behind_varints(whole: Bytes, places: Places) -> Places:
    """Give where the varint at each place ends (behind its last byte)."""
    behind = np.minimum(places, len(whole) - PADDING) + 1
    longer = np.flatnonzero(whole[behind - 1] >= TOP_BIT)
    for _ in range(1, VARINT_MAX):
        if not len(longer):
            break
        behind[longer] += 1
        longer = longer[whole[behind[longer] - 1] >= TOP_BIT]
    return behind
