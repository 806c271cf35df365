"""Puts the figures of several carriers together, so that a run shows them as its own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pipeline.metrics import Flow, Latencies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COUNTS: Final = (
    *("sent", "tokenized", "rejected", "failed", "held", "attached", "attach_failed"),
    *("attach_held", "retries", "other_brands", "breaker_opened"),
)
_LIMITS: Final = ("in_flight_limit", "rate_allowed")
_TALLIES: Final = ("codes", "answers", "troubles")
_LATENCIES: Final = ("latencies", "commits")


def figures_of(flow: Flow) -> dict[str, Any]:
    """Give a carrier's figures so far, ready for JSON."""
    told: dict[str, Any] = {name: getattr(flow, name) for name in (*_COUNTS, *_LIMITS)}
    told |= {"in_flight": flow.in_flight, "breaker": flow.breaker}
    told |= {name: {str(k): n for k, n in getattr(flow, name).items()} for name in _TALLIES}
    told |= {name: getattr(flow, name).as_dict() for name in _LATENCIES}
    if flow.api is not None:
        told["api"] = figures_of(flow.api)
    return told


def put_together(
    flow: Flow, all_time: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]
) -> None:
    """Make a run's figures the sums of its carriers'.

    Args:
        flow: The run's figures.
        all_time: The figures of every carrier that it ever had.
        now: Those of the carriers that are at work: only they have rates, and cards under way.
    """
    ever, live = list(all_time), list(now)
    for name in _COUNTS:
        setattr(flow, name, sum(told.get(name, 0) for told in ever))
    flow.in_flight = sum(told.get("in_flight", 0) for told in live)
    if any(live):
        # Once the last has left, what stood between the rows and the vault is what stood there last.
        for name in _LIMITS:
            setattr(flow, name, sum(told.get(name, 0) for told in live))
        breakers = {told["breaker"] for told in live if told}
        flow.breaker = min(breakers, key=("closed", "half_open", "open").index)
    for name in _TALLIES:
        tally: Counter[str] = Counter()
        for told in ever:
            tally.update(told.get(name, {}))
        setattr(flow, name, tally)
    for name in _LATENCIES:
        setattr(flow, name, Latencies.of(told[name] for told in ever if name in told))
    if flow.api is not None:
        put_together(
            flow.api, [t["api"] for t in ever if "api" in t], [t["api"] for t in live if "api" in t]
        )
