"""Numbers exports so that none of their rows' ids could be read as a card number."""

from __future__ import annotations

from itertools import count

from pipeline.cards.number_rules import holds_card_numbers
from pipeline.ledger.records import row_id


def next_export_id(newest: int) -> int:
    """Give the number of the export that comes next.

    Ids of rows are integers of 13 digits from export 100 on, and those of export 400, for one,
    begin as Visa's numbers of 13 digits do: `scan` would find one in ten of them in the ledger.
    Such numbers are passed over, because an exception in `scan` would hide real card numbers.

    Args:
        newest: The greatest number that was given; 0 where none was.
    """
    return next(
        export_id
        for export_id in count(newest + 1)
        if not holds_card_numbers(row_id(export_id, 0), row_id(export_id + 1, 0) - 1)
    )
