"""Tells whether an earlier run left something to do at the API host that no row waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config.attach import AttachSettings
    from pipeline.ledger.ledger import Ledger


def is_left(ledger: Ledger, attach: AttachSettings | None) -> bool:
    """Tell whether a default is left to move, or a replaced card to delete."""
    if attach is None:
        return False
    with ledger.look() as look:
        moves = look.defaults_to_move(on_given=attach.default_on_given)
        return bool(moves or (attach.on_changed == "delete" and look.replaced_cards()))
