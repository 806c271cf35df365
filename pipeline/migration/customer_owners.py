"""Keeps each customer that cards under way belong to, one object for all of its cards."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pipeline.ledger.records import CustomerRecord

RECENT: Final = 10_000
"""So many changed customers are kept at least: more than could wait for a commit."""


class Owner:
    """A customer, as this run knows it by now."""

    __slots__ = ("__weakref__", "record")

    def __init__(self, record: CustomerRecord) -> None:
        self.record = record


class Owners:
    """Gives all cards of a customer the same owner.

    A customer is kept while a card of it waits, and for long enough after a change that the ledger
    has it: what is read of it later is what was written.
    """

    def __init__(self) -> None:
        self._known: WeakValueDictionary[int, Owner] = WeakValueDictionary()
        self._recent: deque[Owner] = deque(maxlen=RECENT)

    def of(self, record: CustomerRecord) -> Owner:
        """Give a customer's owner; `record` is what the ledger had, if nobody knows it better."""
        owner = self._known.get(record.id)
        if owner is None:
            owner = self._known[record.id] = Owner(record)
        return owner

    def learn(self, record: CustomerRecord) -> None:
        """Take in what another carrier, who had a customer until now, has made of it."""
        if (owner := self._known.get(record.id)) is not None:
            owner.record = record

    def changed(self, owner: Owner, record: CustomerRecord) -> None:
        """Take in what a customer has become."""
        if record != owner.record:
            owner.record = record
            self._recent.append(owner)
