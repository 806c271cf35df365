"""Reads the plain bytes of an export as chunks of rows: texts, with the card numbers beside them.

A row that cannot be read is a row with a problem, never an exception and never a lost row: it
takes a row number and a rejection. Chunks are cut at fixed row counts and do not depend on how the
bytes came. Nothing that a parser says about a row leaves this stage.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import texts_containing_pan
from pipeline.config.policies import OnSecurityCode
from pipeline.errors import ExportRefused
from pipeline.exports.chunks import chunks_of
from pipeline.exports.columns import (
    ReaderOptions,
    code_columns,
    column_places,
    refuse_mapped_security_codes,
    suspect_places,
)
from pipeline.exports.csv_dialect import Dialect, read_fields
from pipeline.exports.csv_records import csv_records, decoded
from pipeline.exports.head.encoding import encoding_of
from pipeline.exports.json_paths import EACH, FieldPath
from pipeline.exports.reading_points import ReadingPoints, digest_of
from pipeline.exports.text_lines import LineBatches, TextLines, begins_as_json, in_utf8, text_lines

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from pipeline.cards.rows import Chunk
    from pipeline.exports.reading_points import NeededRows
    from pipeline.exports.records import Records
    from pipeline.exports.security_code_values import CodeColumns


_ROWS_AN_ELEMENT_MAX: Final = 64
"""Rows that one customer of a document may have, if each is as long as a row may be."""

_SEPARATOR_LINE: Final = re.compile(rb"\"?sep=(.)\"?[ ,;\t]*\r?\n", re.IGNORECASE)


def read(
    blocks: Iterable[bytes],
    options: ReaderOptions,
    needed: NeededRows | None = None,
    *,
    is_first: bool = False,
) -> Generator[Chunk, None, ReadingPoints]:
    """Read an export, chunk by chunk.

    Args:
        blocks: The plain bytes in order, cut anywhere.
        options: Columns, format and limits.
        needed: Which rows of an export that was read before are needed; None: all.
        is_first: Whether the export was never read before: then it is judged whether the records of
            JSON name what every card has, as it is of each header.

    Returns:
        The places at which a later reading may begin.

    Raises:
        ExportRefused: There is no usable header, no record of JSON names what every card has, or the
            export holds security codes. Raised while iterating; what the blocks themselves raise
            comes through.
        PointsMisfit: While iterating: a place in `needed` is none of this text's.
    """
    lines = text_lines(blocks, options.encoding, options.row_bytes_max)
    if not lines.starts_with and not options.header:
        return ReadingPoints("")
    form = _form(lines, options)
    reader = digest_of(options)
    options = options if form == "csv" else options.as_json or options
    codes = code_columns(options)
    if form == "csv":
        records, places = _csv(lines, options, codes)
    else:
        records, places = _json(lines, options, form, codes, is_first=is_first)
    points = yield from chunks_of(records, places, options, lines, needed)
    return ReadingPoints(reader, points)


def _csv(
    lines: TextLines, options: ReaderOptions, codes: CodeColumns
) -> tuple[Iterator[Records], dict[str, int]]:
    header = _header(lines, options)
    places = column_places(header, options)
    dialect = Dialect(
        options.delimiter,
        lines.encoding,
        len(header),
        options.row_bytes_max,
        options.quoting,
        options.multiline,
    )
    records = csv_records(lines.batches, dialect)
    suspects = suspect_places(header, codes, options)
    if suspects:
        records = _without_codes(records, suspects, codes, lines.batches)
    return records, places


def _without_codes(
    records: Iterator[Records],
    suspects: Mapping[int, str],
    codes: CodeColumns,
    batches: LineBatches,
) -> Iterator[Records]:
    """Give records on as long as no suspect column of theirs holds security codes."""
    for some in records:
        for place, name in suspects.items() if some.columns else ():
            codes.look(name, some.columns[place], place)
        yield some
    if not batches.has_gaps:
        # Only all rows together tell, and told the first reading.
        codes.check()


def _json(
    lines: TextLines, options: ReaderOptions, form: str, codes: CodeColumns, *, is_first: bool
) -> tuple[Iterator[Records], dict[str, int]]:
    # Their parsers are loaded for those who have JSON.
    from pipeline.exports.json_documents import document_records  # noqa: PLC0415
    from pipeline.exports.json_fields import JsonFields, document_fields  # noqa: PLC0415
    from pipeline.exports.json_names import RequiredNames  # noqa: PLC0415
    from pipeline.exports.json_records import json_records  # noqa: PLC0415

    refuse_mapped_security_codes(options)
    wanted = options.wanted()
    _refuse_climbing_too_far(wanted.values(), options, form)
    places = {name: place for place, name in enumerate(wanted)}
    is_array = lines.starts_with[:1] == b"["
    path = options.records or (EACH if form == "json" and is_array else "")
    fields = JsonFields(
        tuple(wanted.values()),
        tuple(source for source in wanted.values() if source not in options.carry),
        tuple(path.split(".")) if path else (),
        codes if options.security_code_column == OnSecurityCode.REFUSE else None,
        partial(_noted, places=places, options=options),
        RequiredNames(options) if is_first else None,
    )
    if form == "jsonl":
        return json_records(lines.batches, fields, lines.encoding), places
    element_bytes_max = options.row_bytes_max * _ROWS_AN_ELEMENT_MAX
    found = document_records(in_utf8(lines), fields.steps, element_bytes_max)
    return document_fields(found, fields), places


def _noted(names: list[str], places: dict[str, int], options: ReaderOptions) -> list[str]:
    """Tell the profile which fields the first record has, and give those to be read besides."""
    if options.on_header is None or any(texts_containing_pan(names)):
        return []
    found = options.on_header(names, set(options.wanted().values()))
    sources = [names[place] for place in found.values()]
    places |= {name: place for place, name in enumerate(found, len(places))}
    return sources


def _refuse_climbing_too_far(sources: Iterable[str], options: ReaderOptions, form: str) -> None:
    """Refuse columns that lead out of all objects around a record, where nothing can stand.

    Raises:
        ExportRefused: A column has more `..` than there are objects around a record.
    """
    steps = options.records.split(".") if options.records else []
    if form == "json" and EACH in steps:
        # Of a document that may be larger than memory, what is above its members is not kept.
        steps = steps[steps.index(EACH) + 1 :]
    outer = sum(step != EACH for step in steps)
    too_far = sorted({source for source in sources if FieldPath.parse(source).climbs > outer})
    if too_far:
        raise ExportRefused(
            f"the settings look for {', '.join(f'`{source}`' for source in too_far)} above the "
            f"records, around which there are {outer} object(s) that can be read",
            next_step="Correct `[export.columns]` or `export.records`; above the first `*` of a "
            "document nothing can be read.",
        )


def _form(lines: TextLines, options: ReaderOptions) -> str:
    """Tell CSV, JSON lines and a JSON document apart by their beginning."""
    if not lines.starts_with and options.format in {None, "csv"}:
        raise ExportRefused(
            "the export is empty: it has not even a header",
            next_step="Ask for the export again; one without cards still names its columns.",
        )
    if options.format is not None:
        return options.format
    if not begins_as_json(lines.starts_with):
        return "csv"
    if lines.starts_with[:1] == b"[":
        return "json"
    # A document over several lines does not end with its first.
    return "jsonl" if lines.first_line.endswith(b"}") else "json"


def _header(lines: TextLines, options: ReaderOptions) -> list[str]:
    """Give the fields of the first line that is not blank; the batches go on after it."""
    for batch in lines.batches:
        if batch is None:
            break
        start = len(batch) - len(batch.lstrip(b"\r\n"))
        while start < len(batch):
            end = batch.index(b"\n", start) + 1
            line = batch[start:end]
            if _names_delimiter(line, options):
                start = end
                continue
            if line.strip():
                fields = _header_fields(line, lines, options)
                if not options.header:
                    fields = [str(place) for place in range(1, len(fields) + 1)]
                rest = batch[end if options.header else start :]
                lines.batches.give_again(rest, len(batch))
                return fields
            start = end
    raise ExportRefused(
        "the export's header is missing or longer than any row may be",
        next_step="Ask for an export whose first line names the columns.",
    )


def _names_delimiter(line: bytes, options: ReaderOptions) -> bool:
    """Tell a spreadsheet's own first line, such as `sep=;`, which is no header.

    Raises:
        ExportRefused: It names another delimiter than the settings do.
    """
    found = _SEPARATOR_LINE.fullmatch(line)
    if found is None:
        return False
    if found[1] != options.delimiter.encode("utf-8", "replace"):
        raise ExportRefused(
            "the export's first line, `sep=`, names another delimiter than the settings",
            next_step="Set `export.delimiter` to the sign that stands behind `sep=`.",
        )
    return True


def _header_fields(line: bytes, lines: TextLines, options: ReaderOptions) -> list[str]:
    text = decoded(line, lines.encoding, allowed=options.delimiter)
    try:
        if text is not None:
            return next(read_fields([text], options.delimiter, options.quoting))
    except csv.Error:
        pass  # The parser's message is not ours to repeat.
    named = encoding_of(lines.head)[0]
    looks = f'Its bytes look like {named}: try `export.encoding = "{named}"`. '
    raise ExportRefused(
        "the export's header is no line of text fields",
        next_step=(looks if named != lines.encoding else "")
        + "Check `export.encoding` and `export.delimiter`, or ask for the export again.",
    )
