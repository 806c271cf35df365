"""Named rows that some sender will send, each with the verdict that it must get.

All rows of one kind stand in one export, each between two good rows, so that a row which spoils
its neighbours is found as well. Numbers are made up, unique to their row, and looked for in
everything that a run writes.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tests.support.cards import card_number, check_digit

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = (
    *("legacy_id", "name", "number", "expiration_month", "expiration_year"),
    *("city", "country", "email", "legacy_customer_id"),
)
OPTIONS = (
    "export.columns.country=country",
    "export.columns.email=email",
    "export.allow_plaintext=true",
    "rules.as_of=2026-11-23",
)
ACCEPTED = "accepted"
_THAI = {48 + digit: 0x0E50 + digit for digit in range(10)}
_WIDE = {48 + digit: 0xFF10 + digit for digit in range(10)}
_ARABIC = {48 + digit: 0x0660 + digit for digit in range(10)}
_ZERO_WIDTH, _NO_BREAK, _OVERRIDE, _LINE_SEPARATOR = "\u200b", "\u00a0", "\u202e", "\u2028"


@dataclass(frozen=True)
class BadRow:
    """One row: what is changed in a good one, or the raw line, and the verdict."""

    name: str
    code: str
    field: str | None
    change: Callable[[str], dict[str, str] | bytes]
    """Given the row's own number, the cells that differ, or the whole line as bytes."""
    counts_for: int = 1
    """How many rows the line is: a lone carriage return may have been a row's end."""

    @property
    def verdict(self) -> tuple[str, str | None] | None:
        """Code and field as the failure report has them; None for a row that is sent."""
        return None if self.code == ACCEPTED else (self.code, self.field)


def _number(name: str, code: str, write: Callable[[str], str]) -> BadRow:
    return BadRow(f"number {name}", code, "number", lambda pan: {"number": write(pan)})


def _cell(label: str, code: str, field: str, /, **cells: str) -> BadRow:
    return BadRow(label, code, field, lambda _: cells)


def _holding(field: str, name: str, write: Callable[[str], str]) -> BadRow:
    code = "legacy_id_is_card_number" if field == "legacy_id" else "field_contains_card_number"
    shown = "carry:legacy_customer_id" if field == "legacy_customer_id" else field
    return BadRow(f"{field} holds {name}", code, shown, lambda pan: {field: write(pan)})


def _fours(pan: str, separator: str) -> str:
    return separator.join(pan[at : at + 4] for at in range(0, len(pan), 4))


def _rechecked(stem: str) -> str:
    return stem + check_digit(stem)


def _swapped(pan: str) -> str:
    at = next(
        n for n in range(1, 15) if pan[n] != pan[n + 1] and {pan[n], pan[n + 1]} != {"0", "9"}
    )
    return pan[:at] + pan[at + 1] + pan[at] + pan[at + 2 :]


NUMBERS = [
    _number("with a wrong check digit", "number_checksum", lambda p: p[:-1] + str(9 - int(p[-1]))),
    _number("with two digits swapped", "number_checksum", _swapped),
    _number("of 11 digits", "number_length", lambda p: _rechecked(p[:10])),
    _number("of 12 digits", "number_length", lambda p: _rechecked(p[:11])),
    _number("of 15 digits", "number_length", lambda p: _rechecked(p[:14])),
    _number("of 17 digits", "number_length", lambda p: _rechecked(p)),
    _number("of 20 digits", "number_length", lambda p: _rechecked(p + "123")),
    _number("of 60,000 digits", "number_length", lambda p: "4" * 60_000),
    _number("twice", "number_length", lambda p: f"{p} {p}"),
    _number("with letters", "number_not_digits", lambda p: p[:4] + "abcd" + p[8:]),
    _number("with capital O for zero", "number_not_digits", lambda p: "4O" + p[2:]),
    _number("with an apostrophe", "number_not_digits", lambda p: "'" + p),
    _number("with an equals sign", "number_not_digits", lambda p: f'="{p}"'),
    _number("with a plus sign", "number_not_digits", lambda p: "+" + p),
    _number("with dots", "number_not_digits", lambda p: _fours(p, ".")),
    _number("with commas", "number_not_digits", lambda p: f"{int(p):,}"),
    _number("with slashes", "number_not_digits", lambda p: _fours(p, "/")),
    _number("with another after a slash", "number_not_digits", lambda p: f"{p}/{p}"),
    _number("in no-break groups", "number_not_digits", lambda p: _fours(p, _NO_BREAK)),
    _number("with zero-width spaces", "number_not_digits", lambda p: _fours(p, _ZERO_WIDTH)),
    _number("in Thai digits", "number_not_digits", lambda p: p.translate(_THAI)),
    _number("in full-width digits", "number_not_digits", lambda p: p.translate(_WIDE)),
    _number("in Arabic-Indic digits", "number_not_digits", lambda p: p.translate(_ARABIC)),
    _number("in mixed digits", "number_not_digits", lambda p: p[:8] + p[8:].translate(_THAI)),
    _number("in hexadecimal", "number_not_digits", lambda p: hex(int(p))),
    _number("as NULL", "number_not_digits", lambda p: "NULL"),
    _number("as not available", "number_not_digits", lambda p: "#N/A"),
    _number("in markup", "number_not_digits", lambda p: f"<b>{p}</b>"),
    _number("in a question mark's place", "number_not_digits", lambda p: p[:15] + "?"),
    _number("by a spreadsheet", "number_damaged", lambda p: f"{float(p):.2E}"),
    _number("by a spreadsheet, European", "number_damaged", lambda p: "4,24E+15"),
    _number("as a float", ACCEPTED, lambda p: p + ".0"),
    _number("masked with stars", "number_masked", lambda p: p[:6] + "******" + p[-4:]),
    _number("masked with crosses", "number_masked", lambda p: "XXXX-XXXX-XXXX-" + p[-4:]),
    _number("masked with bullets", "number_masked", lambda p: "\u2022" * 12 + p[-4:]),
    _number("masked with dots", "number_masked", lambda p: "..." + p[-4:]),
    _number("missing", "number_missing", lambda p: ""),
    _number("of blanks", "number_missing", lambda p: "    "),
    _number("of dashes", "number_missing", lambda p: "----"),
    _number("of zeros", "brand_unsupported", lambda p: "0" * 16),
    _number("of no brand", "brand_unsupported", lambda p: _rechecked("9" + p[1:15])),
    _number("of a brand not taken", "brand_unsupported", lambda p: _rechecked("675900" + p[6:15])),
    _number("in groups by blanks", ACCEPTED, lambda p: _fours(p, " ")),
    _number("in groups by dashes", ACCEPTED, lambda p: _fours(p, "-")),
    _number("between blanks", ACCEPTED, lambda p: f"  {p}\t"),
]

EXPIRATIONS = [
    *(
        _cell(f"month {text!r}", "expiration_invalid", "expiration_month", expiration_month=text)
        for text in (
            "0",
            "00",
            "13",
            "-1",
            "1.5",
            "012",
            "Jan",
            "\uff11\uff12",
            "\u0e51",
            "1e0",
            "",
        )
    ),
    *(
        _cell(f"year {text!r}", "expiration_invalid", "expiration_year", expiration_year=text)
        for text in (
            "",
            "5",
            "203",
            "20310",
            "2099",
            "2574",
            "-31",
            "2031.00",
            "\uff12\uff10\uff13\uff11",
        )
    ),
    _cell(
        "no expiration", "expiration_invalid", "expiration", expiration_month="", expiration_year=""
    ),
    _cell(
        "last month", "card_expired", "expiration", expiration_month="10", expiration_year="2026"
    ),
    _cell("last year", "card_expired", "expiration", expiration_month="12", expiration_year="2025"),
    _cell("year 1999", "card_expired", "expiration", expiration_month="12", expiration_year="1999"),
    _cell("this month", ACCEPTED, "", expiration_month="11", expiration_year="2026"),
    _cell("short year", ACCEPTED, "", expiration_month="01", expiration_year="31"),
]

NAMES = [
    _cell("no name", "name_missing", "name", name=""),
    _cell("a blank name", "name_missing", "name", name="   "),
    _cell("a name of 256", "name_too_long", "name", name="N" * 256),
    _cell("a name of a kilobyte", "name_too_long", "name", name="N" * 1024),
    _cell("a name of two lines", "malformed_row", "name", name="Ann\nLee"),
    _cell("a name written backwards", "malformed_row", "name", name=f"Ann{_OVERRIDE}eeL"),
    _cell("a name with a line separator", "malformed_row", "name", name=f"Ann{_LINE_SEPARATOR}Lee"),
    _cell("a name of 255", ACCEPTED, "", name="N" * 255),
    _cell("a Thai name", ACCEPTED, "", name="สมชาย ประเสริฐ"),
    _cell("an emoji name", ACCEPTED, "", name="Ann \U0001f4b3 Lee"),
    _cell("a name with markup", ACCEPTED, "", name="<img src=x onerror=alert(1)>"),
    _cell("a name with quotes", ACCEPTED, "", name='O\'Brien "Bob", Jr.'),
    _cell("a name that says CVV", ACCEPTED, "", name="Ann Lee CVV 123"),
    _cell("a country of three letters", ACCEPTED, "", country="THA"),
    _cell("a country that is none", "country_invalid", "country", country="XX"),
    _cell("a country by name", ACCEPTED, "", country="Thailand"),
    _cell("a country of a German letter", "country_invalid", "country", country="\u00df"),
    _cell("a country in small letters", ACCEPTED, "", country="th"),
]

IDENTITIES = [
    _cell("no legacy id", "legacy_id_missing", "legacy_id", legacy_id=""),
    _cell("a blank legacy id", "legacy_id_missing", "legacy_id", legacy_id=" \t "),
    _cell("a legacy id of 10 kilobytes", "malformed_row", "legacy_id", legacy_id="i" * 10_240),
    _cell("a legacy id of two lines", "malformed_row", "legacy_id", legacy_id="i\n1"),
    _cell(
        "a legacy id written backwards", "malformed_row", "legacy_id", legacy_id=f"i{_OVERRIDE}1"
    ),
    _cell("a legacy id met again", "legacy_id_duplicate", "legacy_id", legacy_id="twice"),
    _cell("a legacy id met before", "legacy_id_duplicate", "legacy_id", legacy_id="twice"),
    _cell("a legacy id of markup", ACCEPTED, "", legacy_id="<script>alert(1)</script>"),
    _cell("a legacy id of a path", ACCEPTED, "", legacy_id="../../etc/passwd"),
    *(
        _cell(
            f"a legacy id that starts with {sign}",
            ACCEPTED,
            "",
            legacy_id=f"{sign}cmd|' /C calc'!A0",
        )
        for sign in ("=", "+", "-", "@", "\uff1d")
    ),
    _cell(
        "a legacy id with a zero-width space",
        "value_damaged",
        "legacy_id",
        legacy_id=f"i{_ZERO_WIDTH}1",
    ),
    _cell("a legacy id of SQL", ACCEPTED, "", legacy_id="'; DROP TABLE rows; --"),
]

HIDDEN = [
    *(
        _holding(field, "a card number", str)
        for field in ("legacy_id", "name", "city", "email", "legacy_customer_id")
    ),
    _holding("legacy_id", "a card number with a prefix", lambda pan: f"cus_{pan}"),
    _holding("name", "a spaced card number", lambda pan: f"Ann {_fours(pan, ' ')} Lee"),
    _holding("name", "a dashed card number", lambda pan: _fours(pan, "-")),
    _holding("name", "a card number of no-break groups", lambda pan: _fours(pan, _NO_BREAK)),
    _holding("name", "a Thai card number", lambda pan: pan.translate(_THAI)),
    _holding("city", "a full-width card number", lambda pan: pan.translate(_WIDE)),
    _holding("name", "track 1", lambda pan: f"%B{pan}^LEE/ANN^31121010000?"),
    _holding("city", "track 2", lambda pan: f";{pan}=31121010000?"),
    _holding("legacy_customer_id", "track 2 without sentinels", lambda pan: f"{pan}=3112101"),
    _holding("city", "a dotted card number", lambda pan: _fours(pan, ".")),
    _holding("name", "a card number with low lines", lambda pan: _fours(pan, "_")),
    _holding("legacy_id", "a card number of slashes", lambda pan: _fours(pan, "/")),
    *(
        _holding(field, f"a card number {how}", write)
        for field in ("legacy_id", "legacy_customer_id")
        for how, write in {
            "in base64": lambda pan: base64.b64encode(f"n{pan};".encode()).decode(),
            "in hexadecimal": lambda pan: pan.encode().hex(),
            "in percent signs": lambda pan: "".join(f"%{ord(digit):02X}" for digit in pan),
            "url-encoded": lambda pan: _fours(pan, "%20"),
            "with markup's blanks": lambda pan: _fours(pan, "&nbsp;"),
        }.items()
    ),
    _holding("email", "a card number at a host", lambda pan: f"{pan}@example.org"),
]

_GOOD = "x-{0},Ann,{1},1,2031,Bangkok,TH,,c"


def _line(name: str, code: str, write: Callable[[str], str | bytes]) -> BadRow:
    def raw(pan: str) -> bytes:
        line = write(pan)
        return line if isinstance(line, bytes) else line.encode()

    return BadRow(name, code, None, raw)


LINES = [
    _line("too few fields", "malformed_row", lambda p: f"few,Ann,{p}"),
    _line("too many fields", "malformed_row", lambda p: f"many,Ann,{p},1,2031,B,TH,,c,d"),
    _line("one field", "malformed_row", str),
    _line("a comment", "malformed_row", lambda p: f"# {p}"),
    _line("a trailer", "malformed_row", lambda p: "TRAILER;000123"),
    _line("semicolons", "malformed_row", lambda p: f"semi;Ann;{p};1;2031;B;TH;;c"),
    _line("tabs", "malformed_row", lambda p: f"tabs\tAnn\t{p}\t1\t2031\tB\tTH\t\tc"),
    _line("JSON among CSV", "malformed_row", lambda p: json.dumps({"number": p})),
    _line("a NUL", "malformed_row", lambda p: f"nul\0,Ann,{p},1,2031,B,TH,,c"),
    _line("an escape sequence", "malformed_row", lambda p: f"\x1b[31mred,Ann,{p},1,2031,B,TH,,c"),
    _line("a backspace", "malformed_row", lambda p: f"back,An\bn,{p},1,2031,B,TH,,c"),
    _line("an open quote", "malformed_row", lambda p: f'open,"Ann,{p},1,2031,B,TH,,c'),
    _line("text after a quote", "malformed_row", lambda p: f'after,"Ann"x,{p},1,2031,B,TH,,c'),
    _line("a field of 10 megabytes", "row_too_long", lambda p: f"{p}," + "x" * 10_000_000),
    _line("a row of 70 kilobytes", "row_too_long", lambda p: _GOOD.format("y" * 70_000, p)),
    _line("Latin-1", "undecodable_text", lambda p: _GOOD.format("l", p).encode() + b"\xe9"),
    _line("cp1252", "undecodable_text", lambda p: _GOOD.format("w", p).encode() + b"\x93a\x94"),
    _line("TIS-620", "undecodable_text", lambda p: _GOOD.format("t", p).encode() + b"\xca\xc1\xaa"),
    _line("Shift-JIS", "undecodable_text", lambda p: _GOOD.format("j", p).encode() + b"\x83\x65"),
    _line(
        "an overlong slash",
        "undecodable_text",
        lambda p: _GOOD.format("o", p).encode() + b"\xc0\xaf",
    ),
    _line(
        "a surrogate", "undecodable_text", lambda p: _GOOD.format("s", p).encode() + b"\xed\xa0\x80"
    ),
    _line(
        "a cut character", "undecodable_text", lambda p: _GOOD.format("c", p).encode() + b"\xe0\xb8"
    ),
    _line("quoted fields", ACCEPTED, lambda p: f'"quo","Ann","{p}","1","2031","B","TH","",""'),
    _line("a quote inside a field", ACCEPTED, lambda p: f'q-1,An"n,{p},1,2031,B,TH,,c'),
    _line("a carriage return at the end", ACCEPTED, lambda p: f"cr-2,Ann,{p},1,2031,B,TH,,c\r"),
]

_LONE_CR = BadRow(
    "a lone carriage return",
    "malformed_row",
    None,
    lambda pan: f"cr,An\rn,{pan},1,2031,B,TH,,c\n".encode(),
    counts_for=2,
)

CSV_ROWS = [*NUMBERS, *EXPIRATIONS, *NAMES, *IDENTITIES, *HIDDEN, *LINES, _LONE_CR]


def _json(name: str, code: str, field: str | None, write: Callable[[str], str | bytes]) -> BadRow:
    row = _line(name, code, write)
    return BadRow(f"JSON {name}", code, field, row.change)


def _object(pan: str, **changes: object) -> str:
    cells = dict(zip(COLUMNS, ("", "Ann", pan, 1, 2031, "B", "TH", "", "c"), strict=True))
    cells["legacy_id"] = f"j-{pan[-6:]}"
    return json.dumps({**cells, **changes})


_DEEP, _DEEPER = '{"a":' * 40 + "1" + "}" * 40, "[" * 100_000

JSON_ROWS = [
    _json("that is none", "malformed_row", None, lambda p: "{" + p),
    _json("array", "malformed_row", None, lambda p: f'["{p}"]'),
    _json("text", "malformed_row", None, lambda p: f'"{p}"'),
    _json("number", "malformed_row", None, str),
    _json("null", "malformed_row", None, lambda p: "null"),
    _json("NaN", "malformed_row", None, lambda p: _object(p)[:-1] + ',"x":NaN}'),
    _json("with a key twice", "malformed_row", None, lambda p: _object(p)[:-1] + ',"number":"1"}'),
    _json("with an escaped key twice", "malformed_row", None, lambda p: _object(p)[:-1] + ',"n\\u0061me":"A"}'),
    _json("of two objects", "malformed_row", None, lambda p: _object(p) * 2),
    _json("with a comma too many", "malformed_row", None, lambda p: _object(p)[:-1] + ",}"),
    _json("in single quotes", "malformed_row", None, lambda p: _object(p).replace('"', "'")),
    _json("nested 40 deep", "malformed_row", None, lambda p: _object(p)[:-1] + f',"x":{_DEEP}}}'),
    _json("of 60,000 brackets", "malformed_row", None, lambda p: _DEEPER[:60_000]),
    _json("of 100,000 brackets", "row_too_long", None, lambda p: _DEEPER),
    _json("with a list for a name", "malformed_row", None, lambda p: _object(p, name=["Ann"])),
    _json("with an object for a number", "malformed_row", None, lambda p: _object(p, number={"pan": p})),
    _json("with an escaped NUL", "malformed_row", None, lambda p: _object(p, name="An\0n")),
    _json("with an escaped newline", "malformed_row", "name", lambda p: _object(p, name="An\nn")),
    _json("with half a surrogate", "malformed_row", None, lambda p: _object(p, name="An\ud83d")),
    _json("with bytes of Latin-1", "undecodable_text", None, lambda p: _object(p).encode()[:-1] + b',"x":"\xe9"}'),
    _json("with a NUL", "malformed_row", None, lambda p: _object(p) + "\0"),
    _json("without a number", "number_missing", "number", lambda p: _object(p, number=None)),
    _json("with a true number", "number_not_digits", "number", lambda p: _object(p, number=True)),
    _json("with a rounded number", "number_damaged", "number", lambda p: _object(p).replace(f'"{p}"', "4.24e15")),
    _json("with a number of 5,000 digits", "malformed_row", None, lambda p: _object(p).replace(f'"{p}"', "4" * 5_000)),
    _json("with a number of 300 digits", "number_length", "number", lambda p: _object(p).replace(f'"{p}"', "4" * 300)),
    _json("with 5,000 digits beside a float", "malformed_row", None, lambda p: _object(p, expiration_month=1.5)[:-1] + ',"x":' + "4" * 5_000 + "}"),
    _json("with a float for a month", "expiration_invalid", "expiration_month", lambda p: _object(p, expiration_month=1.5)),
    _json("with a card number for an id", "legacy_id_is_card_number", "legacy_id", lambda p: _object(p, legacy_id=int(p))),
    _json("with an unquoted number", ACCEPTED, None, lambda p: _object(p, number=int(p))),
    _json("with an escaped number", ACCEPTED, None, lambda p: _object(p).replace(p, "".join(f"\\u003{d}" for d in p))),
    _json("with unknown keys", ACCEPTED, None, lambda p: _object(p, x={"y": [1]})),
]  # fmt: skip


@dataclass(frozen=True)
class RowExport:
    """An export of bad rows between good ones, and what each must come to."""

    plain: bytes
    numbers: tuple[str, ...]
    places: dict[str, int]
    """A case's name to its row number."""
    rows: int


def _good_cells(place: int, pan: str) -> dict[str, str]:
    values = (f"good-{place}", "Ann Lee", pan, "12", "2031", "Bangkok", "TH", "a@example.org", "c")
    return dict(zip(COLUMNS, values, strict=True))


def _csv_line(cells: dict[str, str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([cells[name] for name in COLUMNS])
    return text.getvalue().encode()


def _written(
    row: BadRow, place: int, pan: str, as_line: Callable[[dict[str, str]], bytes]
) -> bytes:
    change = row.change(pan)
    if isinstance(change, bytes):
        return change + b"\n"
    return as_line(_good_cells(place, pan) | {"legacy_id": f"bad-{place}"} | change)


def export_of(rows: list[BadRow], *, as_json: bool = False, seed: int = 6) -> RowExport:
    """Write every row between two good ones."""
    random, numbers, places = Random(seed), [], {}
    as_line = _json_line if as_json else _csv_line
    parts = [] if as_json else [",".join(COLUMNS).encode() + b"\n"]
    place = 0
    for row in rows:
        numbers += [card_number(random), card_number(random)]
        parts.append(as_line(_good_cells(place + 1, numbers[-2])))
        parts.append(_written(row, place + 2, numbers[-1], as_line))
        places[row.name] = place + 2
        place += 1 + row.counts_for
    numbers.append(card_number(random))
    parts.append(as_line(_good_cells(place + 1, numbers[-1])))
    return RowExport(b"".join(parts), tuple(numbers), places, place + 1)


def _json_line(cells: dict[str, str]) -> bytes:
    return json.dumps(cells).encode() + b"\n"
