"""Makes a part of the mapping out of a ledger's rows, in whichever process is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.outputs.columns import MAPPING
from pipeline.outputs.parquet import file_of_one_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ledger.snapshot import Snapshot


def mapping_part(look: Snapshot, carried: Sequence[str], first_id: int, last_id: int) -> bytes:
    """Give a Parquet file with the rows of a part as its one group; empty where it has no rows.

    Args:
        look: A look at the ledger.
        carried: The columns that the mapping carries.
        first_id: The first id of a row that may be in the part.
        last_id: The last one.
    """
    table = MAPPING.carrying(carried)
    blocks = map(table.columns_of, look.mapped_rows((first_id, last_id)))
    return file_of_one_group(table.schema, blocks)
