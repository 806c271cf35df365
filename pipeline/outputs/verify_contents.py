"""Compares what unchanged files and a sound ledger say, row by row and total by total.

Digests prove that nothing was changed since publishing. This counts again what was published:
row by row against the ledger, then the totals, then the balance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.errors import CardferryError
from pipeline.ledger.store import LEDGER_NAME
from pipeline.model import FAILURE_STATES
from pipeline.outputs.differences import WHOLE, Difference
from pipeline.outputs.files import (
    FAILURES_NAME,
    FAILURES_SCHEMA,
    MAPPING_NAME,
    REPORT_NAME,
    Outputs,
)
from pipeline.outputs.manifest import MANIFEST_NAME
from pipeline.outputs.row_check import ParquetTotals, compare_rows
from pipeline.outputs.verify_ledger import WRITTEN_BY_NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.outputs.verify_ledger import SoundLedger

_SPACE: Final = 1 << 256
_NOT_PUBLISHED: Final = "is not what was published"


def content_differences(
    folder: Path, ledger: SoundLedger, manifest: dict[str, Any], changed: set[str]
) -> Iterator[Difference]:
    """Compare what the ledger, the manifest and the files say.

    Args:
        folder: The migration folder.
        ledger: A ledger whose structure and chain hold.
        manifest: The manifest, as the ledger knows it.
        changed: Files whose digest is wrong; they are not opened.
    """
    read = {name: ParquetTotals() for name in (MAPPING_NAME, FAILURES_NAME) if name not in changed}
    try:
        outputs = Outputs(ledger.look, manifest["cardferry"])
        places = [_first_row_that_differs(folder / n, n, outputs, t) for n, t in read.items()]
        places.extend(_changed_tables(ledger, manifest))
    except (CardferryError, *WRITTEN_BY_NOBODY) as trouble:
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


def _first_row_that_differs(
    path: Path, name: str, outputs: Outputs, totals: ParquetTotals
) -> str | None:
    if name == MAPPING_NAME:
        return compare_rows(path, outputs.mapping_schema, outputs.mapping_blocks(), totals)
    return compare_rows(path, FAILURES_SCHEMA, outputs.failure_blocks(), totals)


def _changed_tables(ledger: SoundLedger, manifest: dict[str, Any]) -> list[str]:
    told = manifest["ledger"]
    found = ledger.look.table_digests()
    return [f"table {name}" for name in found if found[name] != told.get(name)]


def _adds_up(name: str, totals: ParquetTotals, manifest: dict[str, Any]) -> bool:
    counted, hashed = manifest["totals"], manifest["hash_totals"]
    if name == MAPPING_NAME:
        return (totals.legacy_ids, totals.rows) == (hashed["mapping"], manifest["mapped"])
    if any(totals.by_state[state] != counted[state] for state in FAILURE_STATES):
        return False
    return bool(totals.legacy_ids == hashed["failures"])


def _balances(manifest: dict[str, Any]) -> bool:
    """Work the balance out again: rows, and legacy ids as sums of hashes."""
    counted = {**manifest["totals"]}
    rows, difference = counted.pop("rows"), counted.pop("difference")
    hashed = {name: int(text, 16) for name, text in manifest["hash_totals"].items()}
    read, ledger = hashed.pop("read"), hashed.pop("ledger")
    ids_balance = read == ledger == sum(hashed.values()) % _SPACE
    read_rows = sum(export["rows"] for export in manifest["exports"])
    return ids_balance and difference == 0 and rows == read_rows == sum(counted.values())


def _reported(folder: Path, manifest: dict[str, Any]) -> bool:
    figures = orjson.loads((folder / REPORT_NAME).read_bytes())
    names = {
        "balance": "totals",
        "hash_totals": "hash_totals",
        "unseen_tokens_max": "unseen_tokens_max",
    }
    return all(figures[here] == manifest[there] for here, there in names.items())
