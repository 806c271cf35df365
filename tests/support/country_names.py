"""Makes `pipeline/cards/country_names.json` of pycountry, whose other data nobody installs for it.

    python -m tests.support.country_names

pycountry has the standards of languages, subdivisions and scripts in 160 languages: 23 MB, of which
one in a hundred is names of countries. They come from Debian's iso-codes, whose licence lies beside
the file.
"""

import gettext
import json
from pathlib import Path

import pycountry

from pipeline.cards import country_codes

FILE = Path(country_codes.__file__).with_name("country_names.json")
LANGUAGES = (
    *("th", "ja", "ko", "zh_CN", "zh_TW", "id", "ms", "vi"),
    *("de", "fr", "es", "it", "pt", "nl", "da", "sv", "nb_NO", "fi", "is", "ca"),
    *("pl", "cs", "sk", "hu", "ro", "hr", "sl", "lt", "lv", "et", "tr", "el", "bg", "ru", "uk"),
    *("he", "ar"),
)


def country_names():
    """Give the file's text: a line for each country, so that a change shows which it concerns."""
    translations = [
        gettext.translation("iso3166-1", pycountry.LOCALES_DIR, [language])
        for language in LANGUAGES
    ]
    lines = [
        f"{json.dumps(country.alpha_2)}: {json.dumps(_told(country, translations), ensure_ascii=False)}"
        for country in sorted(pycountry.countries, key=lambda country: country.alpha_2)
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _told(country, translations):
    short = [country.name, getattr(country, "common_name", country.name)]
    names = dict.fromkeys([*short, getattr(country, "official_name", country.name)])
    abroad = {each.gettext(name) for each in translations for name in short} - set(short)
    return {
        "alpha_3": country.alpha_3,
        "number": country.numeric,
        "names": list(names),
        "abroad": sorted(abroad),
    }


if __name__ == "__main__":
    FILE.write_text(country_names(), "utf-8")
