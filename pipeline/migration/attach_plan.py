"""Tells what attaching takes: cards, customers, requests, and how long those last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.ledger.attach_needs import AttachNeeds


@dataclass(frozen=True, slots=True)
class AttachPlan:
    """What attaching needs.

    Attributes:
        needs: Cards, customers and requests.
        rate_per_s: The ceiling of requests a second to the API host.
        has_webhook: Whether the account calls somebody for each of them.
        deletes: Cards that are deleted, as newer ones replace them.
    """

    needs: AttachNeeds
    rate_per_s: float
    has_webhook: bool = False
    deletes: int = 0

    @property
    def seconds(self) -> float:
        """How long the requests take at that rate."""
        return self.needs.requests / self.rate_per_s

    def as_dict(self) -> dict[str, Any]:
        """Give it as `--json` shows it."""
        return {
            **self.needs._asdict(),
            "requests": self.needs.requests,
            "rate_per_s": self.rate_per_s,
            "seconds_at_rate": round(self.seconds, 1),
        }
