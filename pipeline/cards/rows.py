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

_PART: Final = "#"

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
class ReaderOptions:
    """What the reader must know of an export.

    Args:
        columns: Canonical name to source column (a dotted path in JSON), or columns that are
            joined by a blank: `legacy_id`, `number`, `name`, `expiration_month` and
            `expiration_year` unless `expiration` is given, and any of `ADDRESS_COLUMNS` and
            `CUSTOMER_COLUMNS`.
        expiration: Source columns that hold month and year together, each with the layouts that
            its values may have, such as `MM/YY`.
        may_lack: Canonical names that an export need not have, as a preset's optional ones.
        null_values: Texts that mean "empty".
        carry: Source columns that are copied into the mapping.
        format: `csv`, `jsonl` or `json`; None judges by the first characters.
        records: Where the records of JSON are, such as `customers.*.cards.*`.
        as_json: The options for an export that turns out to be JSON, where they differ.
        encoding: A superset of ASCII; a byte order mark in the export wins over it.
        delimiter: One character.
        quoting: How fields are quoted.
        multiline: Whether a record may span lines.
        security_code_column: `refuse` the export or `drop` the column.
        chunk_rows: Rows a chunk, the unreadable ones counted.
        row_bytes_max: Bytes that a record may have, with its line ends.
    """

    columns: Mapping[str, str | tuple[str, ...]]
    expiration: tuple[tuple[str, tuple[str, ...]], ...] = ()
    may_lack: frozenset[str] = frozenset()
    null_values: frozenset[str] = frozenset()
    carry: tuple[str, ...] = ()
    format: str | None = None
    records: str | None = None
    as_json: ReaderOptions | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quoting: Quoting = Quoting.RFC4180
    multiline: Multiline = Multiline.GUARDED
    security_code_column: OnSecurityCode = OnSecurityCode.REFUSE
    chunk_rows: int = 5000
    row_bytes_max: int = 65_536

    def wanted(self) -> dict[str, str]:
        """Give frame column to source column, for everything that is read.

        What is put together from several columns has a frame column for each part, such as
        `name#0`, until the reader has joined them.
        """
        wanted = {}
        for name, source in self.columns.items():
            if isinstance(source, str):
                wanted[name] = source
            else:
                wanted |= {part_name(name, place): part for place, part in enumerate(source)}
        for place, (source, _) in enumerate(self.expiration):
            wanted[part_name("expiration", place)] = source
        return wanted | {CARRY_PREFIX + source: source for source in self.carry}


def part_name(name: str, place: int) -> str:
    """Name the frame column of one part of a field, counted from 0."""
    return f"{name}{_PART}{place}"


def whole_name(name: str) -> str:
    """Give the canonical name of a frame column that may be a part of it."""
    return name if name.startswith(CARRY_PREFIX) else name.partition(_PART)[0]


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
