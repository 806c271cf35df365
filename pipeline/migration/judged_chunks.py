"""Reads a proved stream of plain bytes and judges its rows, chunk by chunk, numbers wiped behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.cards.rows import CARRY_PREFIX
from pipeline.cards.validator import Rules, Validated, is_id_column, validate
from pipeline.config.policies import OnLookalike
from pipeline.errors import ExportRefused
from pipeline.exports.reader import read
from pipeline.failure_codes import Code
from pipeline.ledger.plan_records import JudgedChunk, PlannedCard, PlannedCards
from pipeline.migration.customer_texts import own_customer
from pipeline.migration.expectations import Expectations
from pipeline.model import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    from pipeline.cards.customer_rules import CustomerRules
    from pipeline.cards.export_profile import ExportProfile
    from pipeline.cards.rows import Cards, Chunk
    from pipeline.config.policies import OnExpired
    from pipeline.exports.columns import ReaderOptions
    from pipeline.exports.reading_points import ReadingPoints
    from pipeline.exports.sealed_export import PlainBlocks
    from pipeline.migration.customer_texts import CustomerTexts
    from pipeline.migration.rows_alike import RowsAlike


_YES: Final = frozenset(("true", "yes", "1"))


@dataclass(frozen=True, slots=True)
class Reading:
    """How exports are read and judged in this run."""

    options: ReaderOptions
    expired: OnExpired
    brands: frozenset[str]
    livemode: bool
    loopback_vault: bool
    customers: CustomerRules | None = None
    texts: CustomerTexts | None = None
    own_customers: bool = False
    lookalike_ids: OnLookalike = OnLookalike.REJECT
    expects: Expectations = field(default_factory=Expectations)
    profile: ExportProfile | None = None

    def profiled(self, profile: ExportProfile) -> Reading:
        """Give the same reading, watched by a profile."""
        options = replace(self.options, on_header=profile.see_header)
        return replace(self, options=options, profile=profile)

    def rules(self, as_of: date) -> Rules:
        """Give the rules for an export that is judged on that day."""
        return Rules(
            as_of=as_of,
            expired=self.expired,
            brands=self.brands,
            livemode=self.livemode,
            loopback_vault=self.loopback_vault,
            customers=self.customers,
            lookalike_ids=self.lookalike_ids,
        )


def judged_chunks(
    blocks: PlainBlocks,
    reading: Reading,
    as_of: date,
    alike: RowsAlike | None = None,
    tell_points: Callable[[ReadingPoints], None] | None = None,
    *,
    is_first: bool = False,
) -> Iterator[JudgedChunk]:
    """Read and judge an export to its last byte, so that it is proved when this ends.

    Args:
        blocks: One pass over the export's plain bytes.
        reading: How to read and judge them.
        as_of: The day on which expirations are judged.
        alike: Learns which rows are the same.
        tell_points: Told at the end where a later reading may begin.
        is_first: Whether the export was never read before (`reader.read`).

    Raises:
        ExportRefused: The export cannot be opened or read, or was changed.
    """
    rules = reading.rules(as_of)
    lookalikes = _Lookalikes()
    for chunk in _chunks(blocks, reading, tell_points, is_first=is_first):
        validated = validate(chunk, rules)
        if rules.lookalike_ids == OnLookalike.ALLOW:
            lookalikes.count(chunk, validated)
        if reading.profile is not None:
            reading.profile.add(chunk, validated, as_of)
        if alike is not None:
            alike.add(chunk.first_row, chunk.last_row, validated.cards)
        cards, unsafe = _customers_judged(planned_cards(validated.cards), reading)
        rejections = [*chunk.rejections, *validated.rejections, *unsafe]
        yield JudgedChunk(
            chunk.first_row, chunk.last_row, cards, rejections, chunk.left_out, chunk.remedies
        )
        # Copies inside the parser are out of reach.
        chunk.numbers.wipe()
        validated.cards.numbers.wipe()
        # Else they would be there until the next ones are: two chunks in memory, and not one.
        del chunk, validated, cards, rejections, unsafe
    # A reader that needs no more bytes leaves some; the proof needs every one.
    for _ in blocks:
        pass
    if rules.lookalike_ids == OnLookalike.ALLOW:
        lookalikes.refuse_columns_of_numbers()


class _Lookalikes:
    """How many ids of each column pass as card numbers by chance, of how many ids."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()

    def count(self, chunk: Chunk, validated: Validated) -> None:
        """Count a chunk's ids."""
        self._found.update(validated.lookalikes)
        for name, ids in chunk.columns.items():
            if is_id_column(name):
                self._ids[name] += len(ids) - ids.count("")

    def refuse_columns_of_numbers(self) -> None:
        """Refuse an export in which too many ids pass for it to be chance.

        Raises:
            ExportRefused: More than half of a column's ids do.
        """
        full = [name for name, found in self._found.items() if 2 * found > self._ids[name]]
        if full:
            names = ", ".join(name.removeprefix(CARRY_PREFIX) for name in sorted(full))
            raise ExportRefused(
                f"more than half of the ids pass as card numbers, which is no chance: {names}",
                next_step="Name another column of ids in `[export]`, or ask for an export with one.",
            )


def _chunks(
    blocks: PlainBlocks,
    reading: Reading,
    tell_points: Callable[[ReadingPoints], None] | None,
    *,
    is_first: bool,
) -> Iterator[Chunk]:
    """Give the rows as read; what an archive has against it is told before what its file has."""
    try:
        points = yield from read(blocks, reading.options, is_first=is_first)
    except ExportRefused:
        blocks.check_archive()
        raise
    if tell_points is not None:
        tell_points(points)


def planned_cards(cards: Cards) -> PlannedCards:
    """Give what the ledger keeps of valid cards."""
    columns = {
        name: values if isinstance(values, list) else values.tolist()
        for name, values in cards.columns.items()
    }
    carried = [name for name in columns if name.startswith(CARRY_PREFIX)]
    carries: Sequence[str | None] = [None] * len(cards)
    if carried:
        carries = _carried_texts(columns, carried)
    kept = ("legacy_id", "last_digits", "brand", "expiration_month", "expiration_year")
    lists = [columns[name] for name in kept]
    return PlannedCards([cards.rows.tolist(), *lists, carries, *_customers(columns, len(cards))])


def _customers_judged(
    cards: Sequence[PlannedCard], reading: Reading
) -> tuple[Sequence[PlannedCard], list[Rejection]]:
    """Give each card its customer, and reject those whose customer would show a card number."""
    if reading.own_customers:
        cards = [c if c.customer else c._replace(customer=own_customer(c.legacy_id)) for c in cards]
    texts = reading.texts
    if texts is None or not texts.put_together:
        return cards, []
    unsafe = {
        card.row
        for card in cards
        if texts.render_card_number(
            card.customer or "", card.legacy_id, orjson.loads(card.carry or "{}")
        )
    }
    rejections = [
        Rejection(c.row, Code.FIELD_CONTAINS_CARD_NUMBER, "metadata", c.legacy_id, c.last_digits)
        for c in cards
        if c.row in unsafe
    ]
    return [card for card in cards if card.row not in unsafe], rejections


def _customers(columns: Mapping[str, list[str]], count: int) -> list[list[Any]]:
    """Give each card's customer, existing customer and whether it is the default, or None."""
    nobody: list[Any] = [None] * count
    found = [
        [text or None for text in columns[name]] if name in columns else nobody
        for name in ("customer", "customer_id")
    ]
    if "is_default" not in columns:
        return [*found, nobody]
    rows = zip(columns["is_default"], columns["legacy_id"], strict=True)
    # Some exports give the customer's default card by its id, on every card's row.
    return [*found, [text.casefold() in _YES or text == legacy_id for text, legacy_id in rows]]


def _carried_texts(columns: Mapping[str, list[str]], carried: Sequence[str]) -> Sequence[str]:
    """Give what is carried of each row as JSON: an object of texts, in the order of the columns."""
    names = [name.removeprefix(CARRY_PREFIX) for name in carried]
    texts = [columns[name] for name in carried]
    if all(map(_needs_no_escape, texts)):
        keys = [orjson.dumps(name).decode() for name in names]
        if len(keys) == 1 and texts[0]:
            begin, end = f'{{{keys[0]}:"', '"}'
            return (begin + f"{end}\n{begin}".join(texts[0]) + end).split("\n")
        keys = [key.replace("%", "%%") for key in keys]
        form = "{" + ",".join([f'{key}:"%s"' for key in keys]) + "}"
        return [form % row for row in zip(*texts, strict=True)]
    rows = zip(*texts, strict=True)
    return [orjson.dumps(dict(zip(names, row, strict=True))).decode() for row in rows]


def _needs_no_escape(texts: Sequence[str]) -> bool:
    """Say whether texts stand in JSON as they are: printable, without quotes and backslashes."""
    joined = "".join(texts)
    return joined.isprintable() and '"' not in joined and "\\" not in joined
