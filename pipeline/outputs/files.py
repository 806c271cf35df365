"""Makes the bytes of every output from a ledger's rows; the caller says where they are written.

The publisher writes these bytes into files, the verifier compares files with them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
import pyarrow as pa

from pipeline.clock import timestamp
from pipeline.ledger.publications import MANIFEST_NAME, SIGNATURE_NAME
from pipeline.outputs.columns import CUSTOMERS, FAILURES, SUPERSEDED
from pipeline.outputs.csv_text import csv_block, csv_lines
from pipeline.outputs.figures import gather
from pipeline.outputs.manifest import manifest_bytes
from pipeline.outputs.mapping_part import mapping_part, mapping_table
from pipeline.outputs.parquet import row_groups, write_parquet
from pipeline.outputs.parquet_parts import Part, write_parts
from pipeline.outputs.report import REPORT_PAGE_NAME, render_report
from pipeline.outputs.trail import TRAIL_NAME, trail_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pipeline.ledger.parts_of_rows import PartOfRows
    from pipeline.ledger.second_process import SecondProcess
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.outputs.columns import Columns, PublishedTable
    from pipeline.outputs.parquet_parts import EarlierParts, EarlierSheet
    from pipeline.outputs.sinks import Sink

Blocks: TypeAlias = "Iterator[Sequence[tuple[Any, ...]]]"
"""Rows as the ledger gives them, a block at a time."""

RowsOf: TypeAlias = "Callable[[tuple[int, int]], Blocks]"
"""A question for the rows between two ids."""

MAPPING_NAME: Final = "mapping.parquet"
FAILURES_NAME: Final = "failures.parquet"
FAILURES_CSV_NAME: Final = "failures.csv"
CUSTOMERS_NAME: Final = "customers.parquet"
CUSTOMERS_CSV_NAME: Final = "customers.csv"
SUPERSEDED_NAME: Final = "superseded.parquet"
REPORT_NAME: Final = "report.json"


class Outputs:
    """Every output of a ledger, ready to be written, as one look at the ledger finds them.

    Args:
        look: A look at the ledger; one look, one state.
        version: Cardferry's version, for the files' metadata.
        signed_by: Fingerprint of the key that signs the manifest, or None.
        second: A process that may make parts of the mapping beside this one.
    """

    def __init__(
        self,
        look: Snapshot,
        version: str,
        signed_by: str | None = None,
        second: SecondProcess | None = None,
    ) -> None:
        self._look = look
        self._version = version
        self.history = look.publication_history()
        self._signed_by = signed_by
        self._second = second
        self._published: Mapping[str, Any] | None = None
        self._earlier: dict[str, EarlierParts] = {}
        self._earlier_sheets: dict[str, EarlierSheet] = {}
        self.tables_of_rows: dict[str, tuple[PublishedTable, Callable[[], Blocks]]] = {
            MAPPING_NAME: (mapping_table(look), look.mapped_rows),
            FAILURES_NAME: (FAILURES, look.failed_rows),
        }
        """What each Parquet file holds, and the question whose answer it is."""
        self._cut: dict[str, tuple[Callable[[], list[PartOfRows]], RowsOf]] = {
            MAPPING_NAME: (look.mapping_parts, look.mapped_rows),
            FAILURES_NAME: (look.failure_parts, look.failed_rows),
        }
        if next(iter(look.customer_rows()), ()):
            self.tables_of_rows[CUSTOMERS_NAME] = CUSTOMERS, look.customer_rows
        if next(iter(look.superseded_cards()), ()):
            self.tables_of_rows[SUPERSEDED_NAME] = SUPERSEDED, look.superseded_cards
        sheets = {FAILURES_CSV_NAME: FAILURES_NAME, CUSTOMERS_CSV_NAME: CUSTOMERS_NAME}
        self.sheets = {name: of for name, of in sheets.items() if of in self.tables_of_rows}
        """The CSV files, each with the Parquet file of the same rows."""
        made_of_rows: dict[str, Callable[[Sink], object]] = {
            **{name: partial(self._write_parquet, name) for name in self.tables_of_rows},
            **{name: partial(self._write_csv, of) for name, of in self.sheets.items()},
        }
        self.made_of_rows = frozenset(made_of_rows)
        """The files that tell of rows and of no run."""
        self.writers: dict[str, Callable[[Sink], object]] = {
            **made_of_rows,
            REPORT_NAME: self._write_report,
            REPORT_PAGE_NAME: self._write_report_page,
            TRAIL_NAME: self._write_trail,
        }
        """What writes each file, in the order in which the files take their names."""

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The report's figures."""
        names = (*self.writers, MANIFEST_NAME, *((SIGNATURE_NAME,) if self._signed_by else ()))
        return gather(self._look, self._version, names, self._signed_by, self._published)

    @cached_property
    def tables(self) -> dict[str, dict[str, int | str]]:
        """Rows and SHA-256 of the ledger's tables, without runs that outputs do not speak of."""
        return self._look.table_digests(self.history.epoch)

    def go_on_from(self, figures: Mapping[str, Any] | None) -> None:
        """Take what the report tells of rows from figures that were published of the same rows."""
        self._published = figures

    def is_cut(self, name: str) -> bool:
        """Tell whether a Parquet file is cut into parts that can be taken over."""
        return name in self._cut

    def take_parts_over(self, name: str, earlier: EarlierParts) -> None:
        """Take what did not change of a file from the one that was published last."""
        self._earlier[name] = earlier

    def take_sheet_over(self, of: str, earlier: EarlierSheet) -> None:
        """Take what did not change of the CSV file beside a file from the one published last."""
        self._earlier_sheets[of] = earlier

    def rows_of(self, name: str) -> Iterator[Columns]:
        """Give the rows of a Parquet file in blocks, each as its columns."""
        table, asked = self.tables_of_rows[name]
        return map(table.columns_of, asked())

    def row_groups_of(self, name: str) -> Iterator[pa.Table]:
        """Give the rows of a Parquet file as its row groups."""
        schema = self.tables_of_rows[name][0].schema
        if not self.is_cut(name):
            return row_groups(schema, self.rows_of(name))
        parts = self._parts(name)
        return chain.from_iterable(row_groups(schema, part.blocks()) for part in parts)

    def manifest(self, files: Mapping[str, tuple[int, str]]) -> bytes:
        """Give the manifest over files whose size and SHA-256 are known."""
        return manifest_bytes(
            self.figures,
            files,
            tables=self.tables,
            settings_digest=self._look.recall("settings_digest"),
            previous_manifest=self.history.previous_manifest,
        )

    def _metadata(self) -> dict[str, str]:
        """Give what a table's file says of its origin: nothing that a run without new rows changes."""
        runs, exports = self._look.runs(), self._look.exports()
        return {
            "cardferry.version": self._version,
            "cardferry.ledger": runs[0].run_id if runs else "",
            "cardferry.exports": ",".join(export.sha256 for export in exports),
        }

    def _parts(self, name: str) -> Iterator[Part]:
        """Give the parts of a file that is cut."""
        parts, rows_of = self._cut[name]
        table, _ = self.tables_of_rows[name]
        for part in parts():
            ids = part.first_id, part.last_id
            yield Part(part.sha256, ids, partial(_columns, table, rows_of, ids))

    def _write_parquet(self, name: str, target: Sink) -> None:
        table, _ = self.tables_of_rows[name]
        if self.is_cut(name):
            parts, earlier = list(self._parts(name)), self._earlier.get(name)
            made = self._made_by_turns if self._second and name == MAPPING_NAME else None
            write_parts(target, table.schema, parts, self._metadata(), earlier, made)
        else:
            write_parquet(target, table.schema, self.rows_of(name), self._metadata())

    def _made_by_turns(self, parts: Sequence[Part]) -> Iterator[bytes]:
        """Make parts of the mapping here and in the second process, if there is one."""
        assert self._second is not None  # noqa: S101 - only then it is asked for.
        return self._look.by_turns(self._second, mapping_part, [part.ids for part in parts])

    def _write_csv(self, of: str, target: Sink) -> None:
        table, earlier = self.tables_of_rows[of][0], self._earlier_sheets.get(of)
        if earlier is None:
            write_sheet(table, self.rows_of(of), target)
            return
        write_sheet(table, (), target)
        for part in self._parts(of):
            lines = earlier.lines(part.made_of)
            if lines is None:
                write_lines(table, part.blocks(), target)
            else:
                target.write(lines)

    def _write_report(self, target: Sink) -> None:
        target.write(report_bytes(self.figures))

    def _write_report_page(self, target: Sink) -> None:
        target.write(render_report(self.figures))

    def _write_trail(self, target: Sink) -> None:
        target.writelines(trail_lines(self._look.event_lines(self.history.length)))


OUTPUT_NAMES: Final = (
    MAPPING_NAME,
    FAILURES_NAME,
    FAILURES_CSV_NAME,
    REPORT_NAME,
    REPORT_PAGE_NAME,
    TRAIL_NAME,
)
"""The files that are there after every publication, and that the manifest answers for."""

OPTIONAL_NAMES: Final = (CUSTOMERS_NAME, SUPERSEDED_NAME, CUSTOMERS_CSV_NAME)
"""The files that are there once they have a row; the manifest answers for them, too."""


def write_failures_sheet(look: Snapshot, target: Sink) -> None:
    """Write the rows that are open as `failures.csv` has them."""
    write_sheet(FAILURES, map(FAILURES.columns_of, look.failed_rows()), target)


def write_sheet(table: PublishedTable, blocks: Iterable[Columns], target: Sink) -> None:
    """Write rows, in blocks, as a CSV file whose cells no spreadsheet runs."""
    target.write(csv_lines([table.schema.names]))
    write_lines(table, blocks, target)


def write_lines(table: PublishedTable, blocks: Iterable[Columns], target: Sink) -> None:
    """Write rows, in blocks, as lines of such a file."""
    moments = [pa.types.is_timestamp(column.type) for column in table.columns]
    for columns in blocks:
        target.write(
            csv_block(
                list(map(_moment_or_none, values)) if is_moment else values
                for values, is_moment in zip(columns, moments, strict=True)
            )
        )


def report_bytes(figures: Mapping[str, Any]) -> bytes:
    """Give `report.json`."""
    return orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _columns(table: PublishedTable, rows_of: RowsOf, ids: tuple[int, int]) -> Iterator[Columns]:
    return map(table.columns_of, rows_of(ids))


def _moment_or_none(value: Any) -> Any:
    return None if value is None else _moment(value)


def _moment(seconds: int) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
