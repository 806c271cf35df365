"""Reads JSON objects as records: a list of texts each, or what is wrong with it.

One object a line, or records somewhere in the objects (`json_paths`). A source column is a key, or
a dotted path into nested objects; a key that is not there is an empty field. A number keeps its
digits, null is empty; a list or an object in the place of a field, a key that stands twice, or more
than 32 levels make the line malformed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.exports.csv_records import decoded, read_lines
from pipeline.exports.json_paths import FieldPath, RecordPath
from pipeline.exports.records import (
    KEY_TWICE,
    NO_OBJECT,
    NOT_PLAIN,
    TOO_LONG,
    WITH_CONTROLS,
    Record,
    Records,
    Unread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.exports.json_paths import Chain
    from pipeline.exports.security_code_values import CodeColumns

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DEPTH_MAX: Final = 32
_RECORDS_AT_ONCE: Final = 1000
_LITERALS: Final = {None: "", True: "true", False: "false"}


class _NotARow(Exception):
    """A key stands twice in one object, or objects stand in one another too deep."""


@dataclass(frozen=True, slots=True)
class JsonFields:
    """Which fields each record has, and what no object may name.

    Attributes:
        sources: Their paths, in the order of a record's texts.
        mapped: Those of them that the settings map to a field, not only carry.
        steps: The path from a line, or from the document, to the records.
        codes: Checks the keys that are named like security codes, unless they are dropped.
        on_first: Told the paths of the first record's fields; gives more sources to be read.
    """

    sources: tuple[str, ...]
    mapped: tuple[str, ...]
    steps: tuple[str, ...]
    codes: CodeColumns | None
    on_first: Callable[[list[str]], Sequence[str]] = lambda _names: ()

    def paths_with(self, first: dict[str, Any]) -> list[FieldPath]:
        """Give the paths of all sources, once the first record is there."""
        return [FieldPath.parse(s) for s in (*self.sources, *self.on_first(_names_in(first)))]


def json_records(
    batches: Iterator[bytes | None], wanted: JsonFields, encoding: str
) -> Iterator[Records]:
    """Give the fields of the records on each line, some lines at a time.

    Raises:
        ExportRefused: An object names a security code, track or PIN and they are refused, or no
            object has records where the settings look for them.
    """
    paths: list[FieldPath] = []
    allowed = _allowed(wanted)
    path = RecordPath(wanted.steps)
    for batch in batches:
        if batch is None:
            yield Records.of([TOO_LONG])
            continue
        records: list[Record] = []
        for text, unread in _texts(batch, encoding) if batch.strip(b"\r\n") else ():
            found = unread or _object(text)
            if isinstance(found, dict):
                if wanted.codes is not None:
                    _look_for_codes(found, allowed, wanted.codes)
                chains = list(path.records_in(found))
                paths = paths or _paths(chains, wanted)
                records += _records(chains, text, path, paths)
            elif found is not None:
                records.append(found)
        yield Records.of(records)
    path.refuse_leading_nowhere()
    if wanted.codes is not None:
        wanted.codes.check()


def document_fields(found: Iterator[Chain | Unread], wanted: JsonFields) -> Iterator[Records]:
    """Give the fields of a document's records, some at a time.

    Raises:
        ExportRefused: An object names a security code, track or PIN and they are refused.
    """
    paths: list[FieldPath] = []
    allowed = _allowed(wanted)
    outermost: dict[str, Any] | None = None
    while some := list(islice(found, _RECORDS_AT_ONCE)):
        records: list[Record] = []
        for chain in some:
            if isinstance(chain, str):
                records.append(chain)
                continue
            if wanted.codes is not None and chain[-1] is not outermost:
                outermost = chain[-1]
                _look_for_codes(outermost, allowed, wanted.codes)
            paths = paths or wanted.paths_with(chain[0])
            records.append(_without_controls(_fields(chain, paths) or NOT_PLAIN))
        yield Records.of(records)
    if wanted.codes is not None:
        wanted.codes.check()


def _allowed(wanted: JsonFields) -> frozenset[str]:
    """Give the last keys of the mapped paths, which hold what the settings say."""
    return frozenset(
        key for source in wanted.mapped for key in (source.lstrip("."), source.rpartition(".")[2])
    )


def _paths(chains: Sequence[Chain | Unread], wanted: JsonFields) -> list[FieldPath]:
    first = next((chain for chain in chains if not isinstance(chain, str)), None)
    return wanted.paths_with(first[0]) if first else []


def _names_in(found: dict[str, Any], around: str = "") -> list[str]:
    """Give the paths of an object's fields, those of the objects in it with dots."""
    names: list[str] = []
    for key, value in found.items():
        if isinstance(value, dict) and around.count(".") < _DEPTH_MAX:
            names += _names_in(value, f"{around}{key}.")
        else:
            names.append(around + key)
    return names


def _records(
    chains: Sequence[Chain | Unread], text: str, path: RecordPath, paths: Sequence[FieldPath]
) -> list[Record]:
    records = [chain if isinstance(chain, str) else _fields(chain, paths) for chain in chains]
    if None in records:
        chains = list(path.records_in(json.loads(text, parse_float=str)))
        records = [chain if isinstance(chain, str) else _fields(chain, paths) for chain in chains]
    whole = [record or NOT_PLAIN for record in records]
    # Controls can only come in by an escape.
    return [_without_controls(record) for record in whole] if "\\" in text else whole


def _without_controls(record: Record) -> Record:
    if not isinstance(record, str) and _CONTROL.search("".join(record)):
        return WITH_CONTROLS
    return record


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
        if isinstance(found, dict) and text.count('"') != _quotes(found):
            # An escaped quote, or a key that orjson took the last of: worth the slower reader.
            json.loads(text, object_pairs_hook=_once)
    except ValueError:
        # The parsers' errors carry the whole line; they end here.
        return NO_OBJECT
    except _NotARow:
        return KEY_TWICE
    return found if isinstance(found, dict) else NO_OBJECT


def _quotes(value: dict[str, Any] | list[Any], depth: int = 0) -> int:
    """Count the quotes that an object or a list takes to write when no text has one in it."""
    if depth > _DEPTH_MAX:
        raise _NotARow
    values = value.values() if isinstance(value, dict) else value
    keys = len(value) if isinstance(value, dict) else 0
    kinds = list(map(type, values))
    quotes = 2 * (keys + kinds.count(str))
    if dict in kinds or list in kinds:
        inner = [one for one in values if isinstance(one, (dict, list))]
        quotes += sum([_quotes(one, depth + 1) for one in inner])
    return quotes


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotARow
    return found


def _look_for_codes(found: dict[str, Any], allowed: frozenset[str], codes: CodeColumns) -> None:
    waiting: list[Any] = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in _suspect_keys(tuple(value), allowed, codes):
                codes.look(key, (value[key],))
            waiting += [inner for inner in value.values() if isinstance(inner, (dict, list))]
        else:
            waiting += [inner for inner in value if isinstance(inner, (dict, list))]


@lru_cache(maxsize=1024)
def _suspect_keys(
    keys: tuple[str, ...], allowed: frozenset[str], codes: CodeColumns
) -> tuple[str, ...]:
    return tuple(key for key in keys if key not in allowed and codes.is_suspect(key))


def _fields(chain: Chain, paths: Sequence[FieldPath]) -> Record | None:
    """Give the fields as texts, or None when one is a float and its digits are lost."""
    fields = []
    record = chain[0]
    for path in paths:
        # Most fields are texts of the record itself, and a call for each would cost more.
        value = None if path.climbs else record.get(path.key)
        if not isinstance(value, str):
            value = path.find(chain)
        if not isinstance(value, str):
            if isinstance(value, float):
                # A long id without quotes comes as a float too, rounded.
                return None
            if isinstance(value, (dict, list)):
                return NOT_PLAIN
            value = _LITERALS[value] if value is None or isinstance(value, bool) else str(value)
        fields.append(value)
    return fields
