"""Draws throughput and latency over time from every answer of a ledger, in at most 240 steps.

Steps without an answer are left out: between a night's run and the next there is nothing to see.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.clock import timestamp
from pipeline.ledger.section_figures import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.ledger.snapshot import Snapshot

STEPS_MAX: Final = 240
_STEP_S: Final = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400, 604_800)
_SECONDS_BYTES: Final = 4
_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def timeline(look: Snapshot) -> dict[str, Any]:
    """Give latency over all answers, and answers and latency step by step.

    Returns:
        `by_outcome` counts; `latency_us` with the exact quantiles; and `timeline` with `step_s`
        and `steps`. All are empty where nothing was ever sent.
    """
    at_s, kinds, latency_us = _columns(look)
    order = np.argsort(at_s, kind="stable").astype(np.int32)
    at_s = at_s[order]
    step_s = _step_s(at_s[_firsts(at_s)])
    at_s //= step_s
    firsts = _firsts(at_s)
    bounds = [*firsts.tolist(), len(order)]
    steps = []
    for step, start in enumerate(at_s[firsts].tolist()):
        here = order[bounds[step] : bounds[step + 1]]
        steps.append(
            {
                "at": timestamp(datetime.fromtimestamp(start * step_s, UTC)),
                "answers": _tally(kinds[here]),
                "latency_us": _quantiles(latency_us[here]),
            }
        )
    return {
        "by_outcome": _tally(kinds),
        "latency_us": _quantiles(latency_us),
        "timeline": {"step_s": step_s, "steps": steps},
    }


def _tally(kinds: NDArray[np.int8]) -> dict[str, int]:
    counted = np.bincount(kinds, minlength=len(KINDS)).tolist()
    return {kind: n for kind, n in zip(KINDS, counted, strict=True) if n}


def _columns(
    look: Snapshot,
) -> tuple[NDArray[np.uint32], NDArray[np.int8], NDArray[np.uint32]]:
    # Small types: ten million answers take ninety megabytes.
    at_s, kinds, latency_us = [np.empty(0, np.uint32)], [np.empty(0, np.int8)], [np.empty(0, "<u4")]
    for one in look.answers():
        at_s.append(np.frombuffer(one.packed, "<u4", one.rows))
        kinds.append(np.frombuffer(one.packed, np.int8, one.rows, _SECONDS_BYTES * one.rows))
        times_at = (_SECONDS_BYTES + 1) * one.rows
        latency_us.append(np.frombuffer(one.packed, "<u4", one.rows, times_at))
    return np.concatenate(at_s), np.concatenate(kinds), np.concatenate(latency_us)


def _firsts(ordered: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Give the places at which another value begins."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)])


def _step_s(seconds: NDArray[np.uint32]) -> int:
    """Give the shortest step that leaves few enough of them."""
    for step_s in _STEP_S:
        if len(np.unique(seconds // step_s)) <= STEPS_MAX:
            return step_s
    return _STEP_S[-1]


def _quantiles(latency_us: NDArray[np.uint32]) -> dict[str, int]:
    """Give exact quantiles of what was answered; a latency of zero means that nothing came."""
    answered = latency_us[latency_us > 0]
    if not len(answered):
        return {}
    places = [int(share * (len(answered) - 1)) for _, share in _QUANTILES]
    in_place = np.partition(answered, places)
    return {name: int(in_place[at]) for (name, _), at in zip(_QUANTILES, places, strict=True)}
