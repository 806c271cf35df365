"""Defines the tables that the reader gives to the validator, and the validator to the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from pipeline.cards.pan import PanColumn
    from pipeline.model import Rejection

CARRY_PREFIX: Final = "carry:"
"""Stands before the source name of a carried column, so that it hides no card field."""

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
    """Consecutive rows of an export, the card numbers beside the texts.

    Row 1 is the first record after the header. `rows` holds the numbers of the rows that could be
    read; `columns` their texts under canonical names and, for carried ones, `CARRY_PREFIX` and the
    source name; `numbers` is in the same order. The others are in `rejections` only.
    `left_out` counts, by field, the optional values that could not be used and were dropped;
    `remedies` counts, by setting and value, the rows that would be read under it and were not.
    """

    first_row: int
    last_row: int
    rows: npt.NDArray[np.intp] = field(repr=False)
    columns: Mapping[str, list[str]] = field(repr=False)
    numbers: PanColumn
    rejections: tuple[Rejection, ...] = field(default=())
    left_out: Mapping[str, int] = field(default_factory=dict)
    remedies: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cards:
    """Rows that may be sent.

    `rows` holds their numbers. The columns are `legacy_id`, `name`, `brand`, `last_digits`,
    `expiration_month` (int8), `expiration_year` (int16, four digits), then the address and carried
    columns that the export has. `numbers` is in the same order.
    """

    rows: npt.NDArray[np.intp] = field(repr=False)
    columns: Mapping[str, list[str] | npt.NDArray[Any]] = field(repr=False)
    numbers: PanColumn

    def __len__(self) -> int:
        return len(self.rows)
