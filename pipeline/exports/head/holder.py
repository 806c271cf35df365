"""Tells which column, or which two of them, hold the names of cardholders.

A name that is sent without its surname is no name, so a column of single words is only taken alone
where nothing else in the export could be the rest of it.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from pipeline.cards.country_codes import country_code
from pipeline.exports.head.field_names import RANKS
from pipeline.exports.head.naming import rank, ranked, share

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    Source = str | tuple[str, ...]

_MOST: Final = 0.8
_HALF: Final = 0.5
_WORDS_MAX: Final = 3
_CODE_LETTERS: Final = 3
_OF_NAMES: Final = frozenset(("name", "first_name", "last_name"))
_WITHOUT_BLANKS: Final = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")


def holder(
    table: Mapping[str, Sequence[str]], taken: Collection[str]
) -> tuple[Source | None, tuple[Source, ...]]:
    """Find the names of cardholders.

    Args:
        table: Source column to its texts, a text a row that holds a card.
        taken: Columns that are known to hold something else.

    Returns:
        The column, or the columns of given name and surname, where that is sure; else None and the
        candidates, the likeliest first.
    """
    filled = {
        name: texts
        for name, texts in table.items()
        if name not in taken and share(texts, _is_name) >= _MOST
    }
    whole = ranked(filled, "name")
    first = ranked(filled, "first_name")
    last = [name for name in ranked(filled, "last_name") if name not in first[:1]]
    if first and last:
        return _of_parts(filled, whole, first[0], last[0]), ()
    others = [name for name in whole if name not in first[:1]]
    if whole and last:
        return _beside_part(filled, whole[0], last[0], (whole[0], last[0]))
    if first and others:
        # `Vorname` and `Name`: what is called a name is the surname.
        return _beside_part(filled, others[0], first[0], (first[0], others[0]))
    for name in (whole or first)[:1]:
        rest = _rest_of(filled, name) if _is_single(filled[name]) else []
        if whole and not rest:
            return name, ()
        return None, (*((name, other) for other in rest), name)
    return None, tuple(_likeliest(filled))


def _of_parts(
    table: Mapping[str, Sequence[str]], whole: Sequence[str], first: str, last: str
) -> Source:
    """Choose between a column of whole names and the two of their parts."""
    others = [name for name in whole if name != last]
    for name in others:
        if _holds(table[name], table[last]):
            return name
    others = [name for name in others if name != first and not _is_single(table[name])]
    return others[0] if others else (first, last)


def _beside_part(
    table: Mapping[str, Sequence[str]], name: str, part: str, both: tuple[str, str]
) -> tuple[Source | None, tuple[Source, ...]]:
    """Say whether a column of names, beside one of a part of names, is the other part."""
    if _holds(table[name], table[part]):
        return name, ()
    if _is_single(table[name]):
        return both, ()
    # A cardholder beside the surname of a customer, or given names of two words.
    return None, (name, both)


def _holds(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Tell whether the parts are in the names already."""
    pairs = [(name, part) for name, part in zip(names, parts, strict=True) if name and part]
    inside = sum(part.casefold() in name.casefold() for name, part in pairs)
    return bool(pairs) and inside >= _MOST * len(pairs)


def _rest_of(table: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """Give the columns of words that might be the rest of names of one word."""
    return [
        other
        for other, texts in table.items()
        if other != name
        and not _means_another(other)
        and _may_be_surnames(texts)
        and 2 * len(set(texts)) > len(set(table[name]))
    ]


def _means_another(name: str) -> bool:
    return any(rank(name, kind) is not None for kind in RANKS.keys() - _OF_NAMES)


def _may_be_surnames(texts: Sequence[str]) -> bool:
    return (
        share(texts, lambda text: len(text.split()) <= _WORDS_MAX) >= _MOST
        and share(texts, country_code) < _HALF
    )


def _likeliest(table: Mapping[str, Sequence[str]]) -> list[str]:
    """Give columns of words whose names say nothing, those of two words and many values first."""
    others = [
        name for name, texts in table.items() if not _means_another(name) and not _is_code(texts)
    ]
    return sorted(others, key=lambda name: _is_single(table[name]))


def _is_code(texts: Sequence[str]) -> bool:
    lengths = {len(text) for text in texts if text}
    return len(lengths) == 1 and max(lengths) <= _CODE_LETTERS and "".join(texts).isascii()


def _is_name(text: str) -> bool:
    return any(map(str.isalpha, text)) and not any(map(str.isdigit, text)) and "@" not in text


def _is_single(texts: Sequence[str]) -> bool:
    """Tell whether most names are one word; in scripts without blanks, two signs or fewer."""
    return share(texts, _is_word) > _HALF


def _is_word(text: str) -> bool:
    if len(text.replace(",", " ").split()) > 1:
        return False
    script = unicodedata.name(text[0], "").split(" ")[0]
    return script not in _WITHOUT_BLANKS or len(text) <= 2  # noqa: PLR2004 - as the docstring says.
