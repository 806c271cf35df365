"""Reads the optional fields of a card as the vault takes them, and tells those it cannot use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline.cards.country_codes import country_code
from pipeline.cards.damage import damages
from pipeline.cards.detect import contains_pan
from pipeline.cards.rows import ADDRESS_COLUMNS
from pipeline.config.policies import OnInvalidOptional

if TYPE_CHECKING:
    from collections.abc import Sequence

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


def optional_fields(
    texts: dict[str, list[str]], on_invalid: OnInvalidOptional
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Give the columns of some rows with their optional fields as the vault takes them.

    Args:
        texts: Canonical name to a text a row, blanks stripped.
        on_invalid: With `drop` a field that cannot be used becomes empty. One that holds a card
            number stays, since its row is refused.

    Returns:
        The columns, and for each optional field how many values were left out.
    """
    tidy = dict(texts)
    left_out: dict[str, int] = {}
    for name in ADDRESS_COLUMNS:
        if name not in texts:
            continue
        column = texts[name]
        if name == "country":
            codes = {text: country_code(text) or text for text in set(column)}
            column = [codes[text] for text in column]
        if on_invalid is OnInvalidOptional.DROP:
            places = [place for place in _unusable(name, column) if not contains_pan(column[place])]
            if places:
                column = list(column)
                left_out[name] = len(places)
            for place in places:
                column[place] = ""
        tidy[name] = column
    return tidy, left_out


def unknown_countries(texts: Sequence[str]) -> list[bool]:
    """Say for each text whether it is the code of no country; an empty one is none at all."""
    known = {text: not text or country_code(text) is not None for text in set(texts)}
    return [not known[text] for text in texts]


def is_email(text: str) -> bool:
    """Say whether a text has the form of an e-mail address: one `@` between texts without blanks."""
    return _EMAIL.fullmatch(text) is not None


def _unusable(name: str, texts: Sequence[str]) -> list[int]:
    places = set(damages(texts))
    if name == "country":
        places |= {place for place, unknown in enumerate(unknown_countries(texts)) if unknown}
    elif name == "email":
        shaped = {text: not text or is_email(text) for text in set(texts)}
        places |= {place for place, text in enumerate(texts) if not shaped[text]}
    return sorted(places)
