"""JSON that is parsed many values at a time, against the parser that takes one sign after another."""

from __future__ import annotations

import json
from unittest.mock import patch

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ExportRefused
from pipeline.exports import json_documents, json_records
from pipeline.exports.json_documents import document_records
from pipeline.exports.json_fields import JsonFields, document_fields
from pipeline.exports.json_signs import SignScanner
from pipeline.exports.security_code_values import CodeColumns
from pipeline.exports.text_lines import LineBatches
from tests.support.records import rows_of
from tests.support.sampled import examples

SOURCES = ("id", "name", "card.holder", "..id")

ODD = ('"', "\\", "{", "}", "[", "]", ",", ":", "\\u0041", "ก", "\x7f", " ", "\0", "", "x")
names = st.sampled_from(
    ("id", "name", "card", "cards", "customers", "holder", "card.holder", "", "item")
)
strings = st.lists(st.sampled_from(ODD), max_size=4).map("".join)
numbers = st.sampled_from(("0", "7", "-5", "12.0", "1.50", "1234567890123456789012345"))
blanks = st.sampled_from(("", "", " ", "\n", "\r\n\t"))


def quoted(text):
    """Write a string, sometimes as ASCII alone and sometimes not."""
    return st.booleans().map(lambda plain: json.dumps(text, ensure_ascii=plain))


@st.composite
def listed(draw, values, brackets):
    """Write values between brackets, with blanks anywhere."""
    inner = [draw(blanks) + text + draw(blanks) for text in draw(st.lists(values, max_size=4))]
    return brackets[0] + (",".join(inner) or draw(blanks)) + brackets[1]


def pairs(values):
    """Write a key and a value; a key may come twice."""
    return st.builds(
        lambda name, value, blank: f"{json.dumps(name)}{blank}:{blank}{value}",
        names,
        values,
        blanks,
    )


scalars = strings.flatmap(quoted) | numbers | st.sampled_from(("true", "false", "null"))
flat = listed(pairs(scalars), "{}")
values = st.recursive(
    scalars | flat, lambda inner: listed(inner, "[]") | listed(pairs(inner), "{}"), max_leaves=12
)
arrays = listed(flat | values, "[]")
documents = st.one_of(
    arrays,
    arrays.map(lambda text: '{"version": 2, "customers": ' + text + ', "tags": [1, [2]]}'),
    arrays.map(lambda text: '{"customers.item": ' + text + "}"),
    values,
)
steps = st.sampled_from(
    [("*",), ("customers", "*"), ("customers", "*", "cards", "*"), ("customers",), (), ("*", "*")]
)
cuts = st.lists(st.integers(1, 30), max_size=20)
spoiled = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 2), st.sampled_from('"\\{}[],:x\n\xff\x7f')),
    max_size=2,
)


def spoil(text, changes):
    """Put signs into a text, or take some out of it."""
    raw = text.encode("utf-8", "surrogatepass")
    for place, taken, sign in changes:
        at = place % (len(raw) + 1)
        raw = raw[:at] + sign.encode("latin-1")[: 2 - taken] + raw[at + taken :]
    return raw


def blocks_of(raw, sizes):
    """Cut bytes into blocks of these sizes, the rest in one."""
    start = 0
    for size in sizes:
        if raw[start : start + size]:
            yield raw[start : start + size]
        start += size
    if raw[start:]:
        yield raw[start:]


def read(raw, sizes, path):
    """Give the records of a document, or why it is refused."""
    wanted = JsonFields(SOURCES, SOURCES, path, CodeColumns())
    try:
        return rows_of(
            document_fields(document_records(blocks_of(raw, sizes), path, 10_000), wanted)
        )
    except ExportRefused as refused:
        return refused.message


@settings(max_examples=examples(900), deadline=None)
@given(documents, spoiled, steps, cuts)
@example('{"item":0,"id":""}', [], ("*",), [10])
def test_a_document_is_read_at_once_as_it_is_read_piece_by_piece(text, changes, path, sizes):
    """Whatever stands in its strings, wherever it is cut, and where it is spoiled."""
    raw = spoil(text, changes)
    with patch.object(json_documents, "_STEPS_CUT_MAX", -1):
        expected = read(raw, [], path)
    found = read(raw, sizes, path)

    event("refused" if isinstance(expected, str) else f"rows: {min(len(expected), 3)}")
    if not (isinstance(found, str) and "ends in `.item`" in found):
        assert found == expected


@settings(max_examples=examples(600), deadline=None)
@given(st.lists(flat | flat | values, max_size=5), spoiled)
def test_lines_are_read_at_once_as_each_is_read(texts, changes):
    """Lines that only together are JSON are not, and one that is spoiled spoils no other."""
    raw = spoil("\n".join(text.replace("\n", " ") for text in texts), changes) + b"\n"

    def lines():
        wanted = JsonFields(SOURCES, SOURCES, (), CodeColumns())
        return rows_of(json_records.json_records(LineBatches(iter([raw]), 65_536), wanted, "utf-8"))

    with patch.object(json_records, "_plain_lines", return_value=None):
        expected = lines()
    assert lines() == expected


@settings(max_examples=examples(300), deadline=None)
@given(values, cuts)
def test_signs_are_found_outside_strings_only(text, sizes):
    """Whatever a string holds, and wherever the text is cut, the brackets, commas and colons are these."""
    expected, inside, escaped = [], False, False
    for place, sign in enumerate(text.encode()):
        if inside and not escaped and sign == ord("\\"):
            escaped = True
            continue
        if sign == ord('"') and not escaped:
            inside = not inside
        elif not inside and sign in b"{}[],:":
            expected.append(place)
        escaped = False

    scanner, start, found = SignScanner(), 0, []
    for block in blocks_of(text.encode(), sizes):
        found += [start + place for place in scanner.scan(block).places.tolist()]
        start += len(block)
    assert found == expected
