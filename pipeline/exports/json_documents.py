"""Streams the records of a JSON document, of which only a few elements are in memory at a time.

A document that is not well-formed refuses the export: after a fault in the middle nobody can say
where the next record begins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import ijson
import orjson

from pipeline.errors import ExportRefused
from pipeline.exports.json_columns import PlainObjects, each_value, plain_objects, whole_values
from pipeline.exports.json_kind import KindAt
from pipeline.exports.json_members import MemberCutter, Members
from pipeline.exports.json_paths import EACH, RecordPath, no_records
from pipeline.exports.records import KEY_TWICE, Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.exports.json_paths import Chain

_DEPTH_MAX: Final = 500
_SMALL_BYTES: Final = 1024 * 1024
_IJSON_EACH: Final = "item"
_DIGITS_MAX: Final = 4_300
"""Digits of a whole number that Python reads (`sys.int_info.default_max_str_digits`)."""
_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_MANY_ZEROS: Final = b"0" * (_DIGITS_MAX + 1)
_STEPS_CUT_MAX: Final = 1
"""Keys that may lead to a list whose members are cut out. Dots in the keys of a document look like
more of them, and then the parser and the cutter could mean lists at different depths."""


class _Object(dict[str, Any]):
    """An object that remembers whether a key stood twice in it."""

    __slots__ = ("twice",)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = True
        dict.__setitem__(self, key, value)


def document_records(
    blocks: Iterable[bytes], steps: Sequence[str], element_bytes_max: int
) -> Iterator[Chain | Unread | PlainObjects]:
    """Give the records of a document, each with the objects around it, or a code in its place.

    Plain objects that stand in one list come together.

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
    elements = _Elements(parents, of_members=place is not None)
    head = bytearray()
    for element in elements.read(blocks, element_bytes_max, head):
        if isinstance(element, Members):
            yield from _records_of(element, path, may_be_plain=not rest)
        elif _has_a_key_twice(element):
            yield KEY_TWICE
        else:
            yield from path.records_in(element)
    if not elements.count and not _is_empty(bytes(head), parents):
        raise no_records()
    path.refuse_leading_nowhere()


def _records_of(
    members: Members, path: RecordPath, *, may_be_plain: bool
) -> Iterator[Chain | Unread | PlainObjects]:
    plain = plain_objects(members) if may_be_plain else None
    if plain is not None:
        yield plain
        return
    for element in _parsed(members):
        if isinstance(element, Unread):
            yield element
        else:
            yield from path.records_in(element)


def _parsed(members: Members) -> list[Any]:
    """Parse members of a list: values, and why there is none in their place.

    Raises:
        ExportRefused: They are not well-formed.
    """
    try:
        return whole_values(members) or each_value(members.text)
    except ValueError:
        # The parser's message quotes the text.
        raise _not_well_formed() from None


class _Elements:
    """Finds what stands at a path, or each member of the list or the map that stands there.

    Members of a list come many at a time and are still to be parsed.

    Args:
        parents: The keys that lead there.
        of_members: Whether members are wanted, and not the whole.
    """

    def __init__(self, parents: Sequence[str], *, of_members: bool) -> None:
        path = ".".join(parents)
        self._members: list[tuple[str, Any]] = ijson.sendable_list()
        self._items: list[Any] = ijson.sendable_list()
        below = ".".join([*parents, _IJSON_EACH]) if of_members else path
        whole = {"multiple_values": True} if not below else {}
        self._of_items = ijson.items_coro(self._items, below, map_type=_Object, **whole)
        self._of_map = ijson.kvitems_coro(self._members, path, map_type=_Object)
        self._kind = KindAt(path)
        if not of_members:
            self._of_map = None
            self._kind.is_list = True
        cuts = of_members and len(parents) <= _STEPS_CUT_MAX
        self._cutter = MemberCutter(len(parents) + 1 if cuts else None)
        self._digits = b""
        self.count = 0
        """How many elements were found; members that came together count as one."""

    def read(self, blocks: Iterable[bytes], bytes_max: int, head: bytearray) -> Iterator[Any]:
        """Give what is found, and keep the document's first bytes.

        Raises:
            ExportRefused: The document is not well-formed, or one element is too large.
        """
        waiting = 0
        try:
            for block in blocks:
                if len(head) < _SMALL_BYTES:
                    head += block
                rest, taken = self._cutter.cut(block)
                if self._cutter.deepest > _DEPTH_MAX:
                    # The parser keeps the path of every level.
                    raise _too_deep()
                found = self._found(rest, taken)
                waiting = 0 if found else waiting + len(block)
                if waiting > bytes_max:
                    raise _too_large(bytes_max)
                self.count += len(found)
                yield from found
            found = self._found(None, {})
            for element in self._items:
                # There was neither a list nor a map at the path to decide what these are.
                self._refuse_names_in(element)
            self.count += len(found)
            yield from found
        except (ijson.JSONError, UnicodeError):
            # The parser's message quotes the text.
            raise _not_well_formed() from None

    def _found(self, rest: bytes | None, taken: dict[str, Members]) -> list[Any]:
        """Read on in what is left of a document, None at its end, and give what was found."""
        self._refuse_long_numbers(rest or b"")
        self._kind.look(rest)
        for coroutine in (self._of_map, self._of_items):
            # Nothing to read would be taken for the end.
            if coroutine is not None and rest:
                coroutine.send(rest)
            elif coroutine is not None and rest is None:
                coroutine.close()
        found: list[Any] = []
        for element in self._whole():
            self._refuse_names_in(element)
            found.append(taken.pop(element, element) if isinstance(element, str) else element)
        for members in taken.values():
            # Of another list; they have to be well-formed all the same.
            _parsed(members)
        return found

    def _refuse_long_numbers(self, rest: bytes) -> None:
        """Refuse as many digits in a row as Python makes no number of: the parser would end us.

        Raises:
            ExportRefused: There are, be it in a number or in a text.
        """
        zeros = (self._digits + rest).translate(_TO_ZEROS)
        self._digits = zeros[-_DIGITS_MAX:]
        if _MANY_ZEROS in zeros:
            raise ExportRefused(
                f"the export is a JSON document with more than {_DIGITS_MAX:,} digits in a row",
                next_step="Ask for the export again without such a number.",
            )

    def _refuse_names_in(self, element: Any) -> None:
        """Refuse a list that the parser took for a member, so that its own members were cut out.

        Raises:
            ExportRefused: A key of the document ends as the parser calls the members of lists.
        """
        if isinstance(element, list) and any(map(self._cutter.has_named, element)):
            raise ExportRefused(
                f"the export is a JSON document with a list under a key that ends in `.{_IJSON_EACH}`",
                next_step="Ask for the export again with the list under another key.",
            )

    def _whole(self) -> list[Any]:
        # A member of a map under the key `item` comes as one of a list too, and a block sooner.
        if self._kind.is_list is None:
            return []
        found: list[Any]
        if self._kind.is_list:
            self._of_map = None
            found = self._items[:]
        else:
            self._of_items = None
            found = [value for _, value in self._members]
        del self._members[:], self._items[:]
        return found


def _not_well_formed() -> ExportRefused:
    return ExportRefused(
        "the export is a JSON document that is not well-formed, or not in UTF-8",
        next_step="Ask for the export again, whole; for another encoding set `export.encoding`.",
    )


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
