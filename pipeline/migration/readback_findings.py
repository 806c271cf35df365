"""Compares cards and tokens as the ledger has them with what the vault shows: what differs, if anything."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.ledger.readback_questions import HeldCard
    from pipeline.vault.interface import CustomerCard, ShownToken


class ReadbackFinding(StrEnum):
    """What reading a card back came to."""

    OK = "ok"
    MISSING = "missing"
    """The vault does not have it."""
    CHANGED = "changed"
    """It is there, and is not what the ledger says."""
    STRANGER = "stranger"
    """The vault has it with our mark, and the ledger does not know it."""


class Checked(NamedTuple):
    """What was found of one card or token; `fields` names what differs, parted by blanks."""

    legacy_id: str | None
    source_file: str | None
    source_row: int | None
    customer_id: str | None
    card_id: str | None
    token_id: str | None
    finding: str
    fields: str


def checked(card: HeldCard, finding: ReadbackFinding, fields: str = "") -> Checked:
    """Give what was found of a card of the ledger's."""
    return Checked(
        card.legacy_id,
        card.source_file,
        card.source_row,
        card.customer_id,
        card.card_id,
        card.token_id,
        finding.value,
        fields,
    )


def stranger(customer_id: str, card_id: str | None, legacy_id: str | None = None) -> Checked:
    """Give a customer, or a card on one of ours, that the ledger does not know to be there."""
    return Checked(
        legacy_id, None, None, customer_id, card_id, None, ReadbackFinding.STRANGER.value, ""
    )


def compare_card(
    card: HeldCard, shown: CustomerCard | None, default_card: str | None, *, knows_default: bool
) -> Checked:
    """Compare a card on its customer.

    Args:
        card: As the ledger has it.
        shown: As the vault shows it; None where it is not there.
        default_card: The customer's default card.
        knows_default: Whether that was seen.
    """
    if shown is None or shown.is_deleted:
        return checked(card, ReadbackFinding.MISSING)
    pairs = {
        "last_digits": (card.last_digits, shown.last_digits),
        "expiration_month": (card.expiration_month, shown.expiration_month),
        "expiration_year": (card.expiration_year, shown.expiration_year),
        "brand": (card.brand, shown.brand),
        "fingerprint": (card.fingerprint, shown.fingerprint),
    }
    if knows_default:
        pairs["is_default"] = (card.is_default, default_card == card.card_id)
    return _compared(card, pairs)


def compare_token(card: HeldCard, shown: ShownToken | None) -> Checked:
    """Compare a token that is to be used some day: it is there, and nobody used it."""
    if shown is None:
        return checked(card, ReadbackFinding.MISSING)
    if shown.is_used or shown.card is None:
        return checked(card, ReadbackFinding.CHANGED, "used")
    return _compared(
        card,
        {
            "card_id": (card.card_id, shown.card.card_id),
            "last_digits": (card.last_digits, shown.card.last_digits),
            "expiration_month": (card.expiration_month, shown.card.expiration_month),
            "expiration_year": (card.expiration_year, shown.card.expiration_year),
        },
    )


def _compared(card: HeldCard, pairs: dict[str, tuple[object, object]]) -> Checked:
    fields = " ".join(name for name, (ours, theirs) in pairs.items() if ours != theirs)
    return checked(card, ReadbackFinding.CHANGED if fields else ReadbackFinding.OK, fields)
