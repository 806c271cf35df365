"""Defines what is handed on: rows as read, and cards as validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.config.policies import Multiline, OnSecurityCode, Quoting

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from pipeline.cards.pan import PanColumn
    from pipeline.model import Rejection

CARRY_PREFIX: Final = "carry:"
"""Stands before the source name of a carried column in a frame, so that it hides no card field."""

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
class ReaderOptions:
    """What the reader must know of an export.

    Args:
        columns: Canonical name to source column (a dotted path in JSONL): `legacy_id`, `number`,
            `name`, `expiration_month` and `expiration_year` unless `expiration` is given, and any
            of `ADDRESS_COLUMNS`.
        expiration: Source column and format of an expiration in one column, such as `MM/YY`.
        carry: Source columns that are copied into the mapping.
        format: `csv` or `jsonl`; None judges by the first character.
        encoding: A superset of ASCII; a byte order mark in the export wins over it.
        delimiter: One character.
        quoting: How fields are quoted.
        multiline: Whether a record may span lines.
        security_code_column: `refuse` the export or `drop` the column.
        chunk_rows: Rows a chunk, the unreadable ones counted.
        row_bytes_max: Bytes that a record may have, with its line ends.
    """

    columns: Mapping[str, str]
    expiration: tuple[str, str] | None = None
    carry: tuple[str, ...] = ()
    format: str | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quoting: Quoting = Quoting.RFC4180
    multiline: Multiline = Multiline.GUARDED
    security_code_column: OnSecurityCode = OnSecurityCode.REFUSE
    chunk_rows: int = 5000
    row_bytes_max: int = 65_536

    def wanted(self) -> dict[str, str]:
        """Give frame column to source column, for everything that is read."""
        wanted = dict(self.columns)
        if self.expiration is not None:
            wanted["expiration"] = self.expiration[0]
        return wanted | {CARRY_PREFIX + source: source for source in self.carry}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of an export, the card numbers beside the frame.

    Row 1 is the first record after the header. The frame's index holds row numbers, its columns
    are texts under canonical names and, for carried ones, `CARRY_PREFIX` and the source name;
    `numbers` is in the frame's order. Rows that could not be read are in `rejections` only.
    """

    first_row: int
    last_row: int
    frame: pd.DataFrame = field(repr=False)
    numbers: PanColumn
    rejections: tuple[Rejection, ...] = field(default=())


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
