"""Seeds in, card numbers and export rows out: published test numbers and generated ones only."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

# Omise's test cards (docs.omise.co/api-testing), then those of Stripe, Adyen, Braintree and
# PayPal, which senders of exports use as well.
PUBLISHED_TEST_NUMBERS: Final = tuple(
    """
    4242424242424242 4111111111111111 5555555555554444 5454545454545454 3530111333300000
    3566111111111113 378282246310005 6447032400000000001 36021042000004 6250947000000006
    4111111111140011 5555551111110011 3530111111190011 6250947000000014
    4111111111130012 5555551111100012 3530111111180012 6250947000000022
    4111111111120013 5555551111190013 3530111111170013 377138160000009 6447032400001111005
    36021042111108 6250947000000030
    4111111111110014 5555551111180014 3530111111160014 6250947000000048
    4111111111190016 5555551111160016 3530111111140016 6250947000000055
    4111111111180017 5555551111150017 3530111111130017 6250947000000063
    4111111111160001 5555551111130001 3530111111110001
    4111111111150002 5555551111120002 3530111111100002 6250947000000071
    4111111111140003 5555551111110003 377138161111003 6250947000000089

    4012888888881881 4000056655665556 4000002500003155 4000000000000002 4000000000009995
    4000000000000077 4000000000003220 4000000000000341 4000000000000069 4000000000000127
    4000000000000119 4000002760003184 4000003800000446 4217651111111119 4500600000000061
    5105105105105100 5200828282828210 5431111111111111 2223003122003222 2223000048400011
    5555341244441115 5577000055770004 371449635398431 371144371144376 370000000000002
    6011111111111117 6011000990139424 6011981111111113 6011000000000004 3056930009020004
    30569309025904 38520000023237 36227206271667 6200000000000005 6205500000000000004
    3566002020360505 3569990010095841 6304000000000000 6759649826438453
    """.split()  # noqa: SIM905 - a block of words, not eighty lines.
)
CHARGED_WITHOUT_FAILURE: Final = PUBLISHED_TEST_NUMBERS[:10]
"""Those of Omise whose charges succeed."""

LENGTHS: Final = {
    "Visa": (("4", 16),),
    "MasterCard": (("51", 16), ("55", 16), ("2221", 16), ("2720", 16)),
    "JCB": (("3528", 16), ("3589", 16)),
    "American Express": (("34", 15), ("37", 15)),
    "Diners Club": (("300", 14), ("305", 14), ("36", 14), ("38", 14), ("39", 14)),
    "Discover": (("6011", 16), ("644", 16), ("65", 19)),
    "UnionPay": (("62", 16), ("62", 17), ("62", 18), ("62", 19)),
    "Maestro": (("50", 12), ("56", 13), ("6759", 19)),
}


def check_digit(stem: str) -> str:
    """Give the digit that completes a number (ISO/IEC 7812-1), worked out one digit at a time."""
    total = 0
    for place, digit in enumerate(reversed(stem)):
        doubled = int(digit) * (1 if place % 2 else 2)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def card_number(seed: Random, brand: str = "Visa") -> str:
    """Make a number of that brand with the right check digit."""
    prefix, length = seed.choice(LENGTHS[brand])
    stem = prefix + "".join(seed.choices("0123456789", k=length - 1 - len(prefix)))
    return stem + check_digit(stem)


COLUMNS: Final = {
    "legacy_id": "id",
    "number": "card_number",
    "name": "card_holder",
    "expiration_month": "exp_month",
    "expiration_year": "exp_year",
}

HEADER: Final = ("id", "card_number", "card_holder", "exp_month", "exp_year", "city", "country")


def row(**changes: str) -> dict[str, str]:
    """Give a good row of an export; a test names only what it cares about."""
    good = ("cus_1", "4242424242424242", "SOMCHAI PRASERT", "12", "2030", "Bangkok", "TH")
    return dict(zip(HEADER, good, strict=True)) | changes


def csv_export(
    rows: Iterable[Mapping[str, str]], header: Sequence[str] = HEADER, delimiter: str = ","
) -> bytes:
    """Write rows as a sender's program would: RFC 4180, UTF-8."""
    text = io.StringIO(newline="")
    lines = csv.DictWriter(text, header, delimiter=delimiter)
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue().encode()
