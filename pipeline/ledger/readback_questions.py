"""Tells what the vault should hold: each attached card, or each token, with what it is known by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Select, func, or_, select

from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import ROW_SPAN, AttachState, CustomerState
from pipeline.ledger.schema import attachments, customers, exports, rows, tokens
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_AT_ONCE: Final = 500


class HeldCard(NamedTuple):
    """A card, or a token, that the vault should hold; `customer_id` is None for a token."""

    row_id: int
    legacy_id: str
    source_file: str
    source_row: int
    customer_id: str | None
    is_given: bool
    token_id: str
    card_id: str
    brand: str
    last_digits: str
    expiration_month: int
    expiration_year: int
    fingerprint: str | None
    is_default: bool


class HeldCustomer(NamedTuple):
    """A customer that cards of ours are on, or that we made; `number` is the ledger's."""

    number: int
    customer_id: str
    is_given: bool
    created_s: int | None


_ATTACHED: Final = (
    attachments.c.state == AttachState.ATTACHED,
    attachments.c.deleted_ms.is_(None),
)
_IN_FORCE: Final = (rows.c.state == RowState.TOKENIZED, rows.c.superseded_by.is_(None))


def _cards() -> Select[Any]:
    return (
        select(
            rows.c.id,
            rows.c.legacy_id,
            exports.c.name,
            rows.c.id % ROW_SPAN,
            customers.c.customer_id,
            customers.c.state,
            tokens.c.token_id,
            func.coalesce(attachments.c.card_id, tokens.c.card_id),
            tokens.c.brand,
            rows.c.last_digits,
            rows.c.expiration_month,
            rows.c.expiration_year,
            tokens.c.fingerprint,
            attachments.c.is_default,
        )
        .join(tokens, tokens.c.row_id == rows.c.id)
        .join(exports, exports.c.id == rows.c.id // ROW_SPAN)
        .outerjoin(attachments, attachments.c.row_id == rows.c.id)
        .outerjoin(customers, customers.c.id == attachments.c.customer)
    )


def _card(found: Sequence[Any]) -> HeldCard:
    card = HeldCard._make(found)
    return card._replace(is_given=found[5] == CustomerState.GIVEN, is_default=bool(card.is_default))


class ReadbackQuestions(QueryBase):
    """Questions about what the vault should hold."""

    def held_customers(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Give the customers that cards are on, and all that we made, in blocks (`HeldCustomer`)."""
        has_card = select(attachments.c.row_id).where(
            attachments.c.customer == customers.c.id, *_ATTACHED
        )
        return self._blocks(
            select(
                customers.c.id,
                customers.c.customer_id,
                customers.c.state == CustomerState.GIVEN,
                customers.c.created_s,
            )
            .where(
                customers.c.customer_id.is_not(None),
                or_(customers.c.state != CustomerState.GIVEN, has_card.exists()),
            )
            .order_by(customers.c.id)
        )

    def customers_by_id(self, customer_ids: Collection[str]) -> dict[str, HeldCustomer]:
        """Give each of these customers that the ledger knows, by the vault's id."""
        return {
            str(row[1]): HeldCustomer(int(row[0]), str(row[1]), bool(row[2]), row[3])
            for part in _parts(customer_ids)
            for row in self._all(
                select(
                    customers.c.id,
                    customers.c.customer_id,
                    customers.c.state == CustomerState.GIVEN,
                    customers.c.created_s,
                ).where(customers.c.customer_id.in_(part))
            )
        }

    def cards_on(self, customer_ids: Collection[str]) -> dict[str, list[HeldCard]]:
        """Give the cards that should be on these customers, those that were replaced among them."""
        found: dict[str, list[HeldCard]] = {}
        for part in _parts(customer_ids):
            wanted = _cards().where(customers.c.customer_id.in_(part), *_ATTACHED)
            for row in self._all(wanted.order_by(rows.c.id)):
                found.setdefault(row[4], []).append(_card(row))
        return found

    def cards_of(self, row_ids: Collection[int]) -> list[HeldCard]:
        """Give the cards, or tokens, of these rows."""
        return [
            _card(row)
            for part in _parts(row_ids)
            for row in self._all(_cards().where(rows.c.id.in_(part)).order_by(rows.c.id))
        ]

    def owners_of_cards(self, card_ids: Collection[str]) -> dict[str, str]:
        """Give the legacy id of each of these cards that a token of ours made."""
        return {
            str(card): str(legacy_id)
            for part in _parts(card_ids)
            for card, legacy_id in self._all(
                select(tokens.c.card_id, rows.c.legacy_id)
                .join(rows, rows.c.id == tokens.c.row_id)
                .where(tokens.c.card_id.in_(part))
            )
        }

    def rows_to_read_back(self) -> Iterator[Sequence[tuple[int]]]:
        """Give the rows whose card, or else token, the vault should hold, in blocks."""
        if self.is_attaching():
            on_customer = attachments.c.row_id == rows.c.id
            return self._blocks(select(rows.c.id).join(attachments, on_customer).where(*_ATTACHED))
        return self._blocks(select(rows.c.id).where(*_IN_FORCE))


def _parts(values: Collection[Any]) -> Iterator[list[Any]]:
    listed = sorted(values)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]
