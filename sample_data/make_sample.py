"""A seed in, the sample exports out: `python sample_data/make_sample.py`.

The rows are the same each time; the sealed bytes are not, since every sealing takes a new session
key. `--print` shows the plain rows on stdout instead of sealing them. All numbers are published
test numbers or made here from the seed, so they are nobody's cards; names are invented.
"""  # noqa: INP001 - a script beside its output.

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from random import Random
from typing import Final

import pysequoia

FOLDER: Final = Path(__file__).parent
KEY: Final = FOLDER / "sample.key"

HEADER: Final = (
    *("id", "legacy_customer_id", "card_number", "card_holder", "exp_month", "exp_year"),
    *("street1", "city", "postal_code", "country", "email", "omise_customer_id", "is_default"),
)
GIVEN: Final = "cust_test_0000000000000sample"
"""An existing customer; the demo's vault has it from the start."""

# Omise's test cards (docs.omise.co/api-testing).
PUBLISHED: Final = {
    "Visa": ("4242424242424242", "4111111111111111", "4111111111140011"),
    "MasterCard": ("5555555555554444", "5454545454545454", "5555551111110011"),
    "JCB": ("3530111333300000", "3566111111111113", "3530111111190011"),
    "American Express": ("378282246310005", "377138160000009"),
    "Diners Club": ("36021042000004", "36021042111108"),
    "Discover": ("6447032400000000001", "6447032400001111005"),
    "UnionPay": ("6250947000000006", "6250947000000014"),
}
PREFIXES: Final = {
    "Visa": ("4", 16),
    "MasterCard": ("53", 16),
    "JCB": ("3569", 16),
    "American Express": ("37", 15),
    "Diners Club": ("38", 14),
    "Discover": ("65", 19),
    "UnionPay": ("6258", 17),
    "Maestro": ("6759", 18),
    "none": ("9", 16),
}
WEIGHTS: Final = dict(zip(PUBLISHED, (40, 26, 12, 8, 4, 4, 6), strict=True))

FIRST_NAMES: Final = (
    *(
        "SOMCHAI",
        "MALEE",
        "NATTAPONG",
        "ARISA",
        "KENJI",
        "YUKI",
        "WEI",
        "MEI LING",
        "AHMAD",
        "SITI",
    ),
    *("Zoë", "José", "Björn", "สมชาย", "มาลี", "健二", "OLIVIA", "LIAM"),
)
LAST_NAMES: Final = (
    *("PRASERT", "SUKSAWAT", "TANAKA", "SATO", "CHEN", "LIM", "ABDULLAH", "GARCÍA", "MÜLLER"),
    *("O'BRIEN", "SMITH-JONES", "ประเสริฐ", "山田", "NGUYEN"),
)
PLACES: Final = (
    ("Bangkok", "10320", "TH"),
    ("Chiang Mai", "50200", "th"),
    ("Tokyo", "100-0001", "JP"),
    ("Singapore", "018956", "SG"),
    ("Kuala Lumpur", "50088", "MY"),
    ("London", "EC1A 1BB", "GB"),
    ("San José, CA", "95113", "US"),
    ("", "", ""),
)


def check_digit(stem: str) -> str:
    """Give the digit that completes a card number (ISO/IEC 7812-1)."""
    total = 0
    for place, char in enumerate(reversed(stem)):
        doubled = int(char) * (1 if place % 2 else 2)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - two digits.
    return str(-total % 10)


def made_number(seed: Random, brand: str) -> str:
    """Make a number of that brand."""
    prefix, length = PREFIXES[brand]
    stem = prefix + "".join(seed.choices("0123456789", k=length - 1 - len(prefix)))
    return stem + check_digit(stem)


def good_row(seed: Random, place: int) -> dict[str, str]:
    """Make a row that a vault takes."""
    brand = seed.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
    published = seed.random() < 0.5  # noqa: PLR2004 - half of them.
    number = seed.choice(PUBLISHED[brand]) if published else made_number(seed, brand)
    if seed.random() < 0.1:  # noqa: PLR2004 - a tenth of them.
        number = "-".join(number[start : start + 4] for start in range(0, len(number), 4))
    city, postal_code, country = seed.choice(PLACES)
    year = seed.randint(2032, 2044)
    values = (
        *(f"card_{place:06d}", f"customer-{seed.randint(1, 180):04d}", number),
        f"{seed.choice(FIRST_NAMES)} {seed.choice(LAST_NAMES)}",
        f"{seed.randint(1, 12):{seed.choice(('d', '02d'))}}",
        *(str(year % 100 if seed.random() < 0.2 else year), f"{place} Sukhumvit Rd"),  # noqa: PLR2004 - a fifth.
        *(city, postal_code, country, f"person{place}@example.com", ""),
        "yes" if place % 9 == 0 else "",
    )
    return dict(zip(HEADER, values, strict=True))


VISA: Final = "4242424242424242"

# What is odd about a row that is good all the same, and the fields that make it so.
ODD: Final = (
    ("a line break in an address", {"street1": "88/12 Moo 4\nSoi Ari"}),
    ("quotes and a comma in a name", {"card_holder": 'SOMCHAI "CHAI" PRASERT, JR'}),
    ("a name that a spreadsheet would run", {"card_holder": "=1+1"}),
    ("a legacy id that a spreadsheet would run", {"id": "=HYPERLINK(0)"}),
    ("markup in a name", {"card_holder": "<b onload=x>MALEE</b> &amp; CO"}),
    ("blanks around everything", {"card_holder": "  ARISA LIM ", "exp_month": " 7 "}),
    ("a name of 255 characters", {"card_holder": "N" * 255}),
    ("an emoji in a name", {"card_holder": "MEI LING 🙂"}),
    (
        "a customer that the vault has already",
        {"legacy_customer_id": "customer-given", "omise_customer_id": GIVEN, "is_default": ""},
    ),
    ("the first card of two", {"legacy_customer_id": "customer-pair", "is_default": ""}),
    (
        "the second, which is the default",
        {"legacy_customer_id": "customer-pair", "is_default": "1"},
    ),
)

# Code, what is wrong, and the fields that make it so.
BAD: Final = (
    ("legacy_id_missing", "no legacy id", {"id": ""}),
    ("legacy_id_missing", "a legacy id of blanks", {"id": "   "}),
    ("legacy_id_duplicate", "one legacy id on two rows", {"id": "card_twice"}),
    ("legacy_id_duplicate", "the second of the two", {"id": "card_twice"}),
    (
        "legacy_id_duplicate",
        "one legacy id and number on two rows",
        {"id": "card_again", "card_number": VISA},
    ),
    ("legacy_id_duplicate", "the second of these", {"id": "card_again", "card_number": VISA}),
    ("legacy_id_is_card_number", "the number as the id", {"id": VISA}),
    ("legacy_id_is_card_number", "a number inside the id", {"id": "c-4111-1111-1111-1111"}),
    ("number_missing", "no number", {"card_number": ""}),
    ("number_missing", "a dash for a number", {"card_number": "-"}),
    ("number_not_digits", "a letter O for a zero", {"card_number": "411111111111111O"}),
    ("number_not_digits", "a spreadsheet's apostrophe", {"card_number": "'" + VISA}),
    ("number_not_digits", "Thai digits", {"card_number": "๔๒๔๒๔๒๔๒๔๒๔๒๔๒๔๒"}),
    ("number_length", "a digit short", {"card_number": VISA[:15]}),
    ("number_length", "twenty digits", {"card_number": VISA + "4242"}),
    ("number_checksum", "a mistyped digit", {"card_number": "4242424242424241"}),
    ("number_checksum", "two digits swapped", {"card_number": "4242424242422424"[::-1]}),
    ("number_masked", "stars", {"card_number": "424242******4242"}),
    ("number_masked", "crosses", {"card_number": "XXXX-XXXX-XXXX-1111"}),
    ("number_damaged", "scientific notation", {"card_number": "4.24E+15"}),
    ("number_damaged", "rounded to six digits", {"card_number": "4.24242E+15"}),
    ("brand_unsupported", "no known brand", {"card_number": "none"}),
    ("brand_unsupported", "a brand that `rules.brands` leaves out", {"card_number": "Maestro"}),
    ("expiration_invalid", "month 13", {"exp_month": "13"}),
    ("expiration_invalid", "month 00", {"exp_month": "00"}),
    ("expiration_invalid", "no year", {"exp_year": ""}),
    ("expiration_invalid", "a year too far", {"exp_year": "2199"}),
    ("card_expired", "expired in 2019", {"exp_month": "12", "exp_year": "2019"}),
    ("card_expired", "expired, two-digit year", {"exp_month": "1", "exp_year": "20"}),
    ("name_missing", "no name", {"card_holder": ""}),
    ("name_too_long", "a name of 300 characters", {"card_holder": "N" * 300}),
    ("value_damaged", "a spreadsheet's formula as the legacy id", {"id": '="00123"'}),
    ("country_invalid", "no such country", {"country": "XX"}),
    ("field_contains_card_number", "a number in the name", {"card_holder": f"LIM {VISA}"}),
    (
        *("field_contains_card_number", "a magnetic track in the address"),
        {"street1": f"%B{VISA}^LIM/MEI LING^40121010000000000000?"},
    ),
    ("field_contains_card_number", "a number in a carried column", {"legacy_customer_id": VISA}),
    ("customer_missing", "no customer", {"legacy_customer_id": ""}),
    ("customer_id_invalid", "an id of another kind", {"omise_customer_id": "customer 7"}),
    (
        *("customer_conflict", "two existing customers for one"),
        {"legacy_customer_id": "customer-split", "omise_customer_id": "cust_test_" + "1" * 19},
    ),
    (
        *("customer_conflict", "the second of the two"),
        {"legacy_customer_id": "customer-split", "omise_customer_id": "cust_test_" + "2" * 19},
    ),
    (
        *("customer_unknown", "an existing customer that is not there"),
        {"legacy_customer_id": "customer-gone", "omise_customer_id": "cust_test_" + "0" * 19},
    ),
    ("malformed_row", "a line break in the legacy id", {"id": "card\nbroken"}),
    ("fraud_check_failed", "the vault takes it for fraud", {"card_holder": "FAIL FRAUD CHECK"}),
    ("fraud_check_failed", "the same, other case", {"card_holder": "Fail Fraud Check Lim"}),
)

# Lines as they stand, for what no writer of CSV would write.
BAD_LINES: Final = (
    ("malformed_row", "too few fields", b"card_short,customer-1,4242424242424242\n"),
    ("malformed_row", "too many fields", b"card_long" + b",x" * 14 + b"\n"),
    ("malformed_row", "an unclosed quote", b'card_quote,customer-1,"4242424242424242,LIM,1,2040\n'),
    ("malformed_row", "a NUL", b"card_nul,customer-1,4242424242424242,LI\0M,1,2040,,,,,,,\n"),
    (
        *("undecodable_text", "a name in latin-1"),
        "card_latin,customer-1,4242424242424242,JOSÉ,1,2040,,,,,,,\n".encode("latin-1"),
    ),
    (
        *("undecodable_text", "a name in TIS-620"),
        "card_thai,customer-1,4242424242424242,สมชาย,1,2040,,,,,,,\n".encode("tis-620"),
    ),
    ("row_too_long", "a field of 70,000 bytes", b"card_endless," + b"x" * 70_000 + b"\n"),
)

GOOD_ROWS: Final = 198


def sample_lines() -> list[tuple[str, str, bytes]]:
    """Give the sample's rows in order: code or "", what is special, and the row's own lines."""
    seed = Random(36324)  # noqa: S311 - a sample to repeat, no secret.
    rows = [("", "good", written(good_row(seed, place))) for place in range(1, GOOD_ROWS + 1)]
    special = [("", why, fields) for why, fields in ODD] + [*BAD]
    for place, (code, why, changes) in enumerate(special, GOOD_ROWS + 1):
        brand = changes.get("card_number", "")
        number = {"card_number": made_number(seed, brand)} if brand in PREFIXES else {}
        rows.append((code, why, written(good_row(seed, place) | changes | number)))
    rows += BAD_LINES
    seed.shuffle(rows)
    return rows


def topup_lines() -> list[tuple[str, str, bytes]]:
    """Give the rows of a later export: a changed card, a known one, and a new one."""
    seed = Random(36324)  # noqa: S311 - the first rows of the sample again.
    changed, known, new = (good_row(seed, place) for place in (1, 2, 3))
    return [
        ("", "a changed card", written(changed | {"exp_month": "11", "exp_year": "2045"})),
        ("", "a known card", written(known)),
        ("", "a new card", written(new | {"id": "card_topup"})),
    ]


def mode_lines() -> list[tuple[str, str, bytes]]:
    """Give the rows of the small export whose verdict depends on the mode of the vault."""
    seed = Random(5)  # noqa: S311 - as above.
    rows = []
    for place, brand in enumerate(PUBLISHED, 1):
        for published in (True, False):
            number = seed.choice(PUBLISHED[brand]) if published else made_number(seed, brand)
            fields = good_row(seed, place * 2 - published) | {"card_number": number}
            code = "test_card_in_live_mode" if published else "real_card_in_test_mode"
            rows.append((code, brand, written(fields)))
    return rows


def written(fields: dict[str, str]) -> bytes:
    """Write one row as CSV."""
    text = io.StringIO()
    csv.DictWriter(text, HEADER, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def plain_export(lines: list[tuple[str, str, bytes]]) -> bytes:
    """Give an export's plain bytes, header first."""
    return ",".join(HEADER).encode() + b"\n" + b"".join(line for _, _, line in lines)


def seal(plain: bytes, name: str) -> None:
    """Seal an export to the sample's key."""
    key = pysequoia.Cert.from_bytes(KEY.read_bytes())
    (FOLDER / name).write_bytes(pysequoia.encrypt(plain, recipients=[key], armor=False))


def main() -> None:
    """Write both exports, or show the first one."""
    if "--print" in sys.argv[1:]:
        sys.stdout.buffer.write(plain_export(sample_lines()))
        return
    seal(plain_export(sample_lines()), "cards.csv.pgp")
    seal(plain_export(topup_lines()), "topup.csv.pgp")
    seal(plain_export(mode_lines()), "modes.csv.pgp")


if __name__ == "__main__":
    main()
