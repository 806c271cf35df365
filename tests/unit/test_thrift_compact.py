"""The compact protocol of Thrift: what is read and written again is the same to the byte."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outputs.thrift_compact import Elements, Field, read_struct, write_struct

NUMBERS = st.integers(-(2**63), 2**63 - 1)
SIMPLE = st.one_of(
    st.builds(Field, st.just(6), NUMBERS),
    st.builds(Field, st.just(5), st.integers(-(2**31), 2**31 - 1)),
    st.builds(Field, st.just(3), st.integers(0, 255)),
    st.builds(Field, st.just(7), st.binary(min_size=8, max_size=8)),
    st.builds(Field, st.just(8), st.binary(max_size=200)),
    st.builds(lambda truth: Field(1 if truth else 2, truth), st.booleans()),
    st.builds(lambda many: Field(9, Elements(6, many)), st.lists(NUMBERS, max_size=20)),
    st.builds(lambda many: Field(9, Elements(1, many)), st.lists(st.integers(1, 2), max_size=20)),
)


def structs(fields):
    """Give structures with these fields, in the order of their numbers."""
    numbered = st.dictionaries(st.integers(1, 300), fields, max_size=6)
    return numbered.map(lambda found: dict(sorted(found.items())))


NESTED = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        structs(inner).map(lambda struct: Field(12, struct)),
        st.lists(structs(inner), max_size=17).map(lambda many: Field(9, Elements(12, many))),
    ),
    max_leaves=12,
)


@given(structs(NESTED))
def test_what_is_written_is_read_again(struct):
    """Numbers, bytes, truths, lists and structures in each other, far apart and long."""
    assert struct == read_struct(write_struct(struct))


@given(st.lists(structs(NESTED), max_size=17))
def test_structures_may_be_there_as_bytes(many):
    """A list of structures that were written one by one is written as one that holds them."""
    whole = {1: Field(9, Elements(12, many))}
    in_bytes = {1: Field(9, Elements(12, [write_struct(struct) for struct in many]))}
    assert write_struct(in_bytes) == write_struct(whole)


@pytest.mark.parametrize("rows", [0, 1, 40_000])
def test_a_footer_is_written_again_byte_for_byte(rows):
    """As Arrow wrote it: statistics, dictionaries, metadata and several row groups."""
    table = pa.table({"id": [f"id-{n}" for n in range(rows)], "n": list(range(rows))})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=15_000, compression="zstd")
    content = file.getvalue()
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]

    assert footer == write_struct(read_struct(footer))


@pytest.mark.parametrize(
    "content", [b"", b"\x15", b"\x18\x05ab", b"\x1b\x00", b"\x1c" * 40, b"\x19\xf8"]
)
def test_what_is_no_structure_is_refused(content):
    """Cut off, too deep, or of a type that no footer has: never another error."""
    with pytest.raises(ValueError, match=r"cut off|too deep|no Parquet footer"):
        read_struct(content)
