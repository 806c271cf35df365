"""Makes chunks of records: columns of texts, with the card numbers beside them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pipeline.cards.optional_fields import optional_fields
from pipeline.cards.pan import PanColumn
from pipeline.cards.rows import Chunk
from pipeline.exports.card_fields import card_fields, other_layouts, without_cards
from pipeline.exports.columns import BLANKS, ReaderOptions
from pipeline.exports.head.encoding import encoding_of
from pipeline.exports.record_cursor import RecordCursor
from pipeline.exports.records import UNDECODABLE
from pipeline.exports.sealed_numbers import opening_numbers
from pipeline.model import Rejection

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pipeline.exports.reading_points import NeededRows, ReadingPoint
    from pipeline.exports.records import Records
    from pipeline.exports.sealed_numbers import NumberOpener
    from pipeline.exports.text_lines import TextLines

    Rows: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]


def chunks_of(
    records: Iterator[Records],
    places: dict[str, int],
    options: ReaderOptions,
    lines: TextLines,
    needed: NeededRows | None = None,
) -> Generator[Chunk, None, tuple[ReadingPoint, ...]]:
    """Give records as chunks of `options.chunk_rows` rows, the last one shorter.

    Args:
        records: What was read, in order, some at a time.
        places: Frame column to its place in a record.
        options: How rows become fields of cards.
        lines: The export, whose first bytes tell of an encoding that would fit.
        needed: Which rows are needed; chunks without any are left out. None: all.

    Returns:
        The places at which a later reading may begin.

    Raises:
        PointsMisfit: A place that was noted earlier is none of this text's.
    """
    encodings = _Encodings(lines)
    cursor = RecordCursor(records, lines.batches)
    key = options.number_key
    with opening_numbers(key) if key else nullcontext() as opener:
        while _is_needed(cursor, options.chunk_rows, needed):
            first_row = cursor.row
            some = cursor.take(options.chunk_rows)
            if some is None:
                break
            chunk = _chunk(some, first_row, places, options, opener)
            # Nothing here holds on to what whoever takes the chunk has done with.
            del some
            yield encodings.told(chunk)
            del chunk
    return tuple(cursor.points)


def _is_needed(cursor: RecordCursor, chunk_rows: int, needed: NeededRows | None) -> bool:
    """Go to the next chunk with a row that is needed; tell whether there is one."""
    if needed is None:
        return True
    row = needed.first_from(cursor.row)
    if row is None:
        return False
    before = (row - cursor.row) // chunk_rows * chunk_rows
    if before:
        cursor.go_to(cursor.row + before, needed)
    return True


def _chunk(
    records: Records,
    first_row: int,
    places: dict[str, int],
    options: ReaderOptions,
    opener: NumberOpener | None,
) -> Chunk:
    rejections = tuple(
        Rejection(first_row + place, str(unread), hint=unread.hint)
        for place, unread in records.unread.items()
    )
    rows: Rows = np.arange(first_row, first_row + records.count)
    if records.unread:
        rows = np.delete(rows, list(records.unread))
    raw = {
        name: _stripped(records, place) if records.columns else [] for name, place in places.items()
    }
    texts = card_fields(raw, options)
    remedies = {
        ("export.columns.expiration.format", layout): count
        for layout, count in other_layouts(raw, texts, options).items()
    }
    skipped = without_cards(texts, options)
    if skipped:
        rejections += tuple(Rejection(int(rows[place]), code) for place, code in skipped.items())
        rows = np.delete(rows, list(skipped))
        texts = {
            name: [text for place, text in enumerate(column) if place not in skipped]
            for name, column in texts.items()
        }
    texts, left_out = optional_fields(texts, options.optional_invalid)
    number_texts = texts.pop("number")
    numbers = PanColumn.from_texts(opener.opened(number_texts) if opener else number_texts)
    last_row = first_row + records.count - 1
    return Chunk(first_row, last_row, rows, texts, numbers, rejections, left_out, remedies)


def _stripped(records: Records, place: int) -> list[str]:
    texts = records.columns[place]
    return list(texts) if records.are_stripped else [text.strip(BLANKS) for text in texts]


class _Encodings:
    """Tells in which encoding the rows would be text that are none in the configured one."""

    def __init__(self, lines: TextLines) -> None:
        self._lines = lines
        self._named: str | None = None

    def told(self, chunk: Chunk) -> Chunk:
        """Give a chunk whose undecodable rows say which encoding to try."""
        undecodable = sum(rejection.code == UNDECODABLE for rejection in chunk.rejections)
        if undecodable and self._named is None:
            self._named = encoding_of(self._lines.head)[0]
        named = self._named
        if not undecodable or named is None or named == self._lines.encoding:
            return chunk
        hint = f'the bytes look like {named}: try `export.encoding = "{named}"`'
        rejections = tuple(
            replace(rejection, hint=hint) if rejection.code == UNDECODABLE else rejection
            for rejection in chunk.rejections
        )
        remedies = {**chunk.remedies, ("export.encoding", named): undecodable}
        return replace(chunk, rejections=rejections, remedies=remedies)
