"""Small exports in shapes that other systems write, each with what `check` has to say of it.

The form is that of the cases that people report: plain bytes, settings, and what is right.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from dataclasses import dataclass, field
from typing import Any

from backports import zstd

from tests.support.packed import tarred, workbook, zipped

VISA, MASTER, AMEX, JCB = (
    *("4242424242424242", "5555555555554444", "378282246310005", "3530111333300000"),
)
HEAD = "id,name,number,month,year"
ROWS = [f"A{n},Ann Lee,{number},1{n},2031" for n, number in enumerate((VISA, MASTER, AMEX))]
GOOD = "\n".join([HEAD, *ROWS, ""])
COLUMNS = {
    "legacy_id": "id",
    "name": "name",
    "number": "number",
    "expiration_month": "month",
    "expiration_year": "year",
}
OBJECTS = [dict(zip(HEAD.split(","), row.split(","), strict=True)) for row in ROWS]
NESTED = [
    {"id": n, "holder": "Ann", "card": {"pan": number, "exp": {"m": 1, "y": 2031}}}
    for n, number in enumerate((VISA, MASTER))
]
NESTED_COLUMNS = {
    "legacy_id": "id",
    "name": "holder",
    "number": "card.pan",
    "expiration_month": "card.exp.m",
    "expiration_year": "card.exp.y",
}
ONE = {"to_send": 1, "rows": 1}
THREE = {"to_send": 3, "rows": 3}


@dataclass(frozen=True)
class Case:
    """An export and what is right for it: figures of `check`, or words of its refusal."""

    name: str
    plain: bytes | str
    right: dict[str, Any] = field(default_factory=lambda: THREE)
    says: str | None = None
    export: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=lambda: COLUMNS)
    rules: dict[str, Any] = field(default_factory=dict)


def row(**changes: str) -> str:
    """Give an export of one good row, some of its values changed."""
    values = dict(zip(HEAD.split(","), ROWS[0].split(","), strict=True)) | changes
    return f"{','.join(values)}\n{','.join(values.values())}\n"


def fails(code: str, rows: int = 1, to_send: int = 0) -> dict[str, Any]:
    """Give the figures of an export of which one row fails."""
    return {"rows": rows, "to_send": to_send, "failures": {code: 1}}


def malformed(hint: str, rows: int = 4, bad: int = 1) -> dict[str, Any]:
    """Give the figures of an export some rows of which do not parse, and what is said of them."""
    told = {"code": "malformed_row", "hint": hint, "rows": bad}
    return {"rows": rows, "failures": {"malformed_row": bad}, "hints": [told]}


def by(delimiter: str, **more: Any) -> Case:
    """Give the good export with another delimiter."""
    text = GOOD.replace(",", delimiter)
    return Case(f"delimited by {delimiter!r}", text, export={"delimiter": delimiter}, **more)


def expiry(value: str, layout: str | list[str], right: dict[str, Any] = ONE) -> Case:
    """Give an export whose expiration is one column."""
    text = f'id,name,number,exp\nA1,Ann,{VISA},"{value}"\n'
    columns = {name: COLUMNS[name] for name in ("legacy_id", "name", "number")}
    columns["expiration"] = {"column": "exp", "format": layout}
    return Case(f"expires {value!r} as {layout}", text, right, columns=columns)


def names(encoding: str, name: str, setting: str | None = None) -> Case:
    """Give an export in an encoding, with a name of its people."""
    text = row(name=name).encode(encoding)
    export = {"encoding": setting} if setting else {}
    return Case(f"{encoding} {name}", text, ONE, export=export)


INVALID = fails("expiration_invalid")
EXPIRED = fails("card_expired")

DIALECTS = [
    Case("the good one", GOOD),
    *(by(sign) for sign in ";\t|:\x01~^"),
    Case("line ends of Windows", GOOD.replace("\n", "\r\n")),
    Case("line ends of old Macs", GOOD.replace("\n", "\r")),
    Case("no line end at the end", GOOD.rstrip("\n")),
    Case("blank lines around", f"\n\n{GOOD}\n\n\n".replace("\nA1", "\n\nA1")),
    Case("a Ctrl-Z at the end", GOOD + "\x1a"),
    Case("a Ctrl-Z behind the last row", GOOD.rstrip("\n") + "\x1a"),
    Case("a Ctrl-Z and a line end", GOOD.replace("\n", "\r\n") + "\x1a\r\n"),
    Case("a Ctrl-Z between rows", GOOD.replace("\nA1", "\n\x1a\nA1"), malformed("a control character is in it")),
    Case("rows of delimiters", GOOD + ",,,,\n,,,,\n"),
    Case("a delimiter too many", GOOD.replace("2031", "2031,")),
    Case("everything quoted", "\n".join(",".join(f'"{v}"' for v in line.split(",")) for line in GOOD.split("\n")[:-1])),
    Case("blanks before quotes", GOOD.replace(",Ann Lee", ', "Lee, Ann"')),
    Case("single quotes", GOOD.replace("Ann Lee", "'Lee, Ann'"), export={"quoting": "single"}),
    Case("backslashes", GOOD.replace("Ann Lee", '"Ann \\"A\\" Lee"'), export={"quoting": "backslash"}),
    Case("quotes that mean nothing", GOOD.replace(",", "\t").replace("Ann Lee", 'Ann "Lee'), export={"quoting": "none", "delimiter": "\t"}),
    Case("a line break in a field", "id,note,name,number,month,year\n" + f'A1,"two\nlines",Ann,{VISA},1,2031\n', ONE),
    Case("a ditto mark swallows rows", "id,note,name,number,month,year\n" + f'A1,",Ann,{VISA},1,2031\nA2,x,Ann,{MASTER},1,2031\nA3,",Ann,{AMEX},1,2031\n', malformed("stray quotes would join it with other rows", 3, 3)),
    Case("a row too short", GOOD + "A9,Ann\n", malformed("columns found: 2 of 5")),
    Case("a row too long", GOOD + f"A9,Ann,{JCB},1,2031,more,and more\n", malformed("columns found: 7 of 5")),
    Case("a delimiter too many in one row, where the fields before it are shifted", "number,month,year,name,id,note\n" + "".join(f"{number},12,2031,Ann,A{n},\n" for n, number in enumerate((VISA, MASTER))) + f"{AMEX},12,2031,Lee, Ann,A9,\n", malformed("columns found: 7 of 6", 3)),
    Case("two delimiters too many", GOOD.replace("2031", "2031,,"), malformed("columns found: 7 of 5", 3, 3)),
    Case("a quote that is not closed", GOOD.replace("A1,Ann", 'A1,"Ann'), malformed("a quote in it is not closed, or stands inside a field", 3)),
    Case("a row of an old Mac", GOOD + ROWS[0].replace("A0", "A8") + "\r" + ROWS[1].replace("A1", "A9") + "\n", malformed("it ends in CR where the rows before it ended in LF", 5, 2)),
    Case("a NUL in a row", GOOD.replace("A1,", "A\0,"), malformed("a control character is in it", 3)),
    Case("a header with blanks and marks", GOOD.replace("id,name", "\ufeff id ,\u200bname")),
    Case("a header in brackets", GOOD.replace("id,", "[id],", 1), columns=COLUMNS | {"legacy_id": "[id]"}),
    Case("sep= and the same sign", "sep=;\n" + GOOD.replace(",", ";"), export={"delimiter": ";"}),
]  # fmt: skip

ENCODINGS = [
    names("utf-8", "สมชาย ใจดี"),
    names("utf-8-sig", "José"),
    names("utf-16", "Иван"),
    names("utf-32", "山田"),
    names("cp874", "สมชาย", "cp874"),
    names("cp932", "山田", "cp932"),
    names("latin-1", "José Ñandú", "latin-1"),
    names("cp1252", "O\u2019Brien", "cp1252"),
    names("cp1251", "Иван", "cp1251"),
    names("euc-kr", "김철수", "euc-kr"),
    names("gb18030", "王伟", "gb18030"),
    Case("Latin-1 as UTF-8", row(name="José").encode("latin-1"), fails("undecodable_text")),
]

JSON = [
    Case("JSON lines", "\n".join(map(json.dumps, OBJECTS))),
    Case("JSON lines, blank lines between", "\n\n".join(map(json.dumps, OBJECTS)) + "\n\n"),
    Case("a JSON array", json.dumps(OBJECTS)),
    Case("a JSON array for people", json.dumps(OBJECTS, indent=4)),
    Case("a JSON array of one line each", "[" + ",\n".join(map(json.dumps, OBJECTS)) + "]"),
    Case("records at a path", json.dumps({"data": {"cards": OBJECTS}, "count": 3}), export={"records": "data.cards.*"}),
    Case("numbers that are numbers", json.dumps([each | {"number": int(each["number"]), "year": 2031} for each in OBJECTS])),
    Case("nested fields", json.dumps(NESTED), {"rows": 2, "to_send": 2}, columns=NESTED_COLUMNS),
    Case("nested fields in lines", "\n".join(map(json.dumps, NESTED)), {"rows": 2, "to_send": 2}, columns=NESTED_COLUMNS),
    Case("cards of customers", json.dumps({"customers": [{"cust": "c1", "cards": OBJECTS}]}), export={"records": "customers.*.cards.*"}, columns=COLUMNS | {"customer": "..cust"}),
    Case("JSON lines, a Ctrl-Z behind the last", "\n".join(map(json.dumps, OBJECTS)) + "\x1a"),
    Case("a JSON array and a Ctrl-Z", json.dumps(OBJECTS, indent=4) + "\r\n\x1a"),
    Case("JSON in UTF-16", json.dumps(OBJECTS).encode("utf-16")),
    Case("a JSON line cut short", "\n".join(map(json.dumps, OBJECTS))[:-9], malformed("it is no JSON object", 3)),
    Case("a key that stands twice", "\n".join(map(json.dumps, OBJECTS)).replace("{", '{"id": "B", ', 1), malformed("a key stands twice in it, or it is nested too deep", 3)),
    Case("a list for a name", "\n".join(map(json.dumps, OBJECTS)).replace('"Ann Lee"', '["Ann"]', 1), malformed("a list stands in `name`: name another field, or, if its members are the records, set `export.records` to their path", 3)),
    Case("an object for a name", "\n".join(map(json.dumps, OBJECTS)).replace('"Ann Lee"', '{"first": "Ann"}', 1), malformed("an object stands in `name`: name the field in it, as in `name.FIELD`", 3)),
    Case("an array cut short", json.dumps(OBJECTS)[:-9], says="well-formed|cut short|ends"),
    Case("no records at the path", json.dumps({"data": OBJECTS}), says="without records", export={"records": "cards.*"}),
    Case("no records at the path, over lines", json.dumps({"data": OBJECTS}, indent=1), says="without records", export={"records": "cards.*"}),
    Case("a path that is wrong further in", json.dumps({"customers": [{"cards": OBJECTS}]}, indent=1), says="without records", export={"records": "customers.*.crads.*"}),
    Case("no record names the number", "\n".join(map(json.dumps, OBJECTS)), says=r"no record of the export has number \(column `pan`\)", columns=COLUMNS | {"number": "pan"}),
    Case("no record names the number, in a list", json.dumps(OBJECTS), says=r"no record of the export has number \(column `pan`\)", columns=COLUMNS | {"number": "pan"}),
    Case("no record names the id", json.dumps(OBJECTS, indent=1), says=r"no record of the export has legacy_id \(column `ref`\)", columns=COLUMNS | {"legacy_id": "ref"}),
    Case("JSON of another system", json.dumps([{"ref": "A1", "pan": VISA, "until": "12/31"}]), says="no record of the export has"),
    Case("the cards a level deeper than the records", json.dumps({"customers": [{"cards": OBJECTS}]}), says="no record of the export has", export={"records": "customers.*"}),
    Case("a customer without a card alone", json.dumps({"mail": "ann@example.com", "number": None}), {"rows": 1, "skipped": {"no_card": 1}}),
    Case("customers without a card among cards", "\n".join(map(json.dumps, [{"mail": "ann@example.com"}] * 5 + OBJECTS)), {"rows": 8, "to_send": 3, "skipped": {"no_card": 5}}),
    Case("a customer whose card is null", json.dumps({"mail": "ann@example.com", "card": None}), {"rows": 1, "skipped": {"no_card": 1}}, columns=NESTED_COLUMNS | {"legacy_id": "card.id"}),
    Case("no record in an array", "[]", {"rows": 0, "to_send": 0}),
    Case("an object with nothing in it", "{}", {"rows": 1, "skipped": {"no_card": 1}}),
    Case("customers without cards", json.dumps({"customers": [{"cards": []}, {}]}, indent=1), {"rows": 2, "skipped": {"no_card": 2}}, export={"records": "customers.*.cards.*"}),
]  # fmt: skip

EXPIRIES = [
    expiry("12/31", "MM/YY"),
    expiry("12 / 31", "MM/YY"),
    expiry("1/31", "MM/YY"),
    expiry("12/2031", "MM/YYYY"),
    expiry("12-31", "MM-YY"),
    expiry("12-2031", "MM-YYYY"),
    expiry("1231", "MMYY"),
    expiry("131", "MMYY", INVALID),
    expiry("122031", "MMYYYY"),
    expiry("3112", "YYMM"),
    expiry("203112", "YYYYMM"),
    expiry("2031-12", "YYYY-MM"),
    expiry("2031/12", "YYYY/MM"),
    expiry("2031-12-31", "YYYY-MM-DD"),
    expiry("2031-12-31T00:00:00Z", "YYYY-MM-DD"),
    expiry("2031-12-31 00:00:00", "YYYY-MM-DD"),
    expiry("Dec-31", "MMM-YY"),
    expiry("dec-31", "MMM-YY"),
    expiry("13/31", "MM/YY", INVALID),
    expiry("00/31", "MM/YY", INVALID),
    expiry("31-12", "MM-YY", INVALID),
    expiry("", "MM/YY", INVALID),
    expiry("12/31", ["MM/YY", "MMYY"]),
    expiry("1112", ["MMYY", "YYMM"], INVALID),
    expiry("12/20", "MM/YY", EXPIRED),
    Case("years of two digits", row(year="31"), ONE),
    Case("months of one digit", row(month="1"), ONE),
    Case("months by name", row(month="Jan"), INVALID),
    Case("pandas' floats", row(month="12.0", year="2031.0", number=f"{VISA}.0"), ONE),
    Case("expired and wanted", row(year="2020"), ONE, rules={"expired": "tokenize"}),
]

VALUES = [
    Case("blanks in a number", row(number="4242 4242 4242 4242"), ONE),
    Case("dashes in a number", row(number="4242-4242-4242-4242"), ONE),
    Case("a masked number", row(number="424242******4242"), fails("number_masked")),
    Case("a spreadsheet's number", row(number="4.24242E+15"), fails("number_damaged")),
    Case("a number with a wrong digit", row(number="4242424242424241"), fails("number_checksum")),
    Case("no number", row(number=""), fails("number_missing")),
    Case("words for a number", row(number="see file"), fails("number_not_digits")),
    Case("a number too short", row(number="42424242"), fails("number_length")),
    Case("no name", row(name=""), fails("name_missing")),
    Case("a name too long", row(name="A" * 300), fails("name_too_long")),
    Case("no id", row(id=""), fails("legacy_id_missing")),
    Case("a card number as id", row(id=MASTER), fails("legacy_id_is_card_number")),
    Case("a card number in a name", row(name=f"Ann {MASTER}"), fails("field_contains_card_number")),
    Case("a formula as id", row(id='"=""00123"""'), fails("value_damaged")),
    Case("an error as name", row(name="#REF!"), fails("value_damaged")),
    Case("an id that was rounded", row(id="1.2E+11"), fails("value_damaged")),
    Case("a null as name", row(name="NULL"), fails("value_damaged")),
    Case("a null as name, told", row(name="NULL"), fails("name_missing"), export={"null_values": ["NULL"]}),
    Case("Nan is a name", row(name="Nan Lee"), ONE),
    Case("Null is a name", row(name="Null"), ONE),
    Case("the same id twice, another card", GOOD.replace("A1,", "A0,"), {"rows": 3, "to_send": 1}),
]  # fmt: skip

PACKED = [
    Case("in gzip", gzip.compress(GOOD.encode())),
    Case("in bzip2", bz2.compress(GOOD.encode())),
    Case("in xz", lzma.compress(GOOD.encode())),
    Case("in zstd", zstd.compress(GOOD.encode())),
    Case("in ZIP", zipped({"cards.csv": GOOD.encode()})),
    Case("in tar in gzip", gzip.compress(tarred({"cards.csv": GOOD.encode()}))),
    Case("JSON in ZIP", zipped({"cards.json": json.dumps(OBJECTS).encode()})),
    Case("ZIP of two", zipped({"a.csv": GOOD.encode(), "b.csv": b""}), says="ZIP archive with 2 files"),
    Case("a workbook", workbook(), says="spreadsheet"),
    Case("gzip cut short", gzip.compress(GOOD.encode())[:-4], says="gzip data in it is cut short"),
]  # fmt: skip

REFUSED = [
    Case("nothing", b"", says="empty"),
    Case("no header", "\n".join([*ROWS, ""]), says="no header"),
    Case("another header", GOOD.replace("number", "pan", 1), says="lacks number"),
    Case("a header in capitals", GOOD.replace(HEAD, HEAD.upper()), says="lacks"),
    Case("the wrong delimiter", GOOD.replace(",", ";"), says="lacks"),
    Case("a web page", "<html><body>not found</body></html>", says="an HTML page"),
    Case("a column of codes", row(cvv="987"), says="security codes"),
    Case("codes by another name", row(cvc2="987"), says="security codes"),
    Case("tracks", row(track2=f"{VISA}=3112"), says="security codes|card number"),
    Case("sep= and another sign", "sep=;\n" + GOOD, says="sep="),
    Case("more rows than wanted", GOOD, says="more than 2 rows", rules={"max_rows": 2}),
    Case("other rows than wanted", GOOD, says="it has 3 rows", rules={"expect_rows": 5}),
]

CASES = [*DIALECTS, *ENCODINGS, *JSON, *EXPIRIES, *VALUES, *PACKED, *REFUSED]
