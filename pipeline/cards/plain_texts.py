"""Tells columns in which no rule about texts has anything to find, by a few looks at all of one.

Most columns have nothing odd in any row, and then no rule has to be asked of any text. This is no
rule of its own: it puts together what each of the rules gives as a sign that it finds nothing. A
column that is not plain is asked about in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.cards.damage import are_sound
from pipeline.cards.detect import lack_digits
from pipeline.cards.text_faults import TEXT_MAX, may_be_encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE_FEED: Final = ord("\n")
_BLANK: Final = ord(" ")
_DELETE: Final = 0x7F


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
