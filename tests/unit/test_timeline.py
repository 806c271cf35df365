"""The report's timeline says what all answers, sorted together, would say."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.clock import timestamp
from pipeline.ledger.section_figures import KINDS, LONGEST_US
from pipeline.outputs.timeline import STEPS_MAX, timeline

FIRST_S = 1_700_000_000
STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400, 604_800)


def look_at(at_s, kinds, latency_us):
    """Give what answers questions, some answers a section."""

    def answers():
        for start in range(0, len(at_s), 999):
            here = slice(start, start + 999)
            packed = (
                at_s[here].astype("<u4").tobytes()
                + kinds[here].astype(np.int8).tobytes()
                + latency_us[here].astype("<u4").tobytes()
            )
            yield SimpleNamespace(rows=len(at_s[here]), packed=packed)

    return SimpleNamespace(answers=answers)


def tally(kinds):
    return {kind: n for at, kind in enumerate(KINDS) if (n := int((kinds == at).sum()))}


def quantiles(latency_us):
    answered = sorted(latency_us[latency_us > 0].tolist())
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99} if answered else {}
    return {name: answered[int(share * (len(answered) - 1))] for name, share in shares.items()}


def truth(at_s, kinds, latency_us):
    fits = (step for step in STEPS_S if len(set((at_s // step).tolist())) <= STEPS_MAX)
    step_s = next(fits, STEPS_S[-1])
    return {
        "by_outcome": tally(kinds),
        "latency_us": quantiles(latency_us),
        "timeline": {
            "step_s": step_s,
            "steps": [
                {
                    "at": timestamp(datetime.fromtimestamp(step * step_s, UTC)),
                    "answers": tally(kinds[at_s // step_s == step]),
                    "latency_us": quantiles(latency_us[at_s // step_s == step]),
                }
                for step in sorted(set((at_s // step_s).tolist()))
            ],
        },
    }


@pytest.mark.parametrize(
    ("size", "span_s", "longest_us"),
    [
        (0, 1, 1),
        (1, 1, 5),
        (50, 3, 0),
        (2_000, STEPS_MAX, 300),
        (2_000, STEPS_MAX + 1, 300),
        (3_000, 100, 1_000_000),
        (70_000, 5_000, LONGEST_US),
        (70_000, 10_000_000, 60_000_000),
        (3_000, 2_000_000_000, 40_000),
    ],
)
@pytest.mark.parametrize("in_order", [True, False])
def test_steps_and_quantiles_are_those_of_all_answers(size, span_s, longest_us, in_order):
    """Steps, tallies and exact quantiles are right for a second, a night and years, in any order."""
    chance = np.random.default_rng(size + span_s)
    at_s = FIRST_S + chance.integers(0, span_s, size)
    if in_order:
        at_s = np.sort(at_s)
    kinds = chance.integers(0, len(KINDS), size)
    latency_us = chance.integers(0, longest_us + 1, size) * (chance.random(size) < 0.95)
    assert timeline(look_at(at_s, kinds, latency_us)) == truth(at_s, kinds, latency_us)
