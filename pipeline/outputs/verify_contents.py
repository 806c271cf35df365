"""Compares what unchanged files and a sound ledger say, row by row and total by total.

Digests prove that nothing was changed since publishing. This counts again what was published:
row by row against the ledger, then the totals, then the balance. Both are read in order, a row
group at a time. Only a file whose digest is right is read here: a Parquet reader is no place for
bytes that somebody has changed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import WRITTEN_BY_NOBODY, CardferryError
from pipeline.folder_files import open_in_folder, read_in_folder
from pipeline.hashing import hash_total, shown
from pipeline.ledger.ledger_url import LEDGER_NAME
from pipeline.ledger.outages import ServerLost
from pipeline.ledger.publications import MANIFEST_NAME
from pipeline.model import FAILURE_STATES
from pipeline.outputs.files import (
    FAILURES_NAME,
    MAPPING_NAME,
    REPORT_NAME,
    Outputs,
)
from pipeline.outputs.verify_ledger import WHOLE, Difference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.outputs.manifest import Manifest
    from pipeline.outputs.verify_ledger import SoundLedger

_SPACE: Final = 1 << 256


def content_differences(
    folder: Path, ledger: SoundLedger, manifest: Manifest, changed: set[str]
) -> Iterator[Difference]:
    """Compare what the ledger, the manifest and the files say.

    Args:
        folder: The migration folder.
        ledger: A ledger whose structure and chain hold.
        manifest: The manifest, as the ledger knows it.
        changed: Files whose digest is wrong; they are not opened.
    """
    yield from _trail_differences(ledger, manifest)
    read: dict[str, ParquetTotals] = {}
    try:
        outputs = Outputs(ledger.look, manifest.cardferry)
        read.update({n: ParquetTotals() for n in outputs.tables_of_rows if n not in changed})
        places = [_first_row_that_differs(folder / n, n, outputs, t) for n, t in read.items()]
        places.extend(_changed_tables(ledger, manifest))
    except ServerLost:
        # It says nothing of what is held there, and is waited for.
        raise
    except (CardferryError, OSError, pa.ArrowException, *WRITTEN_BY_NOBODY) as trouble:
        problem = f"holds what Cardferry never writes ({type(trouble).__name__})"
        yield Difference(LEDGER_NAME, WHOLE, problem)
        return
    found = [place for place in places if place]
    if found:
        yield Difference(LEDGER_NAME, found[0], "is not what was published")
    for name, totals in read.items():
        if not _adds_up(name, totals, manifest):
            yield Difference(name, "totals", "the rows do not add up to the manifest's totals")
    if not _balances(manifest):
        yield Difference(MANIFEST_NAME, "totals", "the balance is not zero")
    if REPORT_NAME not in changed and not _reported(folder, manifest):
        yield Difference(REPORT_NAME, "totals", "the numbers are not the manifest's")


def _trail_differences(ledger: SoundLedger, manifest: Manifest) -> Iterator[Difference]:
    """Compare the ledger's chain of events with the manifest's end of it."""
    history, chain = ledger.history, manifest.chain
    place = "chain of events"
    if (history.head, history.length) != (chain.head, chain.length):
        # A chain that was hashed anew from a forged event on holds in itself.
        yield Difference(LEDGER_NAME, place, "is not the one that was published")
    if not history.is_latest_in_place:
        problem = "does not say that the last publication came to its end"
        yield Difference(LEDGER_NAME, place, problem)


def _first_row_that_differs(
    path: Path, name: str, outputs: Outputs, totals: ParquetTotals
) -> str | None:
    table, _ = outputs.tables_of_rows[name]
    return compare_rows(path, table.schema, outputs.row_groups_of(name), totals)


def _changed_tables(ledger: SoundLedger, manifest: Manifest) -> list[str]:
    told = {name: table.model_dump() for name, table in manifest.ledger.items()}
    found = ledger.look.table_digests(ledger.history.epoch)
    return [f"table {name}" for name in found if found[name] != told.get(name)]


def _adds_up(name: str, totals: ParquetTotals, manifest: Manifest) -> bool:
    counted, hashed = manifest.totals, manifest.hash_totals
    if name not in {MAPPING_NAME, FAILURES_NAME}:
        return True
    if name == MAPPING_NAME:
        return (totals.legacy_ids, totals.rows) == (hashed["mapping"], manifest.mapped)
    resolved = manifest.resolved
    if any(totals.by_state[s] != counted[s] - resolved.get(s, 0) for s in FAILURE_STATES):
        return False
    return bool(totals.legacy_ids == hashed["failures"])


def _balances(manifest: Manifest) -> bool:
    """Work the balance out again: rows, and legacy ids as sums of hashes."""
    counted = {**manifest.totals}
    rows, difference = counted.pop("rows"), counted.pop("difference")
    hashed = {name: int(text, 16) for name, text in manifest.hash_totals.items()}
    read, ledger = hashed.pop("read"), hashed.pop("ledger")
    ids_balance = read == ledger == sum(hashed.values()) % _SPACE
    read_rows = sum(export.rows for export in manifest.exports)
    return ids_balance and difference == 0 and rows == read_rows == sum(counted.values())


def _reported(folder: Path, manifest: Manifest) -> bool:
    figures = orjson.loads(read_in_folder(folder / REPORT_NAME))
    names = {
        "balance": "totals",
        "hash_totals": "hash_totals",
        "unseen_tokens_max": "unseen_tokens_max",
    }
    return all(figures[here] == getattr(manifest, there) for here, there in names.items())


class ParquetTotals:
    """What one published file adds up to, counted while it was compared."""

    def __init__(self) -> None:
        self.rows = 0
        self.by_state: defaultdict[str, int] = defaultdict(int)
        self._legacy_ids = 0

    @property
    def legacy_ids(self) -> str:
        """The hash total over the legacy ids."""
        return shown(self._legacy_ids)

    def add(self, group: pa.Table) -> None:
        """Count a row group."""
        self.rows += group.num_rows
        if "legacy_id" not in group.column_names:
            return
        if "stage" in group.column_names:
            # A row that has its token, and so a card, failed on the way to a customer: it is counted
            # among the tokens. The stage does not tell: a customer may be refused before a token.
            group = group.filter(pc.field("card_id").is_null())
        ids = group.column("legacy_id").drop_null().to_pylist()
        self._legacy_ids = hash_total(self._legacy_ids, ids)
        if "state" in group.column_names:
            for entry in group.column("state").value_counts().to_pylist():
                self.by_state[entry["values"]] += entry["counts"]


def compare_rows(
    path: Path,
    schema: pa.Schema,
    wanted: Iterator[pa.Table],
    totals: ParquetTotals,
) -> str | None:
    """Compare a published file with the ledger's rows.

    Args:
        path: The Parquet file; its digest has been checked.
        schema: The columns that it should have.
        wanted: The row groups that it should hold, as the publisher makes them of the ledger.
        totals: Where what the file holds is added up, also beyond the first difference.

    Returns:
        The place of the first difference, or None.
    """
    with open_in_folder(path) as source, pq.ParquetFile(source) as file:
        place = None if file.schema_arrow.equals(_as_stored(schema)) else "the columns"
        for number in range(file.num_row_groups):
            found = file.read_row_group(number)
            totals.add(found)
            if place is None:
                place = _difference(found.cast(schema), next(wanted, None))
    if place is None and next(wanted, None) is not None:
        return f"after row {totals.rows}, where rows are missing"
    return place


def _as_stored(schema: pa.Schema) -> pa.Schema:
    """Give the types as Parquet keeps them: it knows no moments coarser than milliseconds."""
    for place, field in enumerate(schema):
        if pa.types.is_timestamp(field.type):
            schema = schema.set(place, field.with_type(pa.timestamp("ms", tz=field.type.tz)))
    return schema


def _difference(found: pa.Table, wanted: pa.Table | None) -> str | None:
    if wanted is not None and found.equals(wanted):
        return None
    if wanted is None or not found.num_rows:
        return "rows that should not be there"
    rows = min(found.num_rows, wanted.num_rows)
    first = rows, ""
    for name in wanted.column_names:
        same = pc.equal(
            found.column(name).slice(0, rows).combine_chunks(),
            wanted.column(name).slice(0, rows).combine_chunks(),
        )
        both_null = pc.and_(
            found.column(name).slice(0, rows).is_null(),
            wanted.column(name).slice(0, rows).is_null(),
        ).combine_chunks()
        differs = pc.index(pc.or_(pc.fill_null(same, fill_value=False), both_null), value=False)
        at = differs.as_py()
        if 0 <= at < first[0]:
            first = at, name
    at, column = first
    if not column:
        return f"after {_source(found, rows - 1)}, where one has more rows"
    return f"{_source(wanted, at)}, column {column}"


def _source(table: pa.Table, place: int) -> str:
    """Name a row as an operator finds it: by its export's row number, or else by its place."""
    if "source_row" not in table.column_names:
        return f"row {place + 1} of its row group"
    return f"source row {table.column('source_row')[place].as_py()}"
