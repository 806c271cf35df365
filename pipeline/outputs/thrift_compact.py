"""Reads and writes structures in Thrift's compact protocol, in which the footer of a Parquet file is.

Arrow reads footers and writes them, but moves no row group to another place in a file, which is all
that is done with them here. A structure is a dictionary of its fields by number, in their order, each
with its type; so what is read and written again without a change is the same to the byte.
Source: the protocol's own text (apache/thrift, doc/specs/thrift-compact-protocol.md).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

_TRUE: Final = 1
_FALSE: Final = 2
_BYTE: Final = 3
_I16: Final = 4
_I32: Final = 5
I64: Final = 6
_DOUBLE: Final = 7
_BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12
_NUMBERS: Final = frozenset({_I16, _I32, I64})
_BOOLEANS: Final = frozenset({_TRUE, _FALSE})
_DOUBLE_BYTES: Final = 8
_MANY: Final = 15
"""The size of a list that stands in a number of its own, and the largest step between two fields."""
_DEPTH_MAX: Final = 32


class Field(NamedTuple):
    """A field's type, and its value: a number, bytes, a truth, a list, or a structure."""

    type: int
    value: Any


class Elements(NamedTuple):
    """A list: the type of its elements, and the elements."""

    type: int
    values: list[Any]


Struct: TypeAlias = dict[int, Field]


def read_struct(content: bytes) -> Struct:
    """Read the structure with which some bytes begin.

    Raises:
        ValueError: They hold none, or one with types that no Parquet footer has.
    """
    try:
        return _Reader(content).struct()
    except IndexError:
        raise ValueError("the structure is cut off") from None


def write_struct(struct: Struct) -> bytes:
    """Give a structure's bytes; a structure in it may be there as its own, which take less memory."""
    written = bytearray()
    _write_struct(written, struct)
    return bytes(written)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self, depth: int = 0) -> Struct:
        if depth > _DEPTH_MAX:
            raise ValueError("the structure is too deep")
        fields: Struct = {}
        number = 0
        while head := self._byte():
            step = head >> 4
            number = number + step if step else _signed(self._varint())
            kind = head & 0xF
            fields[number] = Field(kind, self._value(kind, depth))
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _NUMBERS:
            return _signed(self._varint())
        if kind in {_BINARY, _DOUBLE}:
            return self._bytes(self._varint() if kind == _BINARY else _DOUBLE_BYTES)
        if kind == LIST:
            return self._elements(depth)
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in _BOOLEANS:
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        raise ValueError("a field has a type that no Parquet footer has")

    def _elements(self, depth: int) -> Elements:
        head = self._byte()
        size = head >> 4
        kind = head & 0xF
        if size == _MANY:
            size = self._varint()
        if kind in _BOOLEANS:
            return Elements(kind, [self._byte() for _ in range(size)])
        return Elements(kind, [self._value(kind, depth) for _ in range(size)])

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._content):
            raise IndexError
        return self._content[self._at - size : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows.
                return value
            shift += 7


def _write_struct(written: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in struct.items():
        # A truth is told by its type alone.
        shown = (_TRUE if value else _FALSE) if kind in _BOOLEANS else kind
        if 0 < number - before <= _MANY:
            written.append((number - before) << 4 | shown)
        else:
            written.append(shown)
            _write_varint(written, _unsigned(number))
        before = number
        if kind not in _BOOLEANS:
            _write_value(written, kind, value)
    written.append(0)


def _write_value(written: bytearray, kind: int, value: Any) -> None:
    if kind in _NUMBERS:
        _write_varint(written, _unsigned(value))
    elif kind == _BINARY:
        _write_varint(written, len(value))
        written.extend(value)
    elif kind == LIST:
        _write_elements(written, value)
    elif kind == _DOUBLE or isinstance(value, bytes):
        written.extend(value)
    elif kind == STRUCT:
        _write_struct(written, value)
    else:
        written.append(value)


def _write_elements(written: bytearray, elements: Elements) -> None:
    size = len(elements.values)
    written.append(min(size, _MANY) << 4 | elements.type)
    if size >= _MANY:
        _write_varint(written, size)
    for value in elements.values:
        _write_value(written, elements.type, value)


def _write_varint(written: bytearray, value: int) -> None:
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte.
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _unsigned(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1
