"""Gives the figures that the report and `status` tell alike: exports refused, cards on customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.ledger.snapshot import Snapshot

_REFUSED: Final = ("name", "sha256", "at", "why")


def refused(
    look: Snapshot, length: int | None = None, *, planned: bool = False
) -> list[dict[str, str | None]]:
    """Give the exports that were refused and not taken since, of which nothing is in the ledger.

    Args:
        look: A look at the ledger.
        length: How many events are spoken of; None for all.
        planned: Give those instead whose rows are in the ledger, as too many of them fail.
    """
    return [
        {name: getattr(export, name) for name in _REFUSED}
        for export in look.refused_exports(length)
        if export.is_planned is planned
    ]


def attached(look: Snapshot) -> dict[str, int] | None:
    """Give what became of the tokens' cards; None where no card was to come on a customer."""
    if not look.is_attaching():
        return None
    return {**look.attach_balance(), "unseen_cards_max": look.unseen_cards_max()}
