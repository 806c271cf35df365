"""Rows in, what the reader makes of them out; and the rules that tests judge by."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from pipeline.cards.rows import ADDRESS_COLUMNS, CUSTOMER_COLUMNS
from pipeline.cards.validator import Rules, Validated, validate
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.cards import COLUMNS, csv_export

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.cards.rows import Chunk

AS_OF = date(2026, 11, 23)
ALL_BRANDS = frozenset(
    ("Visa", "MasterCard", "JCB", "American Express", "Diners Club", "Discover", "UnionPay")
)


def rules(**changes) -> Rules:
    """Give rules under which test cards may go to a vault on this machine."""
    usual = {
        "as_of": AS_OF,
        "expired": "reject",
        "brands": ALL_BRANDS,
        "livemode": False,
        "loopback_vault": True,
    }
    return Rules(**(usual | changes))


def options_for(rows: Sequence[Mapping[str, str]], carry: Sequence[str] = ()) -> ReaderOptions:
    """Give options that read every column of these rows which a card can have."""
    further = {name: name for name in rows[0] if name in ADDRESS_COLUMNS + CUSTOMER_COLUMNS}
    return ReaderOptions(COLUMNS | further, carry=tuple(carry))


def chunk_of(*rows: Mapping[str, str], carry: Sequence[str] = ()) -> Chunk:
    """Read these rows as one chunk."""
    raw = csv_export(rows, header=tuple(rows[0]))
    (chunk,) = read([raw], options_for(rows, carry))
    return chunk


def validated(*rows: Mapping[str, str], carry: Sequence[str] = (), **changes) -> Validated:
    """Read and judge these rows."""
    return validate(chunk_of(*rows, carry=carry), rules(**changes))


def code_of(row: Mapping[str, str], carry: Sequence[str] = (), **changes) -> str | None:
    """Give the code under which this one row is rejected, None for a card that may be sent."""
    verdict = validated(row, carry=carry, **changes)
    return verdict.rejections[0].code if verdict.rejections else None
