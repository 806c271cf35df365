"""Keeps each customer that cards under way belong to, one object for all of its cards."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pipeline.ledger.records import CustomerRecord

RECENT: Final = 10_000
"""So many changed customers are kept at least: more than could wait for a commit."""


class KnownCustomer:
    """A customer, as this run knows it by now."""

    __slots__ = ("__weakref__", "record")

    def __init__(self, record: CustomerRecord) -> None:
        self.record = record


class KnownCustomers:
    """Gives all cards of a customer the same object.

    A customer is kept while a card of it waits, and for long enough after a change that the ledger
    has it: what is read of it later is what was written.
    """

    def __init__(self) -> None:
        self._known: WeakValueDictionary[int, KnownCustomer] = WeakValueDictionary()
        self._recent: deque[KnownCustomer] = deque(maxlen=RECENT)

    def of(self, record: CustomerRecord) -> KnownCustomer:
        """Give what is known of a customer: `record`, as the ledger had it, if nobody knows better."""
        customer = self._known.get(record.id)
        if customer is None:
            customer = self._known[record.id] = KnownCustomer(record)
        return customer

    def learn(self, record: CustomerRecord) -> None:
        """Take in what another carrier, who had a customer until now, has made of it."""
        if (customer := self._known.get(record.id)) is not None:
            customer.record = record

    def changed(self, customer: KnownCustomer, record: CustomerRecord) -> None:
        """Take in what a customer has become."""
        if record != customer.record:
            customer.record = record
            self._recent.append(customer)
