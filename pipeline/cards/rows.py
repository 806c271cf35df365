"""Defines the tables that the reader gives to the validator, and the validator to the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from pipeline.cards.pan import PanColumn
    from pipeline.model import Rejection

CARRY_PREFIX: Final = "carry:"
"""Stands before the source name of a carried column in a frame, so that it hides no card field."""

CUSTOMER_COLUMNS: Final = ("customer", "customer_id", "is_default")
"""What tells which cards are one customer's, whom the vault knows already, and whose default."""

ADDRESS_COLUMNS: Final = (
    "city",
    "country",
    "email",
    "phone_number",
    "postal_code",
    "state",
    "street1",
    "street2",
)
"""The optional fields of a card that the vault takes (OMISE.md, section 1.1)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of an export, the card numbers beside the frame.

    Row 1 is the first record after the header. The frame's index holds row numbers, its columns
    are texts under canonical names and, for carried ones, `CARRY_PREFIX` and the source name;
    `numbers` is in the frame's order. Rows that could not be read are in `rejections` only.
    `left_out` counts, by field, the optional values that could not be used and were dropped;
    `remedies` counts, by setting and value, the rows that would be read under it and were not.
    """

    first_row: int
    last_row: int
    frame: pd.DataFrame = field(repr=False)
    numbers: PanColumn
    rejections: tuple[Rejection, ...] = field(default=())
    left_out: Mapping[str, int] = field(default_factory=dict)
    remedies: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cards:
    """Rows that may be sent.

    The frame's index holds row numbers; its columns are `legacy_id`, `name`, `brand`,
    `last_digits`, `expiration_month` (int8), `expiration_year` (int16, four digits), then the
    address and carried columns that the export has. `numbers` is in the frame's order.
    """

    frame: pd.DataFrame = field(repr=False)
    numbers: PanColumn

    def __len__(self) -> int:
        return len(self.frame)
