"""Gives the code of a country, however an export writes it: a code, a number or a name.

ISO 3166-1 as Debian's iso-codes has it: alpha-2 and alpha-3, numbers with or without their leading
zeros, and names in some forty languages; a name that means another country in another of them is
none. It lies in `country_names.json`, which `tests/support/country_names.py` makes. What people
write instead stands in `_ALSO`. A country that the standard does not know (Kosovo's `XK`) has no
code that a vault would have to take.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILE: Final = Path(__file__).with_name("country_names.json")

_ALPHA_2: Final = 2
_CODE_MAX: Final = 3
_NUMBER: Final = re.compile(r"([0-9]{1,3})(?:\.0)?")
_INVERTED: Final = re.compile(r"(?P<name>[^,]+), (?P<form>[^,]+)")

_ALSO: Final = {
    "AE": ("UAE", "Emirates"),
    "BA": ("Bosnia", "Bosnia-Herzegovina"),
    "BN": ("Brunei",),
    "CD": ("DR Congo", "DRC", "Congo-Kinshasa", "Congo (Kinshasa)"),
    "CG": ("Republic of the Congo", "Congo-Brazzaville", "Congo (Brazzaville)"),
    "CI": ("Ivory Coast",),
    "CN": ("PRC", "Mainland China"),
    "CV": ("Cape Verde",),
    "CZ": ("Czech Republic",),
    "FK": ("Falkland Islands", "Falklands"),
    "FM": ("Micronesia",),
    "DE": ("BRD", "Bundesrepublik Deutschland"),
    "GB": (
        *("Großbritannien", "Grande-Bretagne", "Gran Bretaña", "Gran Bretagna"),
        *("UK", "U.K.", "Great Britain", "Britain", "England", "Scotland", "Wales"),
        *("Northern Ireland", "United Kingdom of Great Britain and Northern Ireland"),
    ),
    "HK": ("Hong Kong SAR", "Hong Kong SAR China", "Hongkong"),
    "KR": (
        "Südkorea",
        "Corée du Sud",
        "Corea del Sur",
        "Corea del Sud",
        "Korea",
        "Korea South",
        "Korea (South)",
        "S. Korea",
    ),
    "KP": ("Korea North", "Korea (North)"),
    "MK": ("Macedonia", "FYROM"),
    "MM": ("Burma", "Myanmar (Burma)"),
    "MO": ("Macau", "Macau SAR", "Macao SAR"),
    "NL": ("Holland",),
    "PS": ("Palestine", "Palestinian Territories"),
    "RU": ("Russia", "Russland", "Rußland", "Russie", "Rusia"),
    "SH": ("Saint Helena", "St. Helena"),
    "ST": ("Sao Tome",),
    "SZ": ("Swaziland",),
    "TH": ("ไทย", "ประเทศไทย", "Siam"),
    "TL": ("East Timor",),
    "TR": ("Turkey", "Turkiye"),
    "TW": ("Taiwan R.O.C.", "Taiwan ROC"),
    "US": ("U.S.", "U.S.A.", "United States of America", "America"),
    "VA": ("Vatican", "Vatican City"),
    "VG": ("British Virgin Islands",),
    "VI": ("US Virgin Islands",),
}


class _Country(TypedDict):
    """What the file tells of a country; `abroad` are its names in other languages than English."""

    alpha_3: str
    number: str
    names: list[str]
    abroad: list[str]


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """Give the alpha-2 code of a country in capitals, None where the text names none.

    Args:
        text: Anything; case, accents, `St.` for Saint, `&` for and, and a leading The do not count.
    """
    known = _by_name()
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return known.get(number[1].zfill(3))
    if len(text) == _ALPHA_2 and text.isascii() and text.upper() in known:
        return text.upper()
    folded = _folded(text)
    return known.get(folded) or _by_translation().get(folded)


@cache
def _countries() -> Mapping[str, _Country]:
    """Give all countries by their alpha-2 codes."""
    told: Mapping[str, _Country] = json.loads(_FILE.read_bytes())
    return told


@cache
def _by_name() -> Mapping[str, str]:
    """Give the code for every code, number and folded name."""
    known: dict[str, str] = {}
    for code, country in _countries().items():
        known |= {code: code, country["number"]: code, _folded(country["alpha_3"]): code}
        known |= {_folded(form): code for name in country["names"] for form in _forms(name)}
    known |= {_folded(name): code for code, names in _ALSO.items() for name in names}
    return known


def _forms(name: str) -> Iterator[str]:
    """Give a name, and `Republic of Korea` for `Korea, Republic of`."""
    yield name
    inverted = _INVERTED.fullmatch(name)
    if inverted is not None:
        yield f"{inverted['form']} {inverted['name']}"


@cache
def _by_translation() -> Mapping[str, str | None]:
    """Give the code for every folded name in other languages; None where two countries share it."""
    known: dict[str, str | None] = {}
    for code, country in _countries().items():
        for name in map(_folded, country["abroad"]):
            if name.isascii() and len(name) <= _CODE_MAX:
                continue  # `Ý` is Italy in Vietnamese; a `y` is a yes.
            known[name] = code if known.get(name, code) == code else None
    return known


def _folded(name: str) -> str:
    """Give what counts of a name; the result is never two capitals, so that it hides no code."""
    plain = unicodedata.normalize("NFKD", name)
    # Accents of Latin letters only: in other scripts a mark may be a letter of its own.
    kept = re.sub(r"(?<=[A-Za-z])[\u0300-\u036f]+", "", plain).replace("&", " and ").casefold()
    words = re.sub(r"[^\w]+", " ", unicodedata.normalize("NFKC", kept)).split()
    words = ["saint" if word == "st" else word for word in words]
    return " ".join(words[1:] if words[:1] == ["the"] and len(words) > 1 else words)
