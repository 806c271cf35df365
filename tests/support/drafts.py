"""Exports as senders write them, each with the columns that are right: what `init` is measured by.

Plain bytes and canonical name to source column; every number is generated or a published one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from random import Random
from typing import Any, NamedTuple

from pipeline.config.presets import preset_names, read_preset
from tests.support.cards import card_number

ROWS = 12


class Sent(NamedTuple):
    """An export, what `init` has to say of it, and what it may say that it is unsure of."""

    name: str
    raw: bytes
    columns: dict[str, Any]
    export: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it.
    preset: str | None = None
    unsure: frozenset[str] = frozenset()


NAMES = ("Ann Lee", "Bob Roe", "Cid Ray", "Dana Poe", "Eve Fox", "Fay Kim", "Gus Orr", "Hal Ito")


def _value(kind: str, place: int, seed: Random) -> str:
    month, year = place % 12 + 1, 2028 + place % 5
    name = NAMES[place % len(NAMES)]
    return {
        "card": f"card_{seed.randrange(16**10):010x}",
        "row": str(1000 + place),
        "uuid": f"{seed.getrandbits(32):08x}-0000-4000-8000-{seed.getrandbits(47):012x}",
        "customer": f"cus_{place // 2:05d}",
        "number": card_number(seed, seed.choice(["Visa", "MasterCard", "JCB"])),
        "dashed": re.sub(r"(?<=.)(?=(?:....)+$)", "-", card_number(seed, "MasterCard")),
        "name": name,
        "first": name.split()[0],
        "last": name.split()[1],
        "thai": ("สมชาย ใจดี", "มาลี ศรีสุข", "วิชัย ทองดี")[place % 3],
        "japanese": ("山田 太郎", "佐藤 花子", "鈴木 一郎")[place % 3],
        "accent": ("José Peña", "Zoë Müller", "André Çelik")[place % 3],
        "month": f"{month:02d}",
        "m": str(month),
        "year": str(year),
        "yy": str(year % 100),
        "float_month": f"{month}.0",
        "float_year": f"{year}.0",
        "MM/YY": f"{month:02d}/{year % 100}",
        "MM/YYYY": f"{month:02d}/{year}",
        "MMYY": f"{month:02d}{year % 100}",
        "YYMM": f"{year % 100}{month:02d}",
        "YYYYMM": f"{year}{month:02d}",
        "YYYY-MM": f"{year}-{month:02d}",
        "iso": f"{year}-{month:02d}-28T00:00:00Z",
        "MMM-YY": f"{['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'][month - 1]}-{year % 100}",
        "email": f"{name.split()[0].lower()}@mail.example",
        "phone": f"+66 2 {place:03d} {place * 7:04d}",
        "country": ("TH", "JP", "US")[place % 3],
        "land": ("Thailand", "Japan", "Germany")[place % 3],
        "city": ("Bangkok", "Osaka", "Berlin")[place % 3],
        "zip": f"{10110 + place}",
        "street": f"{place + 1} Main Road",
        "flag": "true" if place % 2 else "false",
        "date": f"2024-0{place % 9 + 1}-11",
        "amount": f"{place * 10}.50",
        "brand": "visa",
        "last4": f"{place:04d}",
        "masked": f"411111******{place:04d}",
        "note": "",
        "null": "NULL",
    }[kind]


def table(
    kinds: dict[str, str],
    *,
    by: str = ",",
    encoding: str = "utf-8",
    header: bool = True,
    **csv_options,
) -> bytes:
    """Write rows whose columns hold those kinds of values."""
    seed = Random(len(kinds))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=by, lineterminator="\r\n", **csv_options)
    if header:
        writer.writerow(kinds)
    for place in range(ROWS):
        writer.writerow(_value(kind, place, seed) for kind in kinds.values())
    return text.getvalue().encode(encoding)


def _sent(
    name: str, kinds: dict[str, str], columns: dict[str, Any], *, export=None, unsure=(), **how
) -> Sent:
    return Sent(name, table(kinds, **how), columns, export or {}, None, frozenset(unsure))


def _objects(kinds: dict[str, str]) -> list[dict[str, Any]]:
    seed = Random(3)
    return [
        {key: _value(kind, place, seed) for key, kind in kinds.items()} for place in range(ROWS)
    ]


def _of_customers() -> list[dict[str, Any]]:
    cards = _objects(
        {"id": "card", "pan": "number", "exp_month": "m", "exp_year": "year", "holder": "name"}
    )
    return [
        {
            "uid": f"cus_{place}",
            "email": "a@b.example",
            "wallet": {"cards": cards[2 * place : 2 * place + 2]},
        }
        for place in range(ROWS // 2)
    ]


_MONTHLY = {"expiration_month": "exp_month", "expiration_year": "exp_year"}

OWN = [
    _sent(
        "plain English",
        {"id": "card", "card_number": "number", "card_holder": "name", "exp_month": "month", "exp_year": "year"},
        {"legacy_id": "id", "number": "card_number", "name": "card_holder", **_MONTHLY},
    ),
    _sent(
        "semicolons in German",
        {"KartenID": "card", "Kundennummer": "customer", "Kreditkartennummer": "number", "Karteninhaber": "accent",
         "Gültig bis": "MM/YY", "PLZ": "zip", "Ort": "city", "Land": "land"},
        {"legacy_id": "KartenID", "customer": "Kundennummer", "number": "Kreditkartennummer", "name": "Karteninhaber",
         "expiration": {"column": "Gültig bis", "format": "MM/YY"}, "postal_code": "PLZ", "city": "Ort", "country": "Land"},
        export={"delimiter": ";"}, by=";",
    ),
    _sent(
        "Spanish by tabs",
        {"id_tarjeta": "card", "id_cliente": "customer", "numero_tarjeta": "number", "titular": "accent",
         "mes_vencimiento": "m", "año_vencimiento": "yy", "correo": "email"},
        {"legacy_id": "id_tarjeta", "customer": "id_cliente", "number": "numero_tarjeta", "name": "titular",
         "expiration_month": "mes_vencimiento", "expiration_year": "año_vencimiento", "email": "correo"},
        export={"delimiter": "\t"}, by="\t",
    ),
    _sent(
        "Portuguese by bars",
        {"id": "uuid", "cliente": "customer", "Número do Cartão": "number", "Nome do Titular": "accent", "Validade": "MM/YYYY"},
        {"legacy_id": "id", "customer": "cliente", "number": "Número do Cartão", "name": "Nome do Titular",
         "expiration": {"column": "Validade", "format": "MM/YYYY"}},
        export={"delimiter": "|"}, by="|",
    ),
    _sent(
        "French in windows-1252",
        {"référence": "card", "numéro carte": "number", "titulaire": "accent", "mois": "month", "année": "year"},
        {"legacy_id": "référence", "number": "numéro carte", "name": "titulaire", "expiration_month": "mois", "expiration_year": "année"},
        export={"encoding": "cp1252"}, encoding="cp1252", unsure=("export.encoding",),
    ),
    _sent(
        "Thai",
        {"รหัสบัตร": "card", "รหัสลูกค้า": "customer", "หมายเลขบัตร": "number", "ชื่อผู้ถือบัตร": "thai", "วันหมดอายุ": "MM/YY"},
        {"legacy_id": "รหัสบัตร", "customer": "รหัสลูกค้า", "number": "หมายเลขบัตร", "name": "ชื่อผู้ถือบัตร",
         "expiration": {"column": "วันหมดอายุ", "format": "MM/YY"}},
    ),
    _sent(
        "Thai in cp874",
        {"id": "card", "card_number": "number", "name": "thai", "exp_month": "m", "exp_year": "year", "city": "thai"},
        {"legacy_id": "id", "number": "card_number", "name": "name", "city": "city", **_MONTHLY},
        export={"encoding": "cp874"}, encoding="cp874", unsure=("export.encoding",),
    ),
    _sent(
        "Japanese in cp932",
        {"カードID": "card", "顧客番号": "customer", "カード番号": "number", "カード名義人": "japanese", "有効期限": "YYYYMM"},
        {"legacy_id": "カードID", "customer": "顧客番号", "number": "カード番号", "name": "カード名義人",
         "expiration": {"column": "有効期限", "format": "YYYYMM"}},
        export={"encoding": "cp932"}, encoding="cp932", unsure=("export.encoding",),
    ),
    _sent(
        "Chinese",
        {"卡片编号": "card", "客户编号": "customer", "卡号": "number", "持卡人姓名": "name", "有效期": "MM/YY", "手机号": "phone"},
        {"legacy_id": "卡片编号", "customer": "客户编号", "number": "卡号", "name": "持卡人姓名",
         "expiration": {"column": "有效期", "format": "MM/YY"}, "phone_number": "手机号"},
    ),
    _sent(
        "UTF-16 of a spreadsheet",
        {"Card ID": "card", "Card Number": "dashed", "Name on Card": "accent", "Expiry": "MMM-YY"},
        {"legacy_id": "Card ID", "number": "Card Number", "name": "Name on Card",
         "expiration": {"column": "Expiry", "format": "MMM-YY"}},
        export={"delimiter": "\t"}, by="\t", encoding="utf-16",
    ),
    _sent(
        "names in two columns",
        {"token": "uuid", "user_id": "customer", "first_name": "first", "last_name": "last", "cc_number": "number",
         "cc_exp_month": "m", "cc_exp_year": "year", "is_default": "flag", "created_at": "date"},
        {"legacy_id": "token", "customer": "user_id", "name": ["first_name", "last_name"], "number": "cc_number",
         "expiration_month": "cc_exp_month", "expiration_year": "cc_exp_year", "is_default": "is_default"},
    ),
    _sent(
        "floats of pandas",
        {"": "row", "card_id": "card", "pan": "number", "cardholder_name": "name", "exp_month": "float_month", "exp_year": "float_year"},
        {"legacy_id": "card_id", "number": "pan", "name": "cardholder_name", **_MONTHLY},
    ),
    _sent(
        "one customer a card",
        {"customer_id": "card", "cardNumber": "number", "cardHolder": "name", "expiryDate": "YYYY-MM"},
        {"legacy_id": "customer_id", "customer": "customer_id", "number": "cardNumber", "name": "cardHolder",
         "expiration": {"column": "expiryDate", "format": "YYYY-MM"}},
    ),
    _sent(
        "masked beside whole numbers",
        {"id": "card", "card_number_masked": "masked", "last4": "last4", "card_number": "number", "brand": "brand",
         "holder_name": "name", "expiry": "iso"},
        {"legacy_id": "id", "number": "card_number", "name": "holder_name", "expiration": {"column": "expiry", "format": "YYYY-MM-DD"}},
    ),
    _sent(
        "words for nothing",
        {"id": "card", "number": "number", "name": "name", "month": "m", "year": "year", "phone": "null", "country": "country"},
        {"legacy_id": "id", "number": "number", "name": "name", "expiration_month": "month", "expiration_year": "year", "country": "country"},
        export={"null_values": ["NULL"]},
    ),
    _sent(
        "single quotes",
        {"id": "card", "number": "number", "name": "name", "exp": "MM/YY"},
        {"legacy_id": "id", "number": "number", "name": "name", "expiration": {"column": "exp", "format": "MM/YY"}},
        export={"quoting": "single"}, quotechar="'", quoting=csv.QUOTE_ALL,
    ),
    _sent(
        "Hive's signs",
        {"card_ref": "card", "acct": "row", "pan": "number", "holder": "name", "exp": "MM/YY"},
        {"legacy_id": "card_ref", "number": "pan", "name": "holder", "expiration": {"column": "exp", "format": "MM/YY"}},
        export={"delimiter": "\x01"}, by="\x01",
    ),
    _sent(
        "an expiration without a sign",
        {"id": "card", "number": "number", "name": "name", "expiry": "MMYY"},
        {"legacy_id": "id", "number": "number", "name": "name", "expiration": {"column": "expiry", "format": "MMYY"}},
    ),
    _sent(
        "no header",
        {"1": "card", "2": "number", "3": "name", "4": "m", "5": "year"},
        {"number": "2"},
        export={"header": False}, header=False,
        unsure=("export.columns.legacy_id", "export.columns.name", "export.columns.expiration_month", "export.columns.expiration_year"),
    ),
    _sent(
        "odd names",
        {"a": "card", "b": "number", "c": "name", "d": "MM/YY"},
        {"number": "b"},
        unsure=("export.columns.legacy_id", "export.columns.name", "export.columns.expiration"),
    ),
    Sent(
        "JSON lines",
        "".join(json.dumps(one) + "\n" for one in _objects(
            {"card_id": "card", "customer": "customer", "number": "number", "holder": "name", "exp_month": "m", "exp_year": "year"}
        )).encode(),
        {"legacy_id": "card_id", "customer": "customer", "number": "number", "name": "holder", **_MONTHLY},
    ),
    Sent(
        "JSON lines of customers",
        "".join(json.dumps(one) + "\n" for one in _of_customers()).encode(),
        {"legacy_id": "id", "customer": "....uid", "email": "....email", "number": "pan", "name": "holder", **_MONTHLY},
        {"records": "wallet.cards.*"},
    ),
    Sent(
        "a JSON document",
        json.dumps({"generated": "2026", "payload": {"people": _of_customers()}}, indent=1).encode(),
        {"legacy_id": "id", "customer": "....uid", "email": "....email", "number": "pan", "name": "holder", **_MONTHLY},
        {"records": "payload.people.*.wallet.cards.*"},
    ),
    Sent(
        "a JSON array",
        json.dumps(_objects({"id": "card", "pan": "number", "name": "name", "expiry": "MM/YY"})).encode(),
        {"legacy_id": "id", "number": "pan", "name": "name", "expiration": {"column": "expiry", "format": "MM/YY"}},
    ),
]  # fmt: skip

OWN += [
    _sent(
        "Italian",
        {"codice": "card", "codice cliente": "customer", "numero carta": "number", "intestatario": "accent", "scadenza": "MM/YY", "città": "city"},
        {"legacy_id": "codice", "customer": "codice cliente", "number": "numero carta", "name": "intestatario", "expiration": {"column": "scadenza", "format": "MM/YY"}, "city": "città"},
        export={"delimiter": ";"}, by=";",
    ),
    _sent(
        "Polish in cp1250",
        {"Identyfikator karty": "card", "Numer karty": "number", "Imię i nazwisko": "name", "Miesiąc ważności": "m", "Rok ważności": "year"},
        {"legacy_id": "Identyfikator karty", "number": "Numer karty", "name": "Imię i nazwisko", "expiration_month": "Miesiąc ważności", "expiration_year": "Rok ważności"},
        export={"delimiter": ";", "encoding": "cp1250"}, by=";", encoding="cp1250", unsure=("export.encoding",),
    ),
    _sent(
        "Dutch",
        {"kaart_id": "card", "klantnummer": "customer", "kaartnummer": "number", "kaarthouder": "accent", "vervaldatum": "MM/YYYY", "postcode": "zip", "plaats": "city"},
        {"legacy_id": "kaart_id", "customer": "klantnummer", "number": "kaartnummer", "name": "kaarthouder", "expiration": {"column": "vervaldatum", "format": "MM/YYYY"}, "postal_code": "postcode", "city": "plaats"},
    ),
    _sent(
        "Russian in cp1251",
        {"ID карты": "card", "ID клиента": "customer", "Номер карты": "number", "Держатель карты": "name", "Срок действия": "MM/YY"},
        {"legacy_id": "ID карты", "customer": "ID клиента", "number": "Номер карты", "name": "Держатель карты", "expiration": {"column": "Срок действия", "format": "MM/YY"}},
        export={"delimiter": ";", "encoding": "cp1251"}, by=";", encoding="cp1251", unsure=("export.encoding",),
    ),
    _sent(
        "Greek",
        {"Κωδικός κάρτας": "card", "Αριθμός κάρτας": "number", "Κάτοχος": "name", "Λήξη": "MM/YY"},
        {"legacy_id": "Κωδικός κάρτας", "number": "Αριθμός κάρτας", "name": "Κάτοχος", "expiration": {"column": "Λήξη", "format": "MM/YY"}},
    ),
    _sent(
        "Korean in cp949",
        {"카드ID": "card", "고객번호": "customer", "카드번호": "number", "소유자명": "name", "유효기간": "MM/YY"},
        {"legacy_id": "카드ID", "customer": "고객번호", "number": "카드번호", "name": "소유자명", "expiration": {"column": "유효기간", "format": "MM/YY"}},
        export={"encoding": "cp949"}, encoding="cp949", unsure=("export.encoding",),
    ),
    _sent(
        "Vietnamese",
        {"mã thẻ": "card", "mã khách hàng": "customer", "số thẻ": "number", "chủ thẻ": "name", "ngày hết hạn": "MM/YY"},
        {"legacy_id": "mã thẻ", "customer": "mã khách hàng", "number": "số thẻ", "name": "chủ thẻ", "expiration": {"column": "ngày hết hạn", "format": "MM/YY"}},
    ),
    _sent(
        "Indonesian",
        {"id_kartu": "card", "id_pelanggan": "customer", "nomor_kartu": "number", "nama_pemegang": "name", "bulan_kedaluwarsa": "m", "tahun_kedaluwarsa": "year", "kota": "city"},
        {"legacy_id": "id_kartu", "customer": "id_pelanggan", "number": "nomor_kartu", "name": "nama_pemegang", "expiration_month": "bulan_kedaluwarsa", "expiration_year": "tahun_kedaluwarsa", "city": "kota"},
    ),
    _sent(
        "Hebrew",
        {"מזהה": "card", "מספר כרטיס": "number", "שם בעל הכרטיס": "name", "תוקף": "MM/YY"},
        {"legacy_id": "מזהה", "number": "מספר כרטיס", "name": "שם בעל הכרטיס", "expiration": {"column": "תוקף", "format": "MM/YY"}},
    ),
    _sent(
        "Arabic",
        {"معرف البطاقة": "card", "رقم البطاقة": "number", "اسم حامل البطاقة": "name", "تاريخ الانتهاء": "MM/YY"},
        {"legacy_id": "معرف البطاقة", "number": "رقم البطاقة", "name": "اسم حامل البطاقة", "expiration": {"column": "تاريخ الانتهاء", "format": "MM/YY"}},
    ),
    _sent(
        "Swedish",
        {"kort_id": "card", "kundnummer": "customer", "kortnummer": "number", "kortinnehavare": "accent", "utgångsmånad": "m", "utgångsår": "year"},
        {"legacy_id": "kort_id", "customer": "kundnummer", "number": "kortnummer", "name": "kortinnehavare", "expiration_month": "utgångsmånad", "expiration_year": "utgångsår"},
    ),
    _sent(
        "Hungarian",
        {"kártyaazonosító": "card", "kártyaszám": "number", "kártyabirtokos": "accent", "lejárat": "MM/YY"},
        {"legacy_id": "kártyaazonosító", "number": "kártyaszám", "name": "kártyabirtokos", "expiration": {"column": "lejárat", "format": "MM/YY"}},
    ),
    _sent(
        "Hindi",
        {"कार्ड आईडी": "card", "कार्ड नंबर": "number", "कार्डधारक का नाम": "name", "समाप्ति": "MM/YY"},
        {"legacy_id": "कार्ड आईडी", "number": "कार्ड नंबर", "name": "कार्डधारक का नाम", "expiration": {"column": "समाप्ति", "format": "MM/YY"}},
    ),
    _sent(
        "tildes",
        {"CARD_REF": "card", "PAN": "number", "CARDHOLDER": "name", "EXPIRY_YYMM": "YYMM"},
        {"legacy_id": "CARD_REF", "number": "PAN", "name": "CARDHOLDER", "expiration": {"column": "EXPIRY_YYMM", "format": "YYMM"}},
        export={"delimiter": "~"}, by="~",
    ),
    _sent(
        "carets and many dates",
        {"vault_id": "uuid", "created": "date", "updated": "date", "acct_num": "number", "acct_name": "name", "exp_date": "MMYY", "amount": "amount", "last4": "last4"},
        {"legacy_id": "vault_id", "number": "acct_num", "name": "acct_name", "expiration": {"column": "exp_date", "format": "MMYY"}},
        export={"delimiter": "^"}, by="^",
    ),
    _sent(
        "names in brackets",
        {"[CardID]": "card", "[CustomerID]": "customer", "[PAN]": "number", "[HolderName]": "name", "[ExpMonth]": "m", "[ExpYear]": "year"},
        {"legacy_id": "[CardID]", "customer": "[CustomerID]", "number": "[PAN]", "name": "[HolderName]", "expiration_month": "[ExpMonth]", "expiration_year": "[ExpYear]"},
    ),
    _sent(
        "billing address",
        {"payment_method_id": "card", "buyer_id": "customer", "billing.name": "name", "card.number": "number", "card.exp": "MM/YYYY", "billing.line1": "street", "billing.city": "city", "billing.postal": "zip", "billing.country": "country", "billing.email": "email"},
        {"legacy_id": "payment_method_id", "customer": "buyer_id", "name": "billing.name", "number": "card.number", "expiration": {"column": "card.exp", "format": "MM/YYYY"}, "street1": "billing.line1", "city": "billing.city", "postal_code": "billing.postal", "country": "billing.country", "email": "billing.email"},
    ),
]  # fmt: skip

_KINDS = {
    "legacy_id": "card",
    "number": "number",
    "name": "name",
    "expiration_month": "month",
    "expiration_year": "year",
    "customer": "customer",
    "email": "email",
    "phone_number": "phone",
    "country": "country",
    "city": "city",
    "postal_code": "zip",
    "street1": "street",
    "is_default": "flag",
}


def of_presets() -> list[Sent]:
    """Give an export in the exact columns of every known format that has some."""
    return [_of_preset(name) for name in preset_names() if read_preset(name).header]


def _of_preset(name: str) -> Sent:
    preset = read_preset(name)
    columns = preset.export["columns"]
    kinds = dict.fromkeys((*preset.header, *(["name"] if name == "hyperswitch" else [])), "note")
    for canonical, source in columns.items():
        if isinstance(source, list):
            kinds |= dict(zip(source, ("first", "last"), strict=True))
        elif isinstance(source, str) and source in kinds:
            kinds[source] = _KINDS.get(canonical, "note")
    if "expiration" in columns and "expiration_month" not in columns:
        kinds[columns["expiration"]["column"]] = columns["expiration"]["format"]
    if columns["legacy_id"] == columns.get("customer"):
        kinds[columns["legacy_id"]] = "card"
    return Sent(name, table(kinds), {}, preset=name)
