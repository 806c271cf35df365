"""Streams the records of a JSON document, of which only one element is in memory at a time.

A document that is not well-formed refuses the export: after a fault in the middle nobody can say
where the next record begins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import ijson
import orjson

from pipeline.errors import ExportRefused
from pipeline.exports.json_paths import EACH, RecordPath, no_records
from pipeline.exports.records import KEY_TWICE, Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.exports.json_paths import Chain

_DEPTH_MAX: Final = 1_000
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PIECE_BYTES: Final = 64 * 1024
_SMALL_BYTES: Final = 1024 * 1024
_IJSON_EACH: Final = "item"


class _Object(dict[str, Any]):
    """An object that remembers whether a key stood twice in it."""

    __slots__ = ("twice",)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = True
        dict.__setitem__(self, key, value)


def document_records(
    blocks: Iterable[bytes], steps: Sequence[str], element_bytes_max: int
) -> Iterator[Chain | Unread]:
    """Give the records of a document, each with the objects around it, or a code in its place.

    Args:
        blocks: The document in UTF-8, cut anywhere.
        steps: The path to the records; none: each value at the top is one.
        element_bytes_max: Bytes that one member at the first `*` may have.

    Raises:
        ExportRefused: It is not well-formed, an element is too large, or nothing is at the path.
    """
    place = steps.index(EACH) if EACH in steps else None
    parents, rest = steps[:place], () if place is None else steps[place + 1 :]
    path = RecordPath(rest)
    parser = _Parser(parents, of_members=place is not None)
    count = 0
    head = bytearray()
    for element in _elements(blocks, parser, element_bytes_max, head):
        count += 1
        if _has_a_key_twice(element):
            yield KEY_TWICE
        else:
            yield from path.records_in(element)
    if not count and not _is_empty(bytes(head), parents):
        raise no_records()
    path.refuse_leading_nowhere()


class _Parser:
    """Finds what stands at a path, or each member of the list or the map that stands there."""

    def __init__(self, parents: Sequence[str], *, of_members: bool) -> None:
        path = ".".join(parents)
        self._members: list[tuple[str, Any]] = ijson.sendable_list()
        self._items: list[Any] = ijson.sendable_list()
        below = ".".join([*parents, _IJSON_EACH]) if of_members else path
        whole = {"multiple_values": True} if not below else {}
        self._of_items = ijson.items_coro(self._items, below, map_type=_Object, **whole)
        self._of_map = ijson.kvitems_coro(self._members, path, map_type=_Object)
        if not of_members:
            self._of_map = None

    def send(self, piece: bytes) -> list[Any]:
        """Read on, and give what was found."""
        for coroutine in (self._of_map, self._of_items):
            if coroutine is not None:
                coroutine.send(piece)
        return self._found()

    def close(self) -> list[Any]:
        """Say that nothing comes any more, and give what was found last."""
        for coroutine in (self._of_map, self._of_items):
            if coroutine is not None:
                coroutine.close()
        return self._found()

    def _found(self) -> list[Any]:
        # A list or a map: once one of the two was right the other need not read any more. A map
        # goes first, for one of its keys may be called as ijson calls the members of lists.
        if self._members:
            self._of_items = None
            found = [value for _, value in self._members]
            del self._members[:], self._items[:]
            return found
        if self._items:
            self._of_map = None
        found = self._items[:]
        del self._items[:]
        return found


def _elements(
    blocks: Iterable[bytes], parser: _Parser, bytes_max: int, head: bytearray
) -> Iterator[Any]:
    waiting = depth = 0
    try:
        for block in blocks:
            for start in range(0, len(block), _PIECE_BYTES):
                piece = block[start : start + _PIECE_BYTES]
                if len(head) < _SMALL_BYTES:
                    head += piece
                depth = max(depth + _net_depth(piece), 0)
                if depth > _DEPTH_MAX:
                    raise _too_deep()
                found = parser.send(piece)
                waiting = 0 if found else waiting + len(piece)
                if waiting > bytes_max:
                    raise _too_large(bytes_max)
                yield from found
        yield from parser.close()
    except ijson.JSONError:
        # The parser's message quotes the text.
        raise ExportRefused(
            "the export is a JSON document that is not well-formed, or not in UTF-8",
            next_step="Ask for the export again, whole; for another encoding set `export.encoding`.",
        ) from None


def _net_depth(piece: bytes) -> int:
    """Count how much deeper a piece leads; where it begins within a string, roughly.

    The parser keeps the path of every level: a million levels would take all memory there is.
    """
    bare = _STRING.sub(b"", piece)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _too_deep() -> ExportRefused:
    return ExportRefused(
        f"the export is a JSON document that is nested deeper than {_DEPTH_MAX:,} levels",
        next_step="Ask for the export again, as a list of records.",
    )


def _too_large(bytes_max: int) -> ExportRefused:
    return ExportRefused(
        f"the export is one JSON document with nothing to read in {bytes_max:,} bytes of it",
        next_step="Set `export.records` to the path of the records, such as `customers.*.cards.*`.",
    )


def _has_a_key_twice(element: object) -> bool:
    waiting = [element]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _Object):
            if hasattr(value, "twice"):
                return True
            waiting += [inner for inner in value.values() if isinstance(inner, (dict, list))]
        elif isinstance(value, list):
            waiting += [inner for inner in value if isinstance(inner, (dict, list))]
    return False


def _is_empty(text: bytes, parents: Sequence[str]) -> bool:
    """Say whether a small document has a list at the path with nothing in it."""
    if not re.sub(rb"\s", b"", text):
        return True
    try:
        value = orjson.loads(text)
    except ValueError:
        return False
    for key in parents:
        value = value.get(key) if isinstance(value, dict) else None
    return value in ([], {})
