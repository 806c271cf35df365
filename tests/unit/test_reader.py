"""The reader's verdict on files as they come: well-made, odd, dirty and hostile."""

from __future__ import annotations

import codecs
import traceback

import pytest

from pipeline.cards.detect import contains_pan
from pipeline.cards.field_formats import split_expirations
from pipeline.config.policies import Multiline, Quoting
from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.cards import COLUMNS, csv_export, row
from tests.support.frames import frame_of
from tests.support.sampled import sampled

HEAD = b"id,card_number,card_holder,exp_month,exp_year\n"
VISA = "4242424242424242"
GOOD = "a,4242424242424242,Somchai,12,2030"
OPTIONS = ReaderOptions(COLUMNS)


def verdict(raw, **changes):
    """Give every row in order: its legacy id and name, or its code."""
    options = ReaderOptions(**({"columns": COLUMNS, "row_bytes_max": 4096} | changes))
    found = {}
    for chunk in read([raw], options):
        names = zip(frame_of(chunk)["legacy_id"], frame_of(chunk)["name"], strict=True)
        found |= dict(zip(frame_of(chunk).index.tolist(), names, strict=True))
        found |= {rejection.row: rejection.code for rejection in chunk.rejections}
    return [found[place] for place in range(1, len(found) + 1)]


def refusal(raw, **changes):
    """Give the message of the refusal, having checked that it tells nothing of the data."""
    with pytest.raises(ExportRefused) as caught:
        verdict(raw, **changes)
    told = "".join(traceback.format_exception(caught.value)) + caught.value.next_step

    assert not contains_pan(told.replace(VISA, "", told.count('"' + VISA)))
    assert "SECRET" not in told
    return caught.value.message


A = ("a", "Somchai")
B = ("b", "Malee")
ROW_B = b"b,4242424242424242,Malee,12,2030\n"
ROW_A = GOOD.encode() + b"\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"", [], id="header only"),
        pytest.param(ROW_A[:-1], [A], id="no final newline"),
        pytest.param(ROW_A + ROW_B, [A, B], id="two rows"),
        pytest.param((ROW_A + ROW_B).replace(b"\n", b"\r\n"), [A, B], id="CRLF"),
        pytest.param(ROW_A + ROW_B[:-1] + b"\r\n" + ROW_A, [A, B, A], id="mixed line ends"),
        pytest.param(ROW_A + b"\n\r\n  \n" + ROW_B + b"\n", [A, B], id="blank lines are no rows"),
        pytest.param(ROW_A + b",,,,\n" + ROW_B, [A, B], id="nothing but delimiters is no row"),
        pytest.param(ROW_A + b"a,b,c\n" + ROW_B, [A, "malformed_row", B], id="too few fields"),
        pytest.param(ROW_A + b"1,2,3,4,5,6\n" + ROW_B, [A, "malformed_row", B], id="too many"),
        pytest.param(ROW_A + b"\t,,,,\n" + ROW_B, [A, B], id="a tab is nothing"),
        pytest.param(
            ROW_A + "\u00a0,,,,\n".encode() + ROW_B, [A, B], id="a blank of any kind is nothing"
        ),
        pytest.param(
            ROW_A.replace(b"a,", b'"a",') + b"\t,,,,\n" + ROW_B, [A, B], id="nor is a tab by quotes"
        ),
        pytest.param(b"# comment\n" + ROW_B, ["malformed_row", B], id="no comment lines"),
        pytest.param(ROW_A.replace(b"chai", b"\0"), ["malformed_row"], id="NUL"),
        pytest.param(ROW_A.replace(b"chai", b"\x1b[2J"), ["malformed_row"], id="terminal escape"),
        pytest.param(ROW_A + b"\x1a", [A], id="DOS end of file"),
        pytest.param(ROW_A + ROW_B[:-1] + b"\x1a", [A, B], id="DOS end of file in the last row"),
        pytest.param(ROW_A + b"\x1a\x1a\r\n", [A], id="DOS end of file, and a line end"),
        pytest.param(ROW_A + b"\x1a\n" + ROW_B, [A, "malformed_row", B], id="Ctrl-Z between rows"),
        pytest.param(ROW_A + b"\x1a" + ROW_B, [A, "malformed_row"], id="Ctrl-Z before a row"),
        pytest.param(
            ROW_A.replace(b"S", b"\r") + ROW_B,
            ["malformed_row", "malformed_row", B],
            id="lone CR inside: perhaps two rows",
        ),
        pytest.param(
            ROW_A.replace(b"Somchai", b'"Som\rchai"'), [("a", "Som\rchai")], id="CR in quotes"
        ),
        pytest.param(
            ROW_A.replace(b"Somchai", b'"Som\nchai"') + ROW_B,
            [("a", "Som\nchai"), B],
            id="quoted line break",
        ),
        pytest.param(
            ROW_A.replace(b"Somchai", b'"Som""chai, Jr"'), [("a", 'Som"chai, Jr')], id="quotes"
        ),
        pytest.param(
            ROW_A.replace(b"Somchai", b'Som "Jr" chai'), [("a", 'Som "Jr" chai')], id="inner quotes"
        ),
        pytest.param(
            ROW_A.replace(b"Somchai", b'"Som"chai') + ROW_B,
            ["malformed_row", B],
            id="text after a closing quote",
        ),
        pytest.param(
            ROW_A.replace(b"Somchai", b'"Somchai') + ROW_B + ROW_A,
            ["malformed_row", B, A],
            id="an unclosed quote costs one row",
        ),
        pytest.param(
            ROW_A[:-1] + b',"\n\n"\n' + ROW_B[:-1] + b',"\n\n\n\n "\n',
            [A, B],
            id="an empty field more, over lines",
        ),
        pytest.param(
            b'\0\na,"x\n' + ROW_B + b'c,y",d"e,12,2030\n' + ROW_A,
            ["malformed_row"] * 4 + [A],
            id="joined rows behind a bad one",
        ),
        pytest.param(
            ROW_A + ROW_B.replace(b"Malee", b'"Malee'),
            [A, "malformed_row"],
            id="unclosed quote at the end",
        ),
        pytest.param(
            b'a,"x\ny\n' + ROW_B + b'z",3\n',
            ["malformed_row", "malformed_row", B, "malformed_row"],
            id="a record over lines that does not fit is its first line",
        ),
        pytest.param(
            b'a,"' + (ROW_B * 150) + b'",x,1,2\n',
            ["malformed_row", *[B] * 149, "malformed_row"],
            id="quotes closed too late",
        ),
        pytest.param(ROW_A + b"x" * 4097 + b"\n" + ROW_B, [A, "row_too_long", B], id="a long line"),
        pytest.param(
            b'a,"' + b"x" * 10_000_000 + b'",c,d,e\n' + ROW_B, ["row_too_long", B], id="10 MB field"
        ),
        pytest.param(ROW_A + b"y" * 5000, [A, "row_too_long"], id="a long line at the end"),
        pytest.param(
            b'a,"b\n' + b"x" * 5000 + b"\n" + ROW_B,
            ["malformed_row", "row_too_long", B],
            id="a long line in an open quote",
        ),
        pytest.param(
            ROW_A.replace(b"chai", b"\xff\xfe") + ROW_B,
            ["undecodable_text", B],
            id="no UTF-8",
        ),
        pytest.param(
            "a,4242424242424242,José,12,2030\n".encode("latin-1") + ROW_B,
            ["undecodable_text", B],
            id="latin-1 in UTF-8",
        ),
        pytest.param(
            "a,4242424242424242,สมชาย,12,2030\n".encode("tis-620") + ROW_B,
            ["undecodable_text", B],
            id="TIS-620 in UTF-8",
        ),
        pytest.param(
            "a,4242424242424242,山田,12,2030\n".encode("shift-jis") + ROW_B,
            ["undecodable_text", B],
            id="Shift-JIS in UTF-8",
        ),
        pytest.param(
            ROW_A.replace(b"chai", b"\xed\xa0\x80"), ["undecodable_text"], id="a surrogate"
        ),
        pytest.param(
            "a,4242424242424242,A\u2028B\x85C,12,2030\n".encode(),
            [("a", "A\u2028B\x85C")],
            id="other line separators end no line",
        ),
        pytest.param(
            "a,4242424242424242,\u202eiahcmoS\u200b,12,2030\n".encode(),
            [("a", "\u202eiahcmoS")],
            id="direction signs are text, an invisible sign at the end is a blank",
        ),
        pytest.param(b" a ,4242424242424242,\tSomchai ,12,2030\n", [A], id="blanks are stripped"),
        pytest.param(
            b"=cmd(),4242424242424242,@SUM(A1),12,2030\n", [("=cmd()", "@SUM(A1)")], id="formulas"
        ),
        pytest.param(b'"' + b"\n" * 3000, ["malformed_row"], id="a quote and blank lines"),
    ],
)
def test_each_kind_of_line_has_its_verdict(raw, expected):
    """No line is an exception, none is lost, and a bad one spoils no other."""
    assert verdict(HEAD + raw) == expected


DITTO = """id,note,number,name,month,year
1,vip,4242424242424242,Ann,12,2030
2,",4111111111111111,Bob,11,2029
3,x,4012888888881881,Cid,12,2030
4,",5555555555554444,Dan,01,2031
5,y,4000056655665556,Eve,12,2030
"""
WITH_NOTES = {
    "legacy_id": "id",
    "number": "number",
    "name": "name",
    "expiration_month": "month",
    "expiration_year": "year",
}


def ids_and_cards(text, **options):
    """Give id and last digits of each good row, and the code of each bad one."""
    found = []
    for chunk in read([text.encode()], ReaderOptions(WITH_NOTES, **options)):
        digits = chunk.numbers.last_digits().tolist()
        found += list(zip(frame_of(chunk)["legacy_id"].tolist(), digits, strict=True))
        found += [rejection.code for rejection in chunk.rejections]
    return found


def test_two_stray_quotes_never_give_a_row_another_rows_card():
    """Ditto marks join rows 2 to 4: each of the three lines is malformed, and none is lost."""
    assert [("1", "4242"), ("5", "5556"), *["malformed_row"] * 3] == ids_and_cards(DITTO)


def test_stray_quotes_in_neighbouring_rows_are_noticed_by_the_card_number_between_them():
    """No line lies between the quotes, but a field over two lines holds a card number."""
    without_third = DITTO.replace("3,x,4012888888881881,Cid,12,2030\n", "")

    assert [("1", "4242"), ("5", "5556"), *["malformed_row"] * 2] == ids_and_cards(without_third)


def test_stray_quotes_in_place_of_the_number_lose_no_row():
    """Where the quotes stand for the number itself, both lines are as wide as the header."""
    text = (
        "id,note,number,name,month,year\n"
        '1,a,",Ann,12,2030\n2,b,",Bob,12,2030\n3,c,4242424242424242,Cid,12,2030\n'
    )

    assert [("3", "4242"), *["malformed_row"] * 2] == ids_and_cards(text)


def test_an_honest_note_over_two_lines_stays_one_row():
    """A field that spans lines and looks like nothing else is read whole."""
    text = DITTO.splitlines()[0] + '\n1,"called\nback, ok",4242424242424242,Ann,12,2030\n'

    assert [("1", "4242")] == ids_and_cards(text)


def test_quotes_are_characters_where_the_settings_say_so():
    """With `quoting = "none"` every line is a row, and a ditto mark is a text."""
    found = ids_and_cards(DITTO, quoting=Quoting.NONE)

    assert ["4242", "1111", "1881", "4444", "5556"] == [digits for _, digits in found]


@pytest.mark.parametrize(
    ("multiline", "expected"),
    [
        (Multiline.NEVER, ["malformed_row", "malformed_row"]),
        (Multiline.ALWAYS, [("1", "4242")]),
    ],
)
def test_a_record_over_lines_is_none_or_always_one_where_the_settings_say_so(multiline, expected):
    """`never` takes each line for itself; `always` trusts the quotes."""
    text = DITTO.splitlines()[0] + '\n1,"called\nback",4242424242424242,Ann,12,2030\n'

    assert expected == ids_and_cards(text, multiline=multiline)


def test_backslashes_escape_quotes_and_leave_a_databases_null_alone():
    r"""`\"` is a quote, `\,` a comma, and a whole field of `\N` stays what it is."""
    text = (
        DITTO.splitlines()[0]
        + '\n1,"a \\"b\\"",4242424242424242,Ann,12,2030\n\\N,x,4111111111111111,B,1,2031\n'
    )

    assert [("1", "4242"), ("\\N", "1111")] == ids_and_cards(text, quoting=Quoting.BACKSLASH)


def test_a_blank_before_a_quote_leaves_no_quote_in_the_value():
    """`1, "x"` is a blank and a quoted field, as its writer meant it."""
    text = 'id,note,number,name,month,year\n "1", "x", "4242424242424242", "Lee, Ann", 12, 2030\n'

    assert [("1", "4242")] == ids_and_cards(text)


def test_rows_of_an_old_mac_under_a_header_of_unix_are_each_counted():
    """One physical line with five rows in it is five bad rows, not one."""
    rows = "".join(f"{n},x,4242424242424242,Ann,12,2030\r" for n in range(5))

    assert ["malformed_row"] * 5 == ids_and_cards(DITTO.splitlines()[0] + "\n" + rows)


@pytest.mark.parametrize("line", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_a_spreadsheets_own_first_line_is_no_header(line):
    """`sep=` names the delimiter; where it is the settings' own, reading goes on behind it."""
    text = line + DITTO.replace(",", ";").replace('"', "")

    assert 5 == len(ids_and_cards(text, delimiter=";"))


def test_a_first_line_that_names_another_delimiter_is_told():
    """The message names `sep=`, and what to set."""
    with pytest.raises(ExportRefused, match="sep=") as refused:
        ids_and_cards("sep=;\n" + DITTO)

    assert "export.delimiter" in refused.value.next_step


def test_a_header_in_brackets_is_no_json():
    """Only a bracket before an object, or an empty one, begins a JSON array."""
    text = "[id],[number],[name],[month],[year]\n1,4242424242424242,Ann,12,2030\n"
    columns = {name: f"[{source}]" for name, source in WITH_NOTES.items()}
    (chunk,) = read([text.encode()], ReaderOptions(columns))

    assert ["1"] == frame_of(chunk)["legacy_id"].tolist()


def test_a_control_character_may_be_the_delimiter():
    """Hive parts fields by U+0001; other control characters still spoil their row."""
    text = (
        DITTO.replace('"', "").replace(",", "\x01")
        + "6\x01\x02\x014242424242424242\x01F\x011\x012030\n"
    )

    assert 5 == len(
        [found for found in ids_and_cards(text, delimiter="\x01") if found != "malformed_row"]
    )


def test_an_invisible_sign_in_a_header_does_not_hide_the_column():
    """A zero-width space behind a name is a blank like any other."""
    assert 5 == len(ids_and_cards(DITTO.replace('"', "").replace("number,", "number\u200b,", 1)))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_read(delimiter):
    """The delimiter is a setting."""
    raw = csv_export([row(id="x,y")], delimiter=delimiter)

    assert verdict(raw, delimiter=delimiter) == [("x,y", "SOMCHAI PRASERT")]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp874", "shift-jis", "utf-8-sig"])
def test_other_encodings_are_read(encoding):
    """Any superset of ASCII may be set."""
    name = {"cp874": "สมชาย", "shift-jis": "表山田"}.get(encoding, "José")
    raw = csv_export([row(card_holder=name)]).decode().encode(encoding)

    assert verdict(raw, encoding=encoding) == [("cus_1", name)]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_names_the_encoding(mark, encoding):
    """UTF-8, UTF-16 and UTF-32 are told by their mark, which is no part of the header."""
    raw = csv_export([row(card_holder="สมชาย 🙂")]).decode().encode(encoding)

    assert verdict(mark + raw) == [("cus_1", "สมชาย 🙂")]


def test_damaged_utf_16_spoils_its_row_only():
    """A lone surrogate, or half a character at the end, is one undecodable row."""
    text = csv_export([row(), row(id="cus_2"), row(id="cus_3")]).decode()
    raw = codecs.BOM_UTF16_LE + text.replace("cus_2", "\ud800").encode("utf-16-le", "surrogatepass")

    assert verdict(raw + b"x") == [
        ("cus_1", "SOMCHAI PRASERT"),
        "undecodable_text",
        ("cus_3", "SOMCHAI PRASERT"),
        "undecodable_text",
    ]


def test_an_old_macs_line_ends_are_read():
    """Where the header ends at a lone CR, every CR ends a line."""
    raw = (HEAD + ROW_A + ROW_B).replace(b"\n", b"\r")

    assert verdict(raw) == [A, B]


def test_chunks_are_cut_at_fixed_row_counts_and_count_bad_rows():
    """Row numbers go on over chunks, and unreadable rows take theirs."""
    raw = HEAD + ROW_A + b"bad\n" + ROW_B + ROW_A + b"bad\n"
    chunks = list(read([raw], ReaderOptions(COLUMNS, chunk_rows=2)))

    assert [(c.first_row, c.last_row, frame_of(c).index.tolist()) for c in chunks] == [
        (1, 2, [1]),
        (3, 4, [3, 4]),
        (5, 5, []),
    ]
    assert [[r.row for r in c.rejections] for c in chunks] == [[2], [], [5]]


def test_numbers_stand_beside_the_frame_in_its_order():
    """The frame has no column of numbers; the numbers match its rows."""
    raw = HEAD + ROW_A + b"bad\n" + b"c,378282246310005,Nok,1,2031\n"
    (chunk,) = read([raw], OPTIONS)

    assert list(frame_of(chunk).columns) == [
        "legacy_id",
        "name",
        "expiration_month",
        "expiration_year",
    ]
    assert chunk.numbers.last_digits().tolist() == ["4242", "0005"]
    assert not contains_pan(frame_of(chunk).to_csv() + repr(chunk))


def test_header_names_may_stand_in_any_order_with_blanks_and_company():
    """Order, blanks around names, unknown columns and repeated unknown columns do not matter."""
    raw = b'exp_year ,Filler, id,card_holder,Filler,"card_number",exp_month\n'
    raw += b"2030,x,a,Somchai,y,4242424242424242,12\n"

    assert verdict(raw) == [A]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b"\n\r\n  \n", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (b"id;card_number;card_holder;exp_month;exp_year\n", "legacy_id (column `id`)"),
        (b"ID,card_number,card_holder,exp_month,exp_year\n", "legacy_id (column `id`)"),
        (b"id,card_number,card_holder,exp_month,SECRET\n", "expiration_year (column `exp_year`)"),
        (HEAD.replace(b"exp_month", b"id"), "expiration_month (column `exp_month`)"),
        (HEAD[:-1] + b",id\n", "more than one column for legacy_id (column `id`)"),
        (ROW_A, "its first line holds a card number"),
        (b"x" * 100_000 + b"\n", "longer than any row"),
        (b'"id,card_number\n', "no line of text fields"),
        (b"id,\xff\xff\n", "no line of text fields"),
        (b"id\0,card_number\n", "no line of text fields"),
        (b",".join([b"SECRET"] * 1_000_000) + b"\n", "longer than any row"),
        (HEAD[:-1] + b",x" * 500 + b"\n", "more than 500 columns"),
        (b'[{"id": "a"]', "not well-formed"),
    ],
)
def test_an_unusable_header_refuses_the_export(raw, told):
    """The message names what is missing as the settings spell it, and nothing of the file."""
    assert told in refusal(raw)


@pytest.mark.parametrize(
    "name",
    [
        *("cvv", "CVV2", "cvc", "card_cvc", "Card CVV Code", "csc", "securityCode", "cvn"),
        *("security_code", "Card Security Code", "card[security_code]", "traits.cvv", "CAV2"),
        *("card_verification_value", "track1", "Track 2 Data", "track_data", "magstripe"),
        *("pin_block", "Código de seguridad", "codigo_de_segurança", "cryptogramme visuel"),
        *("Kartenprüfnummer", "Prüfziffer", "Sicherheitscode", "รหัสความปลอดภัย", "安全码"),
        *(
            "セキュリティコード",
            "보안코드",
            "Код безопасности",
            "kode keamanan",
            "\uff43\uff56\uff56",
        ),
        *(
            "Κωδικός ασφαλείας",
            "Код безпеки",
            "Biztonsági kód",
            "Cod de securitate",
            "Sigurnosni kod",
        ),
        *("सुरक्षा कोड", "קוד אבטחה", "رمز الأمان", "卡背面末三码", "裏面3桁", "card security #"),
        *("Kód CVC", "Bezpečnostný kód", "CVV码", "ｾｷｭﾘﾃｨｺｰﾄﾞ"),
    ],
)
def test_a_column_of_security_codes_refuses_the_export_or_is_dropped(name):
    """Codes, tracks and PINs are recognised by name in many spellings and never read."""
    raw = csv_export([row(**{name: "SECRET"})], header=[*row(), name])

    assert f"security codes, tracks or PINs: `{name.strip()}` (column 8)" in refusal(raw)
    (chunk,) = read([raw], ReaderOptions(COLUMNS, security_code_column="drop"))
    assert "SECRET" not in frame_of(chunk).to_csv()
    assert "security codes" in refusal(raw, carry=(name,), security_code_column="drop")


@pytest.mark.parametrize(
    "name",
    [
        *("cvc_check", "card.cvc_check", "cvv_result", "shipping", "tracking_number", "opinion"),
        *("pinterest", "spin", "credit_card.network_transaction_identifier.status", "accident"),
        *("security_code_check", "backtrack", "scid", "description", "verification_status"),
        *("cid", "ga_cid", "track_id", "pin_code", "PIN", "ccid", "Card Code"),
    ],
)
def test_harmless_names_refuse_nothing(name):
    """The result of a check is no code, and words that merely look alike are none."""
    assert verdict(csv_export([row(**{name: "x"})], header=[*row(), name]))


def test_an_ambiguous_name_is_accepted_where_the_settings_map_it():
    """`cid` may be a customer's id and `pincode` an Indian post code, if the settings say so."""
    raw = b"cid,card_number,card_holder,exp_month,exp_year,pincode\n" + ROW_A[:-1] + b",560001\n"
    columns = COLUMNS | {"legacy_id": "cid", "postal_code": "pincode"}

    coded = raw.replace(b"560001", b"5600").replace(b"cid", b"id")

    assert verdict(raw, columns=columns) == [A]
    assert verdict(coded, columns=COLUMNS | {"postal_code": "pincode"}) == [A]
    assert "`pincode`" in refusal(coded, columns=COLUMNS)


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        *(("MM/YY", "03/31"), ("MM/YY", "3/31"), ("MM/YYYY", "03/2031"), ("MMYY", "0331")),
        *(("MMYYYY", "032031"), ("YYMM", "3103"), ("YYYYMM", "203103"), ("YYYY-MM", "2031-03")),
    ],
)
def test_an_expiration_in_one_column_is_split(layout, text):
    """Every format of the settings gives a month and a year."""
    columns = {name: COLUMNS[name] for name in ("legacy_id", "number", "name")}
    raw = f"id,card_number,card_holder,expiry\na,{VISA},Somchai, {text} \n".encode()
    (chunk,) = read([raw], ReaderOptions(columns, expiration=(("expiry", (layout,)),)))
    months, years = frame_of(chunk)["expiration_month"], frame_of(chunk)["expiration_year"]

    assert (int(months[1]), int(years[1]) % 100) == (3, 31)


@pytest.mark.parametrize(
    "text", ["", "331", "13-31", "03/2031", "O3/31", "\u0e50\u0e53/31", "03/3"]
)
def test_an_expiration_in_another_layout_is_left_empty(text):
    """What is not laid out as the settings say is not guessed at."""
    columns = {name: COLUMNS[name] for name in ("legacy_id", "number", "name")}
    raw = f"id,card_number,card_holder,expiry\na,{VISA},Somchai,{text}\n".encode()
    (chunk,) = read([raw], ReaderOptions(columns, expiration=(("expiry", ("MM/YY",)),)))

    assert frame_of(chunk).loc[1, ["expiration_month", "expiration_year"]].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("text", "layouts", "expected"),
    [
        ("12 / 27", ("MM/YY",), ("12", "2027")),
        ("1/27", ("MM/YY",), ("1", "2027")),
        ("12-27", ("MM-YY",), ("12", "2027")),
        ("3-2031", ("MM-YYYY",), ("3", "2031")),
        ("dec-27", ("MMM-YY",), ("12", "2027")),
        ("Mrz-27", ("MMM-YY",), ("3", "2027")),
        ("MÄR-27", ("MMM-YY",), ("3", "2027")),
        ("Dez - 27", ("MMM-YY",), ("12", "2027")),
        ("aoû-27", ("MMM-YY",), ("8", "2027")),
        ("Foo-27", ("MMM-YY",), ("", "")),
        ("2027/12", ("YYYY-MM", "YYYY/MM"), ("12", "2027")),
        ("2027-12-31", ("YYYY-MM-DD",), ("12", "2027")),
        ("2027-12-31T23:59:59.5+07:00", ("YYYY-MM-DD",), ("12", "2027")),
        ("2027-12-31 00:00:00", ("YYYY-MM-DD",), ("12", "2027")),
        ("2027-12-32", ("YYYY-MM-DD",), ("", "")),
        ("1212", ("MMYY", "YYMM"), ("12", "2012")),
        ("1227", ("MMYY", "YYMM"), ("12", "2027")),
        ("0712", ("MMYY", "YYMM"), ("", "")),
        ("00/00", ("MM/YY",), ("", "")),
    ],
)
def test_an_expiration_is_read_in_one_layout_or_not_at_all(text, layouts, expected):
    """Blanks, times and lists of layouts are read; two readings of one value are none."""
    months, years = split_expirations([text], layouts)

    assert (months[0], years[0]) == expected


ADYEN = (("YYMM", ("YYMM",)), ("MMYY", ("MMYY",)))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("3,2031,,", ("3", "2031")),
        (",,3103,", ("3", "2031")),
        (",,,0331", ("3", "2031")),
        ("03,31,3103,0331", ("3", "2031")),
        ("3,2031,3103,0431", ("", "")),
        ("3,,3103,", ("", "")),
        (",,31x3,0331", ("", "")),
        (",,,", ("", "")),
    ],
)
def test_expirations_in_several_columns_agree_or_are_none(row, expected):
    """Whichever columns are filled give the expiration; where they differ nobody chooses."""
    raw = f"id,card_number,card_holder,exp_month,exp_year,YYMM,MMYY\na,{VISA},Somchai,{row}\n"
    (chunk,) = read([raw.encode()], ReaderOptions(COLUMNS, expiration=ADYEN))

    assert tuple(frame_of(chunk).loc[1, ["expiration_month", "expiration_year"]]) == expected


def test_a_name_in_two_columns_is_joined_by_a_blank():
    """First and last names stand in the order of the settings; an empty part leaves no blank."""
    raw = (
        f"id,last,first,card_number,exp_month,exp_year\na,Lee,Ann,{VISA},1,30\nb,Roe,,{VISA},1,30\n"
    )
    options = ReaderOptions(COLUMNS | {"name": ("first", "last")})
    (chunk,) = read([raw.encode()], options)

    assert frame_of(chunk)["name"].tolist() == ["Ann Lee", "Roe"]


def test_the_words_for_nothing_are_empty_fields():
    """A text of `null_values` is empty wherever it stands alone, and only there."""
    raw = HEAD + f"NULL,{VISA},NULL Nullsson,12,\\N\n".encode()
    options = ReaderOptions(COLUMNS, null_values=frozenset(("NULL", "\\N")))
    (chunk,) = read([raw], options)

    assert frame_of(chunk).iloc[0].tolist() == ["", "NULL Nullsson", "12", ""]


LINE = '{"id": "%s", "card_number": "4242424242424242", "card_holder": "Somchai", "exp_month": 12}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LINE % "a", A),
        ('{"id": 7, "card_holder": null, "card_number": 4242424242424242}', ("7", "")),
        ('{"id": true, "card_holder": 1.5}', ("true", "1.5")),
        ('{"id": 123456789012345678901234567890}', ("123456789012345678901234567890", "")),
        ('{"id": 1.10, "x": 2.5}', ("1.10", "")),
        ('{"id": 1e5, "card_holder": ["x"]}', "malformed_row"),
        ('{"id": 1e400}', "malformed_row"),
        ("{}", "no_card"),
        ('{"id": "a", "card_holder": "S\\u006fmchai"}', A),
        ('{"id": "a", "id": "b"}', "malformed_row"),
        ('{"id": "a", "x": {"y": 1, "y": 2}}', "malformed_row"),
        ('{"id" : "a", "\\u0069d": "b"}', "malformed_row"),
        ('{"id": "a", "card_holder": "x\\u0000y"}', "malformed_row"),
        ('{"id": "a", "card_holder": "\\ud800"}', "malformed_row"),
        ('{"id": ["a"]}', "malformed_row"),
        ('{"id": {"a": 1}}', "malformed_row"),
        ('{"id": NaN}', "malformed_row"),
        ('{"id": "a"', "malformed_row"),
        ('{"id": "a"} x', "malformed_row"),
        ("[1, 2]", "malformed_row"),
        ('"text"', "malformed_row"),
        ("[" * 3000, "malformed_row"),
        ('{"x":' * 40 + "1" + "}" * 40, "malformed_row"),
        ('{"x": [[[{"y": 1}], 2]], "id": "a", "card_holder": "Somchai"}', A),
        ('{"x": "' + "y" * 5000 + '"}', "row_too_long"),
    ],
)
def test_each_kind_of_json_line_has_its_verdict(line, expected):
    """A line is a row, well-read or a problem."""
    raw = "\n".join([LINE % "a", line, "", LINE % "a"]).encode()

    assert verdict(raw) == [A, expected, A]


def test_undecodable_json_is_one_bad_row():
    """Bytes that are no text spoil their line only."""
    assert verdict(b'{"id": "a"}\n{"id": "\xff"}\n') == [("a", ""), "undecodable_text"]


def test_json_paths_reach_into_objects():
    """A dotted source column is a key as it stands, or a path."""
    columns = COLUMNS | {"number": "card.number", "name": "card.holder.name"}
    raw = b'{"id": "a", "card": {"number": "4242", "holder": {"name": "Somchai"}}}\n'
    raw += b'{"id": "b", "card.number": "4242", "card.holder.name": "Malee", "card": 1}\n'

    assert verdict(raw, columns=columns) == [A, B]


def test_a_json_number_beyond_its_precision_is_damaged_and_not_guessed():
    """A number in floating point is read as the rounded text it is."""
    (chunk,) = read([b'{"card_number": 4.24e15}\n{"card_number": 4242424242424242424.0}'], OPTIONS)

    assert chunk.numbers.last_digits().tolist() == [None, None]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "a", "cvv": "SECRET"}',
        b'{"id": "a", "card": {"Security Code": "SECRET"}}',
        b'{"id": "a", "cards": [{"track2": "SECRET"}]}',
        b'{"id": "a", "cards": [1, [{"x": {"pin_block": "SECRET"}}]]}',
    ],
)
def test_a_security_code_in_any_json_line_refuses_the_export_or_is_dropped(line):
    """The keys of every line count, however deep."""
    raw = (LINE % "a").encode() + b"\n" + line + b"\n"

    assert "security codes" in refusal(raw)
    assert verdict(raw, security_code_column="drop") == [A, ("a", "")]


def test_an_empty_export_of_json_lines_has_no_rows():
    """Without a header there is nothing to miss when the settings say it is JSON Lines."""
    assert verdict(b"", format="jsonl") == []


def test_the_mark_at_a_texts_end_is_no_part_of_json():
    """Neither of the last line nor of a document; a text of nothing else is an empty one."""
    line = (LINE % "a").encode()

    assert verdict(line + b"\n" + line + b"\x1a", format="jsonl") == [A, A]
    assert verdict(b"[" + line + b"," + line + b"]\r\n\x1a\r\n") == [A, A]
    assert verdict(b"\x1a", format="jsonl") == []
    assert "empty" in refusal(b"\x1a")


def test_what_the_blocks_raise_comes_through():
    """A broken envelope is not the reader's to swallow."""

    def blocks():
        yield HEAD + ROW_A
        raise ExportRefused("damaged", next_step="Ask again.")

    with pytest.raises(ExportRefused, match="damaged"):
        list(read(blocks(), OPTIONS))


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(end):
    """The limit counts a line's bytes without its line feed, last line or not."""
    name = b"N" * (200 - len(ROW_A) + 1 + len(b"Somchai"))
    line = ROW_A[:-1].replace(b"Somchai", name)
    longer = line.replace(b"N", b"NN", 1)

    assert verdict(HEAD + line + end, row_bytes_max=200) == [("a", name.decode())]
    assert verdict(HEAD + longer + end, row_bytes_max=200) == ["row_too_long"]


def test_a_record_over_lines_may_be_as_long_as_the_limit_and_no_longer():
    """The limit counts all lines of a record with their line feeds."""
    record = ROW_A.replace(b"Somchai", b'"' + b"N\n" * 60 + b'"')
    size = len(record)

    assert verdict(HEAD + record, row_bytes_max=size) == [("a", ("N\n" * 60).strip())]
    assert verdict(HEAD + record, row_bytes_max=size - 1)[0] == "malformed_row"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line",
    sampled([b'x",,"y\n', b'"\n', b'"""\n', b',"\n', b'"\r\n', b"\n", b" \n"], 3),
)
def test_no_pattern_of_quotes_makes_the_reader_crawl(line):
    """Lines that each open a quote are read at once, and every one is a row or blank."""
    rows = verdict(HEAD + line * 50_000)

    assert set(rows) <= {"malformed_row"}
    assert len(rows) == (50_000 if line.strip() else 0)


def test_blank_lines_before_the_header_do_not_count():
    """The header is the first line that is not blank."""
    assert verdict(b"\n\r\n  \n" + HEAD + ROW_A) == [A]


def test_a_json_path_through_no_object_is_an_empty_field():
    """A path that a line does not have is a missing value, not a failure."""
    columns = COLUMNS | {"name": "card.holder"}

    assert verdict(b'{"id": "a", "card": 1}\n{"id": "a"}', columns=columns) == [("a", "")] * 2
