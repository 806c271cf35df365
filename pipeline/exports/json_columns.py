"""Parses JSON values many at a time, and takes the fields of plain objects by column.

Objects are plain that hold texts and whole numbers alone. What is not plain is parsed once more by a
parser that tells what is wrong with each value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.exports.records import KEY_TWICE, NO_OBJECT, Records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.exports.json_members import Members
    from pipeline.exports.json_paths import FieldPath

DEPTH_MAX: Final = 32
"""Levels of objects and lists in a record."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LITERALS: Final = {None: "", True: "true", False: "false"}
_PLAIN: Final = {str, int, bool, NoneType}


def as_text(value: object) -> str:
    """Give a number, a truth or nothing as the text of a field."""
    return _LITERALS[value] if value is None or isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class PlainObjects:
    """Objects none of which holds another one, or a key twice.

    Attributes:
        objects: The objects; a number with a fraction has lost digits.
        text: What they were read from, with commas between them.
    """

    objects: list[dict[str, Any]]
    text: bytes

    def columns(self, paths: Sequence[FieldPath]) -> Records | None:
        """Give their fields a column at a time; None where each has to be looked at by itself."""
        columns = [self._column(path) for path in paths]
        texts = [column for column in columns if column is not None]
        if len(texts) < len(columns):
            return None
        # A control character comes in by an escape alone, but for one that may stand as it is.
        may_be_odd = b"\\" in self.text or b"\x7f" in self.text
        if may_be_odd and any(CONTROL.search("".join(column)) for column in texts):
            return None
        return Records(texts, len(self.objects))

    def _column(self, path: FieldPath) -> list[str] | None:
        if path.climbs:
            return [""] * len(self.objects)
        values: list[Any] = [one.get(path.key) for one in self.objects]
        kinds = set(map(type, values))
        if kinds == {str}:
            return values
        if kinds <= _PLAIN:
            return [value if isinstance(value, str) else as_text(value) for value in values]
        return None

    def exactly(self) -> list[dict[str, Any]]:
        """Give the same objects with all digits of their numbers, which are texts then."""
        return parsed_exactly(self.text)


def plain_objects(members: Members) -> PlainObjects | None:
    """Parse members of a list that all are plain objects, or give None."""
    if members.depth > DEPTH_MAX:
        return None
    values = _parsed(members.text)
    if values is None or len(values) != members.objects or set(map(type, values)) != {dict}:
        return None
    # As many objects as members: none of them holds another. A key that stands twice is lost.
    is_plain = sum(map(len, values)) == members.colons
    return PlainObjects(values, members.text) if is_plain else None


def whole_values(members: Members) -> list[Any] | None:
    """Parse members of a list, or give None where one of them has to be looked at by itself."""
    if members.depth > DEPTH_MAX:
        return None
    values = _parsed(members.text)
    if values is None:
        return None
    keys, has_floats = _looked_through(values)
    if keys != members.colons:
        return None
    return parsed_exactly(members.text) if has_floats else values


class _WithKeyTwice(dict[str, Any]):
    """An object in which a key stood twice."""


def each_value(text: bytes) -> list[Any]:
    """Parse values with commas between them, each of them a value or why it could not be read.

    Numbers are texts, for a float would be rounded.

    Raises:
        ValueError: They are not well-formed; the message may quote them.
    """
    try:
        values: list[Any] = json.loads(
            "[" + text.decode("utf-8", "surrogatepass") + "]",
            object_pairs_hook=_object,
            parse_float=str,
            parse_int=str,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError("they are nested too deep to be parsed") from None
    return [_readable(value) for value in values]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _WithKeyTwice(found)


def _refuse_constant(name: str) -> None:
    """Refuse `NaN` and the like, which are no JSON."""
    raise ValueError(name)


def _readable(value: Any) -> Any:
    waiting = [(value, 0)]
    while waiting:
        inner, depth = waiting.pop()
        if isinstance(inner, _WithKeyTwice) or depth > DEPTH_MAX:
            return KEY_TWICE
        if isinstance(inner, (dict, list)):
            members = inner.values() if isinstance(inner, dict) else inner
            waiting += [(one, depth + 1) for one in members if isinstance(one, (dict, list))]
    try:
        orjson.dumps(value)
    except TypeError:
        # Half of a character, by an escape.
        return NO_OBJECT
    return value


def parsed_exactly(text: bytes) -> list[Any]:
    """Parse values that are known to be well-formed, with commas between them; numbers are texts."""
    found: list[Any] = json.loads(b"[%b]" % text, parse_float=str, parse_int=str)
    return found


def _parsed(text: bytes) -> list[Any] | None:
    try:
        found: list[Any] = orjson.loads(b"[%b]" % text)
    except ValueError:
        # The error carries the text; it ends here.
        return None
    return found


def _looked_through(values: list[Any]) -> tuple[int, bool]:
    """Count the keys of all objects in some values, and say whether a number has a fraction."""
    waiting: list[Any] = [values]
    keys, has_floats = 0, False
    while waiting:
        value = waiting.pop()
        keys += len(value) if isinstance(value, dict) else 0
        inner = value.values() if isinstance(value, dict) else value
        kinds = set(map(type, inner))
        has_floats = has_floats or float in kinds
        if dict in kinds or list in kinds:
            waiting += [one for one in inner if isinstance(one, (dict, list))]
    return keys, has_floats
