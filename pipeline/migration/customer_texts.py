"""Renders what new customers are made with: e-mail, description and metadata, by templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.cards.detect import contains_pan
from pipeline.config.attach import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN: Final = "card:"


def own_customer(legacy_id: str) -> str:
    """Give the key of a customer that is made for one card alone."""
    return _OWN + legacy_id


@dataclass(frozen=True, slots=True)
class CustomerTexts:
    """The templates of `[attach]`.

    Args:
        metadata: Template by key.
        description: Template; empty for none.
        sends_email: Whether a new customer gets the row's e-mail.
    """

    metadata: Mapping[str, str]
    description: str
    sends_email: bool

    def fields(
        self, customer: str, legacy_id: str, carried: Mapping[str, str], email: str
    ) -> dict[str, Any]:
        """Give what a customer is made with (`email`, `description`, `metadata`).

        Args:
            customer: The customer's legacy key.
            legacy_id: The row's legacy id.
            carried: The row's carried columns, which templates may name.
            email: The row's e-mail address, empty where there is none.

        Returns:
            The fields that are not empty.
        """
        known = {**carried, "customer": customer, "legacy_id": legacy_id}
        metadata = {key: _rendered(text, known) for key, text in self.metadata.items()}
        fields: dict[str, Any] = {"metadata": metadata} if metadata else {}
        if description := _rendered(self.description, known):
            fields["description"] = description
        if self.sends_email and email:
            fields["email"] = email
        return fields

    @property
    def put_together(self) -> tuple[str, ...]:
        """The templates that add something to a value, or one value to another."""
        return tuple(text for text in (*self.metadata.values(), self.description) if _adds(text))

    def render_card_number(self, customer: str, legacy_id: str, carried: Mapping[str, str]) -> bool:
        """Say whether a template puts values together to what is a card number.

        A value alone was judged with its row; only a template that adds something can.
        """
        known = {**carried, "customer": customer, "legacy_id": legacy_id}
        # Where a value alone passes, it was allowed as an id that does so by chance.
        known = {name: "x" if contains_pan(value) else value for name, value in known.items()}
        return any(contains_pan(_rendered(text, known)) for text in self.put_together)


def _adds(template: str) -> bool:
    return PLACEHOLDER.fullmatch(template) is None and PLACEHOLDER.search(template) is not None


def _rendered(template: str, known: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: known[found[1]], template)
