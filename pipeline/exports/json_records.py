"""Reads JSON lines as records: a list of texts each, or the code of what is wrong with it.

One object a line. A source column is a key, or a dotted path into nested objects; a key that is
not there is an empty field. A number keeps its digits, null is empty; a list or an object in the
place of a field, a key that stands twice, or more than 32 levels make the line malformed.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.exports.columns import security_codes_found
from pipeline.exports.csv_records import MALFORMED, TOO_LONG, Record, decoded, read_lines
from pipeline.exports.security_codes import is_ambiguous, is_security_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DEPTH_MAX: Final = 32
_LITERALS: Final = {None: "", True: "true", False: "false"}


class _NotARow(Exception):
    """A key stands twice in one object, or objects stand in one another too deep."""


def json_records(
    batches: Iterator[bytes | None], sources: Sequence[str], encoding: str, *, refuse_codes: bool
) -> Iterator[list[Record]]:
    """Give each line's fields in the order of the sources, some lines at a time.

    Raises:
        ExportRefused: An object names a security code, track or PIN and they are refused.
    """
    paths = [(source, source.split(".")) for source in sources]
    allowed = frozenset(source for source in sources if is_ambiguous(source))
    for batch in batches:
        if batch is None:
            yield [TOO_LONG]
            continue
        records: list[Record] = []
        for text, code in _texts(batch, encoding) if batch.strip(b"\r\n") else ():
            found = code or _object(text)
            if isinstance(found, dict):
                if refuse_codes:
                    _refuse_codes(found, allowed)
                fields = _fields(found, paths)
                if fields is None:
                    fields = _fields(json.loads(text, parse_float=str), paths) or MALFORMED
                # Controls can only come in by an escape.
                spoiled = "\\" in text and any(map(_CONTROL.search, fields))
                records.append(MALFORMED if spoiled else fields)
            elif found is not None:
                records.append(found)
        yield records


def _texts(batch: bytes, encoding: str) -> list[tuple[str, str | None]]:
    text = decoded(batch, encoding)
    if text is not None:
        return [(line, None) for line in text[:-1].split("\n")]
    return [(line.text, line.code) for line in read_lines(batch, encoding)]


def _object(text: str) -> dict[str, Any] | str | None:
    """Give a line's object, None for a blank line, or the code of what is wrong with it."""
    if not text or text.isspace():
        return None
    try:
        found = orjson.loads(text)
        if isinstance(found, dict) and text.count('"') != _quotes(found):
            # An escaped quote, or a key that orjson took the last of: worth the slower reader.
            json.loads(text, object_pairs_hook=_once)
    except (ValueError, _NotARow):
        # The parsers' errors carry the whole line; they end here.
        return MALFORMED
    return found if isinstance(found, dict) else MALFORMED


def _quotes(value: object, depth: int = 0) -> int:
    """Count the quotes that a value takes to write when no text has one in it."""
    if isinstance(value, str):
        return 2
    if not isinstance(value, (dict, list)):
        return 0
    if depth > _DEPTH_MAX:
        raise _NotARow
    keys, values = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    return 2 * keys + sum([_quotes(inner, depth + 1) for inner in values])


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotARow
    return found


def _refuse_codes(found: dict[str, Any], allowed: frozenset[str]) -> None:
    if _hold_codes(tuple(found), allowed):
        raise security_codes_found(1)
    inner = list(found.values())
    while inner:
        value = inner.pop()
        if isinstance(value, list):
            inner += value
        elif isinstance(value, dict):
            _refuse_codes(value, allowed)


@lru_cache(maxsize=1024)
def _hold_codes(keys: tuple[str, ...], allowed: frozenset[str]) -> bool:
    return any(is_security_code(key) and key not in allowed for key in keys)


def _fields(found: dict[str, Any], paths: Sequence[tuple[str, list[str]]]) -> Record | None:
    """Give the fields as texts, or None when one is a float and its digits are lost."""
    fields = []
    for source, path in paths:
        value = found.get(source)
        if value is None and len(path) > 1:
            value = _nested(found, path)
        if not isinstance(value, str):
            if isinstance(value, float):
                # A long id without quotes comes as a float too, rounded.
                return None
            if isinstance(value, (dict, list)):
                return MALFORMED
            value = _LITERALS[value] if value is None or isinstance(value, bool) else str(value)
        fields.append(value)
    return fields


def _nested(found: dict[str, Any], path: Sequence[str]) -> object:
    value: object = found
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
