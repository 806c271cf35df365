"""Tells which cards are on which customers, which are not yet, and what may exist unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, func, select

from pipeline.ledger.flagged_cards import IS_TO_BE_DEFAULT
from pipeline.ledger.records import (
    NOT_ATTACHED_YET,
    ROW_SPAN,
    AttachClaim,
    AttachState,
    CustomerRecord,
    CustomerState,
)
from pipeline.ledger.row_counts import (
    ENDED_CARDS,
    SUPERSEDED_TOKENS,
    TOKENIZED,
    UNSEEN_CARDS,
    RowCounts,
)
from pipeline.ledger.schema import attachments, customers, rows, runs, tokens
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


_AT_ONCE: Final = 500
_KNOWN: Final = (
    CustomerState.MADE.value,
    CustomerState.GIVEN.value,
    CustomerState.LOCATED.value,
)
_TOKENIZED: Final = rows.c.state == RowState.TOKENIZED
_STATE: Final = func.coalesce(attachments.c.state, AttachState.UNATTACHED.value)

CUSTOMERS: Final = (
    *("legacy_customer_id", "customer_id", "origin", "cards", "default_card", "livemode"),
    *("created_s", "run_id"),
)
"""What `customer_rows` gives of a customer, in order."""

SUPERSEDED: Final = (
    *("legacy_id", "token_id", "card_id", "customer_id", "replaced_by_row", "kept", "at_ms"),
    "run_id",
)
"""What `superseded_cards` gives of a row, in order; `kept` is 1 while the vault has the card."""


class CardQuestions(RowCounts):
    """Questions about customers and the cards on them."""

    def attach_balance(self, export_ids: Collection[int] | None = None) -> dict[str, int]:
        """Give what became of the tokens, of all exports or of these; `tokenized` is the sum.

        `attached`, `reused`, `superseded`, `attach_failed`, `attach_held`, `unattached`.
        """
        counted = self.counts([TOKENIZED, SUPERSEDED_TOKENS, *ENDED_CARDS], export_ids)
        tokenized, superseded = counted[TOKENIZED], counted[SUPERSEDED_TOKENS]
        known = {name: counted[name] for name in ENDED_CARDS}
        rest = tokenized - superseded - sum(known.values())
        return {"tokenized": tokenized, "superseded": superseded, **known, "unattached": rest}

    def unseen_cards_max(self) -> int:
        """Give V: how many cards may be at the vault that nobody saw, open requests included."""
        return self.counts([UNSEEN_CARDS])[UNSEEN_CARDS]

    def attachable(
        self, first_id: int, last_id: int, *, only: AttachState | None = None, begun: bool = False
    ) -> list[AttachClaim]:
        """Give the rows of a range of ids that belong to a customer and are not on it yet.

        Rows that have no token yet are among them, as long as they may still get one.

        Args:
            first_id: The smallest row id.
            last_id: The largest.
            only: Leave out cards in any other state.
            begun: Leave out tokens that nobody meant to attach.
        """
        has_token = _TOKENIZED & rows.c.superseded_by.is_(None)
        if begun:
            has_token &= attachments.c.row_id.is_not(None)
        waits = rows.c.state.in_(OPEN_STATES) | has_token
        wanted = NOT_ATTACHED_YET if only is None else (only.value,)
        found = self._all(
            select(
                rows.c.id,
                rows.c.customer,
                IS_TO_BE_DEFAULT,
                tokens.c.token_id,
                tokens.c.card_id,
                tokens.c.created_s,
                rows.c.last_digits,
                rows.c.expiration_month,
                rows.c.expiration_year,
                _STATE,
                func.coalesce(attachments.c.attempts, 0),
                func.coalesce(attachments.c.unknowns, 0),
            )
            .outerjoin(tokens, tokens.c.row_id == rows.c.id)
            .outerjoin(attachments, attachments.c.row_id == rows.c.id)
            .where(
                rows.c.id.between(first_id, last_id),
                rows.c.customer.is_not(None),
                waits,
                _STATE.in_(wanted),
            )
            .order_by(rows.c.id)
        )
        claims = map(AttachClaim._make, found)
        return [
            claim._replace(is_default=bool(claim.is_default), state=AttachState(claim.state))
            for claim in claims
        ]

    def first_run_id(self) -> str | None:
        """Give the name of the ledger's first run, by which it is told from every other."""
        found = self._first(select(runs.c.run_id).order_by(runs.c.epoch).limit(1))
        return None if found is None else str(found[0])

    def customers_in_doubt(self) -> dict[int, int]:
        """Give each customer that a lost request may have made, and the row that can tell."""
        found = self._all(
            select(attachments.c.customer, attachments.c.row_id)
            .join(customers, customers.c.id == attachments.c.customer)
            .where(
                customers.c.state == CustomerState.MAKING,
                attachments.c.state == AttachState.DOUBTED,
            )
        )
        return {int(customer): int(row) for customer, row in found}

    def customers_of(self, customer_ids: Collection[int]) -> dict[int, CustomerRecord]:
        """Give customers by their number in the ledger."""
        wanted, known = sorted(customer_ids), {}
        columns = [customers.c[name] for name in CustomerRecord._fields]
        for start in range(0, len(wanted), _AT_ONCE):
            here = customers.c.id.in_(wanted[start : start + _AT_ONCE])
            for found in self._all(select(*columns).where(here)):
                record = CustomerRecord._make(found)
                known[record.id] = record._replace(state=CustomerState(record.state))
        return known

    def customer_rows(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Give the customers that are at the vault, by legacy key, in blocks (`CUSTOMERS`)."""
        is_on = and_(
            attachments.c.customer == customers.c.id,
            attachments.c.state == AttachState.ATTACHED,
            attachments.c.deleted_ms.is_(None),
        )
        cards = select(func.count()).where(is_on).scalar_subquery()
        default = (
            select(func.max(attachments.c.card_id))
            .where(is_on, attachments.c.is_default == 1)
            .scalar_subquery()
        )
        return self._blocks(
            select(
                customers.c.legacy_customer_id,
                customers.c.customer_id,
                customers.c.state,
                cards,
                default,
                customers.c.livemode,
                customers.c.created_s,
                runs.c.run_id,
            )
            .join(runs, runs.c.epoch == customers.c.epoch)
            .where(customers.c.state.in_(_KNOWN), customers.c.customer_id.is_not(None))
            .order_by(customers.c.legacy_customer_id)
        )

    def superseded_cards(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Give the rows whose card another one replaced, by row, in blocks (`SUPERSEDED`)."""
        newer = tokens.alias("newer")
        return self._blocks(
            select(
                rows.c.legacy_id,
                tokens.c.token_id,
                tokens.c.card_id,
                customers.c.customer_id,
                rows.c.superseded_by % ROW_SPAN,
                case((attachments.c.deleted_ms.is_(None), 1), else_=0),
                newer.c.created_s * 1000,
                runs.c.run_id,
            )
            .join(tokens, tokens.c.row_id == rows.c.id)
            .join(newer, newer.c.row_id == rows.c.superseded_by)
            .join(runs, runs.c.epoch == newer.c.epoch)
            .outerjoin(attachments, attachments.c.row_id == rows.c.id)
            .outerjoin(customers, customers.c.id == attachments.c.customer)
            .where(rows.c.superseded_by.is_not(None))
            # A sum, because by the id itself the database would go through all rows for a few.
            .order_by(rows.c.id + 0)
        )
