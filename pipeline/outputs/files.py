"""Makes the bytes of every output from a ledger's rows; where they go is the caller's affair.

The publisher writes these bytes into files, the verifier compares files with them.
"""

from __future__ import annotations

import csv
import io
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from pipeline.ledger.listings import MAPPED
from pipeline.model import FAILURE_CODES
from pipeline.outputs.figures import gather
from pipeline.outputs.manifest import MANIFEST_NAME, manifest_bytes
from pipeline.outputs.parquet import write_parquet
from pipeline.outputs.report import REPORT_PAGE_NAME, render_report
from pipeline.outputs.trail import TRAIL_NAME, trail_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pipeline.ledger.snapshot import Snapshot
    from pipeline.outputs.sinks import Sink

MAPPING_NAME: Final = "mapping.parquet"
FAILURES_NAME: Final = "failures.parquet"
FAILURES_CSV_NAME: Final = "failures.csv"
REPORT_NAME: Final = "report.json"

MAPPING_SCHEMA: Final = pa.schema(
    [
        pa.field("legacy_id", pa.string(), nullable=False),
        pa.field("token_id", pa.string(), nullable=False),
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("customer_id", pa.string()),
        pa.field("brand", pa.string(), nullable=False),
        pa.field("last_digits", pa.string(), nullable=False),
        pa.field("expiration_month", pa.int8(), nullable=False),
        pa.field("expiration_year", pa.int16(), nullable=False),
        pa.field("fingerprint", pa.string()),
        pa.field("livemode", pa.bool_(), nullable=False),
        pa.field("created_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("customer_origin", pa.string()),
        pa.field("is_default", pa.bool_()),
    ]
)
"""The mapping's columns (the contract's *Migration folder*); carried columns follow."""

FAILURES_SCHEMA: Final = pa.schema(
    [
        pa.field("legacy_id", pa.string()),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("field", pa.string()),
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("last_digits", pa.string()),
        pa.field("vault_code", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("customer_id", pa.string()),
        pa.field("card_id", pa.string()),
        pa.field("hint", pa.string()),
    ]
)
"""The failure report's columns."""

_LIVEMODE, _IS_DEFAULT = MAPPED.index("livemode"), MAPPED.index("is_default")
_RUNS_IN_SHEETS: Final = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""First characters that make a spreadsheet run a cell (OWASP ASVS 1.2.10).

The last four are the full-width forms of the first four, which some locales take for them.
"""


class Outputs:
    """Every output of a ledger, ready to be written, as one look at the ledger finds them.

    Args:
        look: A look at the ledger; one look, one state.
        version: Cardferry's version, for the files' metadata.
    """

    def __init__(self, look: Snapshot, version: str) -> None:
        self._look = look
        self._version = version
        self.account = look.account()
        self._carried = list(orjson.loads(look.recall("carry") or "[]"))
        self.writers: dict[str, Callable[[Sink], object]] = {
            MAPPING_NAME: self._write_mapping,
            FAILURES_NAME: self._write_failures,
            FAILURES_CSV_NAME: self._write_failures_csv,
            REPORT_NAME: self._write_report,
            REPORT_PAGE_NAME: self._write_report_page,
            TRAIL_NAME: self._write_trail,
        }
        """What writes each file, in the order in which the files take their names."""

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The report's figures."""
        return gather(self._look, self._version)

    @cached_property
    def tables(self) -> dict[str, dict[str, int | str]]:
        """Rows and SHA-256 of the ledger's tables."""
        return self._look.table_digests()

    @property
    def mapping_schema(self) -> pa.Schema:
        """The mapping's columns with the carried ones."""
        schema = MAPPING_SCHEMA
        for name in self._carried:
            schema = schema.append(pa.field(name, pa.string()))
        return schema

    def mapping_blocks(self) -> Iterator[Iterator[tuple[Any, ...]]]:
        """Give the mapping's rows as tuples, in blocks."""
        for block in self._look.mapped_rows():
            yield _mapping_tuples(block, self._carried)

    def failure_blocks(self) -> Iterator[Iterator[tuple[Any, ...]]]:
        """Give the failure report's rows as tuples, in blocks."""
        return map(_failure_tuples, self._look.failed_rows())

    def manifest(self, files: Mapping[str, tuple[int, str]]) -> bytes:
        """Give the manifest over files whose size and SHA-256 are known."""
        return manifest_bytes(
            self.figures,
            files,
            tables=self.tables,
            settings_digest=self._look.recall("settings_digest"),
            previous_manifest=self.account.previous_manifest,
        )

    def _metadata(self) -> dict[str, str]:
        runs, exports = self._look.runs(), self._look.exports()
        return {
            "cardferry.version": self._version,
            "cardferry.runs": ",".join(run.run_id for run in runs),
            "cardferry.exports": ",".join(export.sha256 for export in exports),
        }

    def _write_mapping(self, target: Sink) -> None:
        write_parquet(target, self.mapping_schema, self.mapping_blocks(), self._metadata())

    def _write_failures(self, target: Sink) -> None:
        write_parquet(target, FAILURES_SCHEMA, self.failure_blocks(), self._metadata())

    def _write_failures_csv(self, target: Sink) -> None:
        target.write(_csv_lines([FAILURES_SCHEMA.names]))
        for block in self.failure_blocks():
            target.write(_csv_lines([_cell(value) for value in row] for row in block))

    def _write_report(self, target: Sink) -> None:
        target.write(report_bytes(self.figures))

    def _write_report_page(self, target: Sink) -> None:
        target.write(render_report(self.figures))

    def _write_trail(self, target: Sink) -> None:
        target.writelines(trail_lines(self._look.event_lines(self.account.length)))


OUTPUT_NAMES: Final = (
    MAPPING_NAME,
    FAILURES_NAME,
    FAILURES_CSV_NAME,
    REPORT_NAME,
    REPORT_PAGE_NAME,
    TRAIL_NAME,
)
"""The files that the manifest answers for."""

PUBLISHED_NAMES: Final = (*OUTPUT_NAMES, MANIFEST_NAME)


def report_bytes(figures: Mapping[str, Any]) -> bytes:
    """Give `report.json`."""
    return orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _mapping_tuples(
    block: Sequence[Sequence[Any]], carried: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    # Column by column, as row by row it takes twice as long.
    *columns, carries = zip(*block, strict=True)
    columns[_LIVEMODE] = tuple(value == 1 for value in columns[_LIVEMODE])
    columns[_IS_DEFAULT] = tuple(v if v is None else v == 1 for v in columns[_IS_DEFAULT])
    if carried:
        known = [orjson.loads(carry) if carry else {} for carry in carries]
        columns += (tuple(values.get(name) for values in known) for name in carried)
    return zip(*columns, strict=True)


def _failure_tuples(block: Iterable[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    for legacy_id, name, row, code, field, state, *rest in block:
        kind = FAILURE_CODES[code]
        yield (legacy_id, name, row, kind.stage.value, code, field, kind.retryable, state, *rest)


def _csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    # RFC 4180 ends lines with CR LF; Python then quotes a lone CR in a value, too.
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_RUNS_IN_SHEETS):
        return "'" + value
    return value
