"""Names what is planned: cards, chunks of judged rows, and the exports that they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

from pipeline.failure_codes import FAILURE_CODES, SKIP_CODES
from pipeline.ledger.records import ExportState, row_id
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Row

    from pipeline.model import Rejection


STATES_UNSENT: Final = dict.fromkeys(FAILURE_CODES, RowState.REJECTED.value) | dict.fromkeys(
    SKIP_CODES, RowState.SKIPPED.value
)
"""The state of a row that is not sent, by its code; with another code it is not written."""

REJECTED_COLUMNS: Final = (
    *("id", "legacy_id", "state", "code", "field", "last_digits", "hint"),
    *("brand", "expiration_month", "expiration_year"),
)


def rejected_row(first_id: int, item: Rejection) -> tuple[Any, ...]:
    """Give the values of a row that is not sent, in the order of `REJECTED_COLUMNS`.

    What becomes of an expired card is said at the end of planning, once it is known whether it is
    one that has its token.
    """
    state = RowState.PLANNED.value if item.expiration else STATES_UNSENT[item.code]
    told = (item.code, item.field, item.last_digits, item.hint, item.brand)
    return (first_id + item.row, item.legacy_id, state, *told, *(item.expiration or (None, None)))


class PlannedCard(NamedTuple):
    """What the ledger keeps of a card that will be sent; a tuple, as there is one for each row."""

    row: int
    legacy_id: str
    last_digits: str
    brand: str
    expiration_month: int
    expiration_year: int
    carry: str | None = None
    customer: str | None = None
    """The legacy key of the customer that the card belongs to."""
    customer_id: str | None = None
    """An existing customer at the vault, where the export names one."""
    is_default: bool | None = None


class PlannedCards(Sequence[PlannedCard]):
    """Cards that will be sent, held by column: as tuples they would cost as much as reading them.

    Args:
        columns: The fields of `PlannedCard` in their order, a value a card.
    """

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self.columns = columns

    @classmethod
    def of(cls, cards: Sequence[PlannedCard]) -> PlannedCards:
        """Take cards that were made one by one."""
        if isinstance(cards, cls):
            return cards
        return cls(list(zip(*cards, strict=True)) or [()] * len(PlannedCard._fields))

    @classmethod
    def joined(cls, parts: Sequence[PlannedCards]) -> PlannedCards:
        """Take the cards of several parts, of one at least, one part after the other."""
        each = zip(*(part.columns for part in parts), strict=True)
        return cls([list(chain.from_iterable(columns)) for columns in each])

    def __len__(self) -> int:
        return len(self.columns[0])

    @overload
    def __getitem__(self, place: int) -> PlannedCard: ...

    @overload
    def __getitem__(self, place: slice) -> PlannedCards: ...

    def __getitem__(self, place: int | slice) -> PlannedCard | PlannedCards:
        """Give one card, or some of them."""
        if isinstance(place, slice):
            return PlannedCards([column[place] for column in self.columns])
        return PlannedCard(*(column[place] for column in self.columns))

    def __iter__(self) -> Iterator[PlannedCard]:
        return map(PlannedCard._make, zip(*self.columns, strict=True))


class PlannedMix:
    """Counts planned cards by brand and by the year in which they expire."""

    def __init__(self) -> None:
        self.brands: Counter[str] = Counter()
        self.expiration_years: Counter[int] = Counter()

    def add(self, cards: PlannedCards) -> None:
        """Count some more cards."""
        _, _, _, brands, _, years, *_ = cards.columns
        self.brands.update(brands)
        self.expiration_years.update(years)

    def join(self, other: PlannedMix) -> None:
        """Count what another one has counted, too."""
        self.brands.update(other.brands)
        self.expiration_years.update(other.expiration_years)


@dataclass(frozen=True, slots=True)
class JudgedChunk:
    """Consecutive rows of an export, each of them a card that may be sent or a rejection.

    Attributes:
        first_row: Number of the first row; 1 is the first record after the header.
        last_row: Number of the last one.
        cards: What the ledger keeps of the valid ones.
        rejections: Why the others cannot be sent, those that could not be read among them.
        left_out: By field, the optional values that could not be used and were dropped.
        remedies: By setting and value, the rows that would be read under it and were not.
    """

    first_row: int
    last_row: int
    cards: Sequence[PlannedCard]
    rejections: Sequence[Rejection]
    left_out: Mapping[str, int] = field(default_factory=dict)
    remedies: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SealedFacts:
    """What is known of an export's sealed bytes before it is opened."""

    name: str
    size: int
    sha256: str
    block_digests: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class ProvedFacts:
    """What is known once every byte was read and proved."""

    engine: str
    key_fingerprint: str | None
    signer: str | None
    rows: int
    legacy_id_sum: str
    reading_points: str | None = None
    """Where in its text a later reading may begin (`exports.reading_points`)."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    remedies: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownExport:
    """An export as the ledger knows it."""

    id: int
    name: str
    sha256: str
    as_of: date
    block_digests: bytes
    is_planned: bool
    reading_points: str | None = None

    @classmethod
    def of(cls, found: Row[Any]) -> KnownExport:
        """Give an export's row of the ledger."""
        return cls(
            id=found.id,
            name=found.name,
            sha256=found.sha256,
            as_of=date.fromisoformat(found.as_of),
            block_digests=found.block_digests,
            is_planned=found.state == ExportState.PLANNED,
            reading_points=found.reading_points,
        )

    @property
    def first_id(self) -> int:
        """The smallest row id of this export."""
        return row_id(self.id, 0)

    @property
    def last_id(self) -> int:
        """The largest row id that this export could have."""
        return row_id(self.id + 1, 0) - 1
