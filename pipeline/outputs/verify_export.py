"""An export that was opened again and the ledger's rows in, the first row that differs out.

This is the one check that goes back to the source: whatever ledger, mapping and report say in
unison, the export's own rows must say it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.hashing import hash_total, shown
from pipeline.ledger.ledger import LEDGER_NAME
from pipeline.ledger.schema import row_id
from pipeline.ledger.sqlite.streaming import blocks
from pipeline.model import FAILURE_CODES, RowState, Stage
from pipeline.outputs.differences import WHOLE, Difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.planning import PlannedCard
    from pipeline.model import Rejection

_DUPLICATE: Final = "legacy_id_duplicate"
_COLUMNS: Final = (
    "legacy_id",
    "last_digits",
    "brand",
    "expiration_month",
    "expiration_year",
    "state",
    "code",
    "field",
)
_CARD: Final = _COLUMNS[:5]
_REJECTION: Final = ("legacy_id", "last_digits", "state", "code", "field")


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """Consecutive rows of an export as reader and validator see them today."""

    first_row: int
    last_row: int
    cards: Sequence[PlannedCard]
    rejections: Sequence[Rejection]


def compare_export(
    connection: Connection, sha256: str, name: str, judged: Iterable[JudgedRows]
) -> list[Difference]:
    """Compare an export with what the ledger says of it, row by row and in total.

    Args:
        connection: A reading connection of the ledger.
        sha256: The digest of the sealed export.
        name: The export's file name, for messages.
        judged: Its rows in order; read to the end only while nothing differs.

    Returns:
        The first difference, or nothing.
    """
    known = connection.exec_driver_sql(
        "SELECT id, rows, legacy_id_sum FROM exports WHERE sha256 = ? AND state = 'planned'",
        (sha256,),
    ).first()
    if known is None:
        return [Difference(name, WHOLE, "is not an export of this migration")]
    export_id, rows, legacy_id_sum = known
    total, last_row = 0, 0
    for chunk in judged:
        difference = _chunk_difference(connection, export_id, name, chunk)
        if difference is not None:
            return [difference]
        total = hash_total(total, (card.legacy_id for card in chunk.cards))
        total = hash_total(total, (r.legacy_id for r in chunk.rejections if r.legacy_id))
        last_row = chunk.last_row
    if (last_row, shown(total)) != (rows, legacy_id_sum):
        problem = "rows or hash total are not those of the export"
        return [Difference(LEDGER_NAME, f"export {name}", problem)]
    return []


def _chunk_difference(
    connection: Connection, export_id: int, name: str, chunk: JudgedRows
) -> Difference | None:
    first, last = row_id(export_id, chunk.first_row), row_id(export_id, chunk.last_row)
    query = (
        f"SELECT id, {', '.join(_COLUMNS)} FROM rows "  # noqa: S608 - our own names and numbers.
        f"WHERE id BETWEEN {first} AND {last} ORDER BY id"
    )
    found = {
        row: dict(zip(_COLUMNS, values, strict=True))
        for block in blocks(connection, query)
        for row, *values in block
    }
    wanted = _wanted(export_id, chunk)
    for number in range(first, last + 1):
        column = _column_that_differs(found.get(number), wanted.get(number))
        if column is not None:
            place = f"export {name}, row {number - first + chunk.first_row}, column {column}"
            return Difference(LEDGER_NAME, place, "is not what the export says")
    return None


def _wanted(export_id: int, chunk: JudgedRows) -> dict[int, dict[str, Any]]:
    wanted: dict[int, dict[str, Any]] = {
        row_id(export_id, card.row): {column: getattr(card, column) for column in _CARD}
        for card in chunk.cards
    }
    for item in chunk.rejections:
        values = {column: getattr(item, column, None) for column in _REJECTION}
        wanted[row_id(export_id, item.row)] = values | {"state": RowState.REJECTED.value}
    return wanted


def _column_that_differs(found: dict[str, Any] | None, wanted: dict[str, Any] | None) -> str | None:
    if found is None or wanted is None:
        return "id"
    for column, value in wanted.items():
        if found[column] != value:
            return column
    code = found["code"]
    if "state" not in wanted and code is not None and code != _DUPLICATE:
        # A card that is valid now cannot have been refused before it was sent.
        return None if FAILURE_CODES[code].stage is Stage.TOKENIZE else "code"
    return None
