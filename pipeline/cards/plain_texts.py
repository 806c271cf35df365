"""Tells columns in which no rule about texts has anything to find, by a few looks at all of one.

Most columns have nothing odd in any row, and then no rule has to be asked of any text. This is no
rule of its own: it puts together what each of the rules gives as a sign that it finds nothing. A
column that is not plain is asked about in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cards.damage import are_sound
from pipeline.cards.detect import lack_digits
from pipeline.cards.text_faults import TEXT_MAX, may_be_encoded

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        max(map(len, texts), default=0) <= TEXT_MAX
        and joined.count("\n") == max(len(texts) - 1, 0)
        and joined.replace("\n", "").isprintable()
        and lack_digits(joined)
        and are_sound(texts, joined, ids=True)
        and not (are_repeated and may_be_encoded(joined))
    )
