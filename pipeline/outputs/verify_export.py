"""Compares an export that was opened again with the ledger's rows, up to the first that differs.

This is the one check that goes back to the source: whatever ledger, mapping and report say in
unison, the export's own rows must say it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.failure_codes import FAILURE_CODES, Code, Stage
from pipeline.hashing import hash_total, shown
from pipeline.ledger.ledger_url import LEDGER_NAME
from pipeline.ledger.listings import JUDGED
from pipeline.ledger.plan_records import STATES_UNSENT
from pipeline.model import RowState
from pipeline.outputs.verify_ledger import WHOLE, Difference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.ledger.plan_records import JudgedChunk
    from pipeline.ledger.snapshot import Snapshot

_NOT_OF_THE_ROW: Final = frozenset(
    {Code.LEGACY_ID_DUPLICATE, Code.REPEATED, Code.CUSTOMER_CONFLICT, Code.FILTERED}
)
"""Codes of rows that are valid alone."""
_SENT: Final = frozenset({Stage.TOKENIZE, Stage.ATTACH})
_CARD: Final = JUDGED[:5]
_REJECTION: Final = ("legacy_id", "last_digits", "state", "code", "field")


def compare_export(
    look: Snapshot, sha256: str, name: str, judged: Iterable[JudgedChunk]
) -> list[Difference]:
    """Compare an export with what the ledger says of it, row by row and in total.

    Args:
        look: A look at the ledger.
        sha256: The digest of the sealed export.
        name: The export's file name, for messages.
        judged: Its rows in order; read to the end only while nothing differs.

    Returns:
        The first difference, or nothing.
    """
    known = look.export(sha256)
    if known is None:
        return [Difference(name, WHOLE, "is not an export of this migration")]
    total, last_row = 0, 0
    for chunk in judged:
        difference = _chunk_difference(look, known.id, name, chunk)
        if difference is not None:
            return [difference]
        total = hash_total(total, (card.legacy_id for card in chunk.cards))
        total = hash_total(total, (r.legacy_id for r in chunk.rejections if r.legacy_id))
        last_row = chunk.last_row
    if (last_row, shown(total)) != (known.rows, known.legacy_id_sum):
        problem = "rows or hash total are not those of the export"
        return [Difference(LEDGER_NAME, f"export {name}", problem)]
    return []


def _chunk_difference(
    look: Snapshot, export_id: int, name: str, chunk: JudgedChunk
) -> Difference | None:
    found = look.judged_rows(export_id, chunk.first_row, chunk.last_row)
    wanted = _wanted(chunk)
    for row in range(chunk.first_row, chunk.last_row + 1):
        column = _column_that_differs(found.get(row), wanted.get(row))
        if column is not None:
            place = f"export {name}, row {row}, column {column}"
            return Difference(LEDGER_NAME, place, "is not what the export says")
    return None


def _wanted(chunk: JudgedChunk) -> dict[int, dict[str, Any]]:
    wanted: dict[int, dict[str, Any]] = {
        card.row: {column: getattr(card, column) for column in _CARD} for card in chunk.cards
    }
    for item in chunk.rejections:
        values = {column: getattr(item, column, None) for column in _REJECTION}
        card = {}
        if item.expiration is not None:
            month, year = item.expiration
            card = {"brand": item.brand, "expiration_month": month, "expiration_year": year}
        wanted[item.row] = values | card | {"state": STATES_UNSENT[item.code]}
    return wanted


def _column_that_differs(found: dict[str, Any] | None, wanted: dict[str, Any] | None) -> str | None:
    if found is None or wanted is None:
        return "id"
    if wanted.get("code") == Code.CARD_EXPIRED and found["state"] == RowState.ALREADY_TOKENIZED:
        # Known by its card: that it has expired since is no failure.
        wanted = wanted | {"state": found["state"], "code": None, "field": None}
    for column, value in wanted.items():
        if found[column] != value:
            return column
    code = found["code"]
    if "state" not in wanted and code is not None and code not in _NOT_OF_THE_ROW:
        # A card that is valid now cannot have been refused before it was sent.
        return None if FAILURE_CODES[code].stage in _SENT else "code"
    return None
