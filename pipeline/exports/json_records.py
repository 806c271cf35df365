"""Reads JSON objects as records: a list of texts each, or what is wrong with it.

One object a line, or records somewhere in the objects (`json_paths`). A key that stands twice, or
more than 32 levels make the line malformed. Lines that all are plain objects are read many at a
time; any other lines one by one.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from pipeline.exports.csv_records import decoded, read_lines
from pipeline.exports.json_columns import DEPTH_MAX, PlainObjects, each_value, plain_objects
from pipeline.exports.json_fields import FieldReader, JsonFields, without_controls
from pipeline.exports.json_members import Members
from pipeline.exports.json_paths import RecordPath
from pipeline.exports.json_signs import COLON, COMMA, LINE_FEED, OBJECT, SignScanner
from pipeline.exports.records import KEY_TWICE, NO_OBJECT, NOT_PLAIN, TOO_LONG, Records, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.exports.json_paths import Chain
    from pipeline.exports.records import Record
    from pipeline.exports.text_lines import LineBatches


class _TooDeep(Exception):
    """Objects and lists stand in one another too deep."""


def json_records(batches: LineBatches, wanted: JsonFields, encoding: str) -> Iterator[Records]:
    """Give the fields of the records on each line, some lines at a time.

    Raises:
        ExportRefused: An object names a security code, track or PIN and they are refused, or no
            object has records where the settings look for them, or none names what every card has.
    """
    reader = FieldReader(wanted)
    path = RecordPath(wanted.steps)
    for batch in batches:
        if batch is None:
            yield Records.of([TOO_LONG], batches.at)
            continue
        plain = None if wanted.steps else _plain_lines(batch, encoding)
        columns = None if plain is None else reader.columns(plain)
        if columns is not None:
            yield replace(columns, begins_at=batches.at)
        else:
            yield Records.of(_each_line(batch, encoding, path, reader), batches.at)
    if not batches.has_gaps:
        # Only all records together tell, and told the first reading.
        path.refuse_leading_nowhere()
        reader.end()


def _plain_lines(batch: bytes, encoding: str) -> PlainObjects | None:
    """Parse lines of which each is one plain object, or give None."""
    raw = batch
    if codecs.lookup(encoding).name != "utf-8":
        text = decoded(batch, encoding)
        if text is None:
            return None
        raw = text.encode()
    if b"\x7f" in raw:
        # It may stand in a record of JSON, but not in a line of text.
        return None
    signs = SignScanner(of_lines=True).scan(raw)
    outside = signs.kinds[signs.depths == 0]
    lines = raw.count(b"\n")
    if np.count_nonzero(outside == LINE_FEED) != lines or (outside == COMMA).any():
        return None
    members = Members(
        raw[:-1].replace(b"\n", b","),
        colons=int(np.count_nonzero(signs.kinds == COLON)),
        objects=int(np.count_nonzero(signs.kinds == OBJECT)),
        depth=int(signs.depths.max(initial=0)),
    )
    plain = plain_objects(members)
    return plain if plain is not None and len(plain.objects) == lines else None


def _each_line(
    batch: bytes, encoding: str, path: RecordPath, reader: FieldReader
) -> Sequence[Record]:
    records: list[Record] = []
    for text, unread in _texts(batch, encoding) if batch.strip(b"\r\n") else ():
        found = unread or _object(text)
        if isinstance(found, dict):
            reader.look_for_codes(found)
            chains = list(path.records_in(found))
            first = next((chain for chain in chains if not isinstance(chain, str)), None)
            if first is not None:
                reader.see_first(first[0])
            records += _records(chains, text, path, reader)
        elif found is not None:
            records.append(found)
    return records


def _records(
    chains: Sequence[Chain | Unread], text: str, path: RecordPath, reader: FieldReader
) -> list[Record]:
    records = [chain if isinstance(chain, str) else reader.fields(chain) for chain in chains]
    if None in records:
        # Python refuses whole numbers of more than 4,300 digits, so none is made of any.
        exact = json.loads(text, parse_float=str, parse_int=str)
        chains = list(path.records_in(exact))
        records = [chain if isinstance(chain, str) else reader.fields(chain) for chain in chains]
    whole = [record or NOT_PLAIN for record in records]
    # Controls can only come in by an escape.
    return [without_controls(record) for record in whole] if "\\" in text else whole


def _texts(batch: bytes, encoding: str) -> list[tuple[str, Unread | None]]:
    text = decoded(batch, encoding)
    if text is not None:
        return [(line, None) for line in text[:-1].split("\n")]
    return [(line.text, line.unread) for line in read_lines(batch, encoding)]


def _object(text: str) -> dict[str, Any] | Unread | None:
    """Give a line's object, None for a blank line, or what is wrong with it."""
    if not text or text.isspace():
        return None
    try:
        found = orjson.loads(text)
    except ValueError:
        # The parsers' errors carry the whole line; they end here.
        return NO_OBJECT
    if not isinstance(found, dict):
        return NO_OBJECT
    try:
        # An escaped quote, or a key that orjson took the last of: worth the slower reader.
        return found if text.count('"') == _quotes(found) else _odd_object(text)
    except _TooDeep:
        return KEY_TWICE


def _odd_object(text: str) -> dict[str, Any] | Unread:
    try:
        values = each_value(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return NO_OBJECT
    found = values[0] if len(values) == 1 else None
    return found if isinstance(found, dict | Unread) else NO_OBJECT


def _quotes(value: dict[str, Any] | list[Any], depth: int = 0) -> int:
    """Count the quotes that an object or a list takes to write when no text has one in it."""
    if depth > DEPTH_MAX:
        raise _TooDeep
    values = value.values() if isinstance(value, dict) else value
    keys = len(value) if isinstance(value, dict) else 0
    kinds = list(map(type, values))
    quotes = 2 * (keys + kinds.count(str))
    if dict in kinds or list in kinds:
        inner = [one for one in values if isinstance(one, (dict, list))]
        quotes += sum([_quotes(one, depth + 1) for one in inner])
    return quotes
