"""Makes a part of the mapping out of a ledger's rows, in whichever process is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pipeline.outputs.columns import MAPPING
from pipeline.outputs.parquet import file_of_one_group

if TYPE_CHECKING:
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.outputs.columns import PublishedTable


def mapping_table(look: Snapshot) -> PublishedTable:
    """Give the mapping's columns, with those that it carries."""
    return MAPPING.carrying(orjson.loads(look.recall("carry") or "[]"))


def mapping_part(look: Snapshot, first_id: int, last_id: int) -> bytes:
    """Give a Parquet file with the rows of a part as its one group; empty where it has no rows.

    Args:
        look: A look at the ledger.
        first_id: The first id of a row that may be in the part.
        last_id: The last one.
    """
    table = mapping_table(look)
    blocks = map(table.columns_of, look.mapped_rows((first_id, last_id)))
    return file_of_one_group(table.schema, blocks)
