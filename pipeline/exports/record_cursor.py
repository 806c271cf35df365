"""Gives records by their row numbers, so many at once, and passes over those that nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.exports.reading_points import (
    ROWS_BETWEEN,
    NeededRows,
    PointsMisfit,
    ReadingPoint,
)
from pipeline.exports.records import Records, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.exports.text_lines import LineBatches


class RecordCursor:
    """Stands before a row of an export.

    Args:
        blocks: The records in order, some at a time.
        lines: The lines that they are read from, of which some may be passed over.
    """

    def __init__(self, blocks: Iterator[Records], lines: LineBatches) -> None:
        self._blocks = blocks
        self._lines = lines
        self._rest: Records | None = None
        self.row = 1
        """The row that comes next."""
        self.points: list[ReadingPoint] = []
        """Places at which a reading may begin, as they were come by."""

    def take(self, count: int) -> Records | None:
        """Give the next records, so many or what is left; None at the end."""
        taken: list[Records] = []
        wanted = count
        while wanted and (block := self._next_block(self.row + count - wanted)) is not None:
            if block.count > wanted:
                block, self._rest = block.split(wanted)
            wanted -= block.count
            taken.append(block)
        self.row += count - wanted
        return joined(taken) if wanted < count else None

    def go_to(self, row: int, needed: NeededRows) -> None:
        """Stand before a later row, and leave unread what can be left unread on the way.

        Raises:
            PointsMisfit: No row begins where one should.
        """
        if self._rest is None:
            # The first records tell how all are written.
            self._rest = self._next_block(self.row)
        read_to = self.row + (0 if self._rest is None else self._rest.count)
        point = needed.point_between(read_to, row)
        if point is not None:
            self._rest = self._block_at(point)
            self.row = point.row
        while self.row < row and self.take(min(row - self.row, ROWS_BETWEEN)) is not None:
            pass

    def _block_at(self, point: ReadingPoint) -> Records:
        self._lines.pass_over(point.at)
        for block in self._blocks:
            if block.begins_at is not None and block.begins_at >= point.at:
                if block.begins_at == point.at:
                    return block
                break
        raise PointsMisfit

    def _next_block(self, row: int) -> Records | None:
        """Give what was left of a block or the next one, which begins with that row."""
        if self._rest is not None:
            block, self._rest = self._rest, None
            return block
        found = next(self._blocks, None)
        if found is not None and found.begins_at is not None:
            self._note(ReadingPoint(row, found.begins_at))
        return found

    def _note(self, point: ReadingPoint) -> None:
        last = self.points[-1].row if self.points else 1
        if point.row - last >= ROWS_BETWEEN:
            self.points.append(point)
