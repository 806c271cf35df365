"""Finds the cards of a chunk that a carrier may attach: a customer is one carrier's at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.migration.claiming import Claimed, claim_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.ledger.records import AttachClaim, CustomerRecord
    from pipeline.ledger.settling import Settling
    from pipeline.ledger.sharing.chunks import Lease
    from pipeline.ledger.sharing.joined import JoinedLedger
    from pipeline.migration.attach_factory import AttachParts


class OwnedCards:
    """Finds out which cards of a chunk this carrier may attach, and whose they are.

    Args:
        ledger: The carrier's.
        settling: Told rows that are left for now.
        attaching: What attaches cards; it learns what others found out of customers.
    """

    def __init__(self, ledger: JoinedLedger, settling: Settling, attaching: AttachParts) -> None:
        self._ledger = ledger
        self._settling = settling
        self._attaching = attaching

    def claimed(self, lease: Lease, claimed: Claimed) -> tuple[Claimed, bool]:
        """Add to the rows of a chunk that need a token those that have one, and all their customers.

        Args:
            lease: The chunk.
            claimed: Its rows that need a token.

        Returns:
            The rows that may be carried now, and whether others wait for another carrier.
        """
        with self._ledger.look() as look:
            found = look.attachable(lease.first_id, lease.last_id, begun=True)
        owned = self._ledger.own({claim.customer for claim in found})
        # Only what is read after it became ours cannot be changed by another.
        in_doubt, records = self._ledger.again(partial(self._known, owned))
        for customer, is_new in owned.items():
            if is_new:
                self._attaching.customers.learn(records[customer])
                self._attaching.attacher.learn_doubt(customer, in_doubt.get(customer))
        mine = [claim for claim in found if self._is_mine(claim, lease, owned, in_doubt)]
        kept = {claim.row_id for claim in mine}
        others = {claim.row_id for claim in found} - kept
        for row in others:
            self._settling.leave(row)
        rows = [claim for claim in claimed.rows if claim.id not in others]
        rows += [claim_of(claim) for claim in mine if claim.token_id is not None]
        first = set(in_doubt.values())
        rows.sort(key=lambda claim: (claim.id not in first, claim.id))
        attaching = {
            claim.row_id: (claim, self._attaching.customers.of(records[claim.customer]))
            for claim in mine
        }
        return Claimed(rows, attaching), any(
            claim.customer not in owned for claim in found if claim.row_id in others
        )

    def _known(
        self, customers: Collection[int]
    ) -> tuple[dict[int, int], dict[int, CustomerRecord]]:
        """Give the rows by which customers may have been made unseen, and what is known of some."""
        with self._ledger.look() as look:
            return look.customers_in_doubt(), look.customers_of(customers)

    def _is_mine(
        self,
        claim: AttachClaim,
        lease: Lease,
        owned: dict[int, bool],
        in_doubt: dict[int, int],
    ) -> bool:
        """Tell whether a card may go: nobody has its customer, nor may it have been made unseen."""
        # A lost request may have made the customer: the card that it was for goes first.
        telling = in_doubt.get(claim.customer, claim.row_id)
        return claim.customer in owned and lease.first_id <= telling <= lease.last_id
