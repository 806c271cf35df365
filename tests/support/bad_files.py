"""Named plain exports that are wrong, or odd, as a whole, each with the verdict it must get."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tests.support.cards import card_number
from tests.support.commands import HEADER
from tests.support.packed import workbook, zipped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = 4
PLAIN = "export.allow_plaintext=true"


def numbers_of(count: int = ROWS) -> list[str]:
    """Give the numbers that `good` writes."""
    random = Random(61)
    return [card_number(random) for _ in range(count)]


def good(count: int = ROWS, *, header: str = HEADER, end: str = "\n", by: str = ",") -> str:
    """Give a good export of that many rows."""
    lines = [header]
    for place, number in enumerate(numbers_of(count), 1):
        lines.append(f"id-{place},Ann Lee,{number},{place % 12 + 1},2031,Bangkok,cus-{place}")
    return "".join(line.replace(",", by) + end for line in lines)


@dataclass(frozen=True)
class BadFile:
    """A plain export: its bytes, the settings it is read with, and its verdict."""

    name: str
    code: int
    plain: Callable[[], bytes]
    rows: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    """Row number to code."""
    says: str = ""
    """What the message must hold."""
    options: Sequence[str] = ()


def _text(encoding: str, text: str | None = None) -> Callable[[], bytes]:
    return lambda: (good() if text is None else text).encode(encoding)


def _bytes(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def _read(name: str, plain: Callable[[], bytes], *options: str) -> BadFile:
    return BadFile(name, 0, plain, ROWS, options=options)


def _spoiled(
    name: str, plain: Callable[[], bytes], failures: dict[int, str], rows: int = ROWS
) -> BadFile:
    return BadFile(name, 3, plain, rows, failures)


def _refused(name: str, plain: Callable[[], bytes], says: str, *options: str) -> BadFile:
    return BadFile(name, 6, plain, says=says, options=options)


def _lines(*changes: tuple[int, str]) -> bytes:
    """Replace lines of a good export, the header being line 0."""
    lines = good().splitlines()
    for at, line in changes:
        lines[at] = line
    return ("\n".join(lines) + "\n").encode()


def _mixed_ends() -> bytes:
    first, second, *rest = good().splitlines()
    return "".join([f"{first}\r\n", f"{second}\n", *(f"{line}\r\n" for line in rest)]).encode()


def _turned(text: str) -> bytes:
    return "".join(",".join(line.split(",")[::-1]) + "\n" for line in text.splitlines()).encode()


def _objects(*, end: str = "\n", **changes: object) -> str:
    names = HEADER.split(",")
    rows = [line.split(",") for line in good().splitlines()[1:]]
    return "".join(json.dumps(dict(zip(names, row, strict=True)) | changes) + end for row in rows)


def _columns(count: int) -> bytes:
    extra = "".join(f",x{n}" for n in range(count))
    return good(header=HEADER + extra).encode()


DUPLICATED = HEADER.replace("city", "number")
UNUSABLE = "header"
CSV_FILES = [
    _read("UTF-8 with a mark", _text("utf-8-sig")),
    _read("UTF-16 with a mark", _text("utf-16")),
    _read("UTF-16 big-endian with a mark", lambda: b"\xfe\xff" + good().encode("utf-16-be")),
    _read("UTF-32 with a mark", _text("utf-32")),
    _read("Latin-1 as configured", lambda: good().replace("Ann", "An\u00e9").encode("latin-1"), "export.encoding=latin-1"),
    _read("Thai as configured", lambda: good().replace("Ann", "สมชาย").encode("cp874"), "export.encoding=cp874"),
    _read("carriage returns and line feeds", _text("utf-8", good(end="\r\n"))),
    _read("lone carriage returns", _text("utf-8", good(end="\r"))),
    _read("mixed line ends", _mixed_ends),
    _read("no last line end", lambda: good().rstrip("\n").encode()),
    _read("blank lines before, between and after", lambda: b"\n\r\n" + good().replace("\n", "\n\n").encode() + b"\n\n"),
    _read("semicolons as configured", _text("utf-8", good(by=";")), 'export.delimiter=";"'),
    _read("tabs as configured", _text("utf-8", good(by="\t")), r'export.delimiter="\t"'),
    _read("bars as configured", _text("utf-8", good(by="|")), 'export.delimiter="|"'),
    _read("a quoted header", lambda: _lines((0, '"' + HEADER.replace(",", '","') + '"'))),
    _read("a header with blanks", lambda: _lines((0, HEADER.replace(",", " , ")))),
    _read("a column more", lambda: good(header=HEADER + ",more").replace("\nid", "\nid").replace("cus-", "c,").encode()),
    _read("columns in another order", lambda: _turned(good())),
    BadFile("a header alone", 0, lambda: f"{HEADER}\n".encode()),
    BadFile("a header without a line end", 0, lambda: HEADER.encode()),
    _spoiled("an open quote to the end", lambda: _lines((4, 'id-4,"Ann,4,4,2031,B,c')), {4: "malformed_row"}),
    _spoiled("an open quote in the first row", lambda: _lines((1, 'id-1,"Ann,4,4,2031,B,c')), {1: "malformed_row"}),
    _spoiled("Latin-1 as UTF-8", lambda: _lines((2, "id-2,An\u00e9,4,1,2031,B,c")).decode().encode("latin-1"), {2: "undecodable_text"}),
    _spoiled("UTF-16 cut in a character", lambda: good().encode("utf-16")[:-1], {4: "undecodable_text"}),
    _spoiled("a header twice", lambda: _lines((3, HEADER)), {3: "number_not_digits"}),
    _refused("nothing but blank lines", _bytes(b"\n\r\n\n"), "empty"),
    _refused("nothing but a mark", _bytes(b"\xef\xbb\xbf"), "empty"),
    _refused("nothing but blanks", _bytes(b"   \t "), "empty"),
    _refused("nothing at all", _bytes(b""), "empty"),
    _refused("UTF-16 without a mark", _text("utf-16-le"), UNUSABLE),
    _refused("UTF-32 without a mark", _text("utf-32-be"), UNUSABLE),
    _refused("a header of Latin-1", lambda: good(header=HEADER + ",\u00e9").encode("latin-1"), UNUSABLE),
    _refused("a header with a NUL", lambda: _lines((0, HEADER.replace("city", "ci\0ty"))), UNUSABLE),
    _refused("a header with an open quote", lambda: _lines((0, '"' + HEADER)), UNUSABLE),
    _refused("a header of 100 kilobytes", lambda: _lines((0, HEADER + "x" * 100_000)), UNUSABLE),
    _refused("no header", lambda: good().partition("\n")[2].encode(), "no header"),
    _refused("a missing column", lambda: _lines((0, HEADER.replace("number", "pan"))), "lacks number"),
    _refused("a column twice", lambda: _lines((0, DUPLICATED.replace("city", "number"))), ""),
    _refused("a wanted column twice", lambda: (HEADER + ",number\n").encode(), "more than one column"),
    _refused("columns in capitals", lambda: _lines((0, HEADER.upper())), "lacks"),
    _refused("501 columns", lambda: _columns(501), "more than 500 columns"),
    _refused("semicolons", _text("utf-8", good(by=";")), "lacks"),
    _refused("tabs", _text("utf-8", good(by="\t")), "lacks"),
    _refused(
        "a spreadsheet's separator line",
        lambda: b"sep=;\n" + good().encode(),
        "names another delimiter",
    ),
    _refused("a comment above the header", lambda: b"# cards\n" + good().encode(), "lacks"),
    _refused("a web page", _bytes(b"<!doctype html><html><body>404</body></html>\n"), "an HTML page"),
    _refused("XML", _bytes(b'<?xml version="1.0"?>\n<cards/>\n'), "an XML document"),
    _read("a ZIP archive", lambda: zipped({"cards.csv": good().encode()})),
    _refused("a ZIP archive of two", lambda: zipped({"README": b"see cards.csv\n", "cards.csv": good().encode()}), "a ZIP archive with 2 files"),
    _refused("a workbook", workbook, "a spreadsheet"),
    _read("gzip", lambda: gzip.compress(good().encode(), mtime=0)),
    _refused("a PDF", _bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"), "a PDF document"),
    _refused("random bytes", lambda: b"\x00" + Random(5).randbytes(5_000), "no text"),
    _refused("zeros", _bytes(bytes(5_000)), ""),
    _refused("JSON lines in brackets", lambda: b"[" + _objects().encode() + b"]", "not well-formed"),
    _read("a JSON array", lambda: json.dumps([json.loads(line) for line in _objects().splitlines()]).encode()),
    _read("JSON Lines", lambda: _objects().encode()),
    _read("JSON Lines with a mark", lambda: b"\xef\xbb\xbf" + _objects().encode()),
    _read("JSON Lines in UTF-16", lambda: _objects().encode("utf-16")),
    _read("JSON Lines with blank lines", lambda: _objects(end="\r\n\n").encode()),
    _spoiled("JSON Lines cut short", lambda: _objects().encode()[:-20], {4: "malformed_row"}),
    BadFile("JSON printed for people", 0, lambda: json.dumps(json.loads(_objects().splitlines()[0]), indent=1).encode(), 1, {}),
    _refused("JSON Lines without the number's name", lambda: _objects().replace("number", "pan").encode(), "no record of the export has number"),
    _refused("a JSON array of another system", lambda: json.dumps([{"ref": "id-1", "pan": "4", "until": "12/30"}] * 3, indent=1).encode(), "no record of the export has legacy_id or number or name or expiration"),
    _refused("a JSON object around the records", lambda: json.dumps({"cards": [json.loads(line) for line in _objects().splitlines()]}).encode(), "number"),
    _refused("JSON Lines with the customers' lists as records", lambda: b"".join(b'{"id":"c","cards":[%b]}\n' % line for line in _objects().encode().splitlines()), "number"),
    BadFile("JSON Lines of a customer without a card", 0, lambda: b'{"legacy_customer_id": "c", "number": null}\n', 1, {}),
    _refused("CSV as JSON Lines alone", lambda: b"{" + good().encode(), "", "export.format=csv"),
    BadFile("CSV read as JSON Lines", 3, lambda: good().encode(), ROWS + 1, dict.fromkeys(range(1, ROWS + 2), "malformed_row"), options=("export.format=jsonl",)),
    _refused("too many bytes", lambda: good().encode(), "more bytes than allowed", "export.plain_bytes_max=100"),
]  # fmt: skip

SECURITY_HEADERS = (
    *("cvv", "CVV2", "cvc", "Cvc2", "CID", "csc", "CAV2", "cvn", "CVVNumber", "card_cvv", "cardCvv"),
    *("security_code", "Security Code", "SECURITY-CODE", "card security number", "cardSecurityCode"),
    *("card-verification-value", "Verification Code", "cvv/cvc", "  c.v.v ", "cvv_code", "dCVV"),
    *("cryptogramme visuel", "Código de seguridad", "CODIGO SEGURIDAD", "code sécurité", "código de segurança"),
    *("codice di sicurezza", "Kartenprüfnummer", "Prüfziffer", "Beveiligingscode", "säkerhetskod"),
    *("kod bezpieczeństwa", "güvenlik kodu", "kode keamanan", "รหัสความปลอดภัย", "код безопасности"),
    *("セキュリティコード", "安全码", "보안코드", "\uff23\uff36\uff36", "track1", "Track 2", "track_data"),
    *("TRACK_TWO_DATA", "magstripe", "magnetic stripe", "pin", "PIN_BLOCK", "encryptedPin"),
    *("track1_data", "Track2Data", "track2EquivalentData", "trk2", "tracks", "EMV data", "msr_data"),
    *("cardcvc", "cvcNumber", "CVCode", "cv2", "card_code", "sec_code", "validation code", "PINData"),
    *("cardPin", "c\u200bvv", "\u0421VV", "3-digit code", "clave de seguridad", "Prüfnummer", "รหัสลับ"),
    *("เลขหลังบัตร", "รหัส 3 หลัก", "セキュリティ番号", "暗証番号", "密码", "비밀번호"),
)  # fmt: skip
HARMLESS_HEADERS = (
    *("cvc_check", "CVV Result", "opinion", "spinning", "pinterest", "tracking_number", "soundtrack"),
    *("security_deposit", "incident", "placid", "pincode_check", "verification_status", "encoding"),
    *("social_security_number", "รหัสลูกค้า", "顧客コード", "service_code", "code", "recvd"),
)  # fmt: skip


def with_columns(*names: str) -> bytes:
    """Give a good export with one more column of each name, three digits in each row."""
    header, *rows = good().splitlines()
    digits = ",987" * len(names)
    lines = [",".join([header, *names]), *(f"{row}{digits}" for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()
