"""Finds texts that no output may repeat: encoded card numbers, control characters, too many letters.

Most columns have nothing odd in any row, and then no rule has to be asked of any text. `are_plain`
tells such columns by a few looks at all of one. It is no rule of its own: it puts together what each
of the rules gives as a sign that it finds nothing. A column that is not plain is asked about in full.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.damage import are_sound
from pipeline.cards.detect import lack_digits
from pipeline.cards.scan_streams import search_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Flags: TypeAlias = npt.NDArray[np.bool_]

TEXT_MAX: Final = 255
"""Characters that an id or a cardholder name may have."""

_LINE_FEED: Final = ord("\n")
_BLANK: Final = ord(" ")
_DELETE: Final = 0x7F
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# Eight digits in hexadecimal, nine in base64: few texts have any, and most columns need no search.
_HEX_DIGIT: Final = r"3[0-9](?:2[0DEde]|5[Ff]|[ :\\xu%0])*"
_MAYBE_HEX: Final = re.compile(_HEX_DIGIT * 8)
_MAYBE_BASE64: Final = re.compile("[ILMNO][CDSTijyz][0AEIMQUYcgk][0-5gtw-z]" * 3)


def are_plain(texts: Sequence[str], *, are_repeated: bool = False) -> bool:
    """Say whether none of these texts can break a rule; False leaves it open.

    Where it is True no text is too long or damaged, none has a control character or an invisible
    sign, and none holds a card number, whether its own row's or another. Empty ones may be there.

    Args:
        texts: A column, blanks stripped.
        are_repeated: Outputs repeat them, so that no number may be encoded in them either.
    """
    joined = "\n".join(texts)
    return (
        _are_short_and_printable(joined, texts)
        and lack_digits(joined)
        and are_sound(texts, joined, ids=True)
        and not (are_repeated and may_be_encoded(joined))
    )


def holding_encoded_numbers(texts: Sequence[str]) -> Flags:
    """Say in which texts `cardferry scan` would find an encoded number; asked of what outputs repeat."""
    found = np.zeros(len(texts), dtype=np.bool_)
    if not may_be_encoded("\n".join(texts)):
        return found
    suspects = (
        (place, text.encode("utf-8", "surrogatepass"))
        for place, text in enumerate(texts)
        if may_be_encoded(text)
    )
    for place, _ in search_pieces(suspects):
        found[place] = True
    return found


def may_be_encoded(text: str) -> bool:
    """Say whether a number may be encoded in a text, or in texts that are joined by line feeds."""
    return (
        any(sign in text for sign in "%&\\")
        or _MAYBE_HEX.search(text) is not None
        # In base64 every third digit makes one of three capitals; many ids have none.
        or (any(sign in text for sign in "MNO") and _MAYBE_BASE64.search(text) is not None)
    )


def too_long(texts: Sequence[str]) -> Flags:
    """Say which texts are longer than an id or a name may be."""
    return np.array([len(text) > TEXT_MAX for text in texts], dtype=np.bool_)


def with_controls(texts: Sequence[str]) -> Flags:
    """Say which texts hold control characters, or overrides of the writing direction."""
    # Printable is what most columns are, and one look at all of it is cheap.
    if "".join(texts).isprintable():
        return np.zeros(len(texts), dtype=np.bool_)
    return np.array([_CONTROL.search(text) is not None for text in texts], dtype=np.bool_)


def _are_short_and_printable(joined: str, texts: Sequence[str]) -> bool:
    """Say whether no text is too long, or has a line feed or another sign that cannot be seen."""
    if not joined.isascii():
        return (
            max(map(len, texts)) <= TEXT_MAX
            and joined.count("\n") == len(texts) - 1
            and joined.replace("\n", "").isprintable()
        )
    # As bytes all lengths are found at once.
    signs = np.frombuffer(joined.encode(), dtype=np.uint8)
    ends = np.flatnonzero(signs == _LINE_FEED)
    longest = int(np.diff(ends, prepend=-1, append=len(signs)).max()) - 1
    odd = np.count_nonzero((signs < _BLANK) | (signs == _DELETE))
    return longest <= TEXT_MAX and len(ends) == odd == max(len(texts) - 1, 0)
