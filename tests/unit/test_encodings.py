"""Names in every encoding that exports come in, and what is told of one that is not the configured."""

from __future__ import annotations

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.cards import COLUMNS, csv_export, row
from tests.support.frames import frame_of

THAI = ("สมชาย ใจดี", "มาลี ศรีสุข", "วิชัย ทองดี")
JAPANESE = ("山田 太郎", "佐藤 花子", "鈴木 一郎")
LATIN = ("José Peña", "Zoë Müller", "André Castañeda")
ENCODINGS = {
    "cp874": THAI,
    "tis-620": THAI,
    "cp932": JAPANESE,
    "shift_jis": JAPANESE,
    "euc-jp": JAPANESE,
    "gb18030": ("王伟", "李娜", "张敏"),
    "big5": ("王偉", "李娜", "張敏"),
    "cp949": ("김민수", "이영희", "박철수"),
    "latin-1": LATIN,
    "cp1252": (*LATIN, "Siobhán O\u2019Neill"),
    "cp1251": ("Иван Петров", "Ольга Ильина"),
    "utf-16-le": (*THAI, *JAPANESE, *LATIN),
    "utf-16-be": (*THAI, *LATIN),
    "utf-32-le": (*THAI, *LATIN),
    "utf-16": (*THAI, *LATIN),
    "utf-8-sig": (*THAI, *LATIN),
}


def export(names, count=30):
    """Give an export with these names in turn."""
    rows = [row(id=f"c{place}", card_holder=names[place % len(names)]) for place in range(count)]
    return csv_export(rows, header=tuple(rows[0])).decode()


def chunk_of(raw, **options):
    (chunk,) = read([raw[:100], raw[100:]], ReaderOptions(COLUMNS, **options))
    return chunk


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_names_are_read_in_their_encoding(encoding):
    """Each name comes through as it was written, whatever its script."""
    names = ENCODINGS[encoding]
    chunk = chunk_of(export(names).encode(encoding), encoding=encoding)

    assert chunk.rejections == ()
    assert set(frame_of(chunk)["name"]) == set(names)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_a_wide_export_is_read_without_its_mark(encoding):
    """`utf-16` without a mark is little-endian; JSON and old Mac line ends are read as well."""
    wide = "utf-16-le" if encoding == "utf-16" else encoding
    text = export(THAI)
    line = '{"id": "a", "card_number": "4242424242424242", "card_holder": "ไทย"}\n'

    for given in (text, text.replace("\r\n", "\r"), text.replace("\r\n", "\n")):
        assert set(frame_of(chunk_of(given.encode(wide), encoding=encoding))["name"]) == set(THAI)
    json_chunk = chunk_of((line * 2).encode(wide), encoding=encoding)
    assert frame_of(json_chunk)["name"].tolist() == ["ไทย", "ไทย"]


@pytest.mark.parametrize(
    ("encoding", "named"), [("cp874", "cp874"), ("cp932", "cp932"), ("latin-1", "cp1252")]
)
def test_another_encoding_than_the_configured_is_named(encoding, named):
    """Rows that are no UTF-8 say which encoding they look like, and are counted once."""
    chunk = chunk_of(export(ENCODINGS[encoding]).encode(encoding))

    assert {rejection.code for rejection in chunk.rejections} == {"undecodable_text"}
    assert chunk.rejections[0].hint == (
        f'the bytes look like {named}: try `export.encoding = "{named}"`'
    )
    assert chunk.remedies == {("export.encoding", named): len(chunk.rejections)}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp874"])
def test_a_header_in_another_encoding_names_it(encoding):
    """Where not even the header can be read, the refusal says what to try."""
    raw = export(THAI).replace("city", "เมือง").encode(encoding)

    with pytest.raises(ExportRefused) as refused:
        chunk_of(raw)
    assert f'try `export.encoding = "{encoding}"`' in str(refused.value.next_step)


@pytest.mark.parametrize(
    ("values", "format", "named"),
    [
        (("12/30", "01/29"), "MM-YY", "MM/YY"),
        (("1230", "0129"), "YYMM", "MMYY"),
        (("3012", "2901"), "MMYY", "YYMM"),
        (("2030-12", "2029-01"), "MM/YY", "YYYY-MM"),
        (("12/30", "01/29", "x"), "MM/YY", None),
    ],
)
def test_another_expiry_format_than_the_configured_is_named(values, format, named):  # noqa: A002
    """Expirations that fit one other layout say so once; a few odd ones say nothing."""
    rows = "".join(f"c{n},4242424242424242,Ann,{v}\n" for n, v in enumerate(values))
    columns = {"legacy_id": "id", "number": "number", "name": "name"}
    options = ReaderOptions(columns, expiration=(("exp", (format,)),))
    (chunk,) = read([b"id,number,name,exp\n" + rows.encode()], options)

    told = {("export.columns.expiration.format", named): len(values)} if named else {}
    assert chunk.remedies == told
