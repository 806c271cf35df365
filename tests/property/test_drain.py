"""What a run that is told to stop still waits for: the real tokenizer, in virtual time."""

import asyncio

import pytest

from pipeline.errors import Interrupted
from pipeline.model import Outcome, OutcomeKind, RowState
from tests.support.tokenizing import DurableAtOnce, tokenizer_of, waiting
from tests.support.virtual_time import VirtualClock, run_virtually

SLOTS, DRAIN_S, STOPPED_AT_S = 8, 30, 0.5


class SlowVault:
    """Answers each card so many seconds after it was sent."""

    def __init__(self, answers_after_s):
        self.answers_after_s = answers_after_s

    async def create_token(self, _request, _sent):
        await asyncio.sleep(self.answers_after_s)
        return Outcome(OutcomeKind.OK, "token")

    def outcome_of(self, _cancelled):
        return Outcome(OutcomeKind.AMBIGUOUS, "cancelled")


@pytest.mark.parametrize(
    ("answers_after_s", "state"),
    [
        (STOPPED_AT_S + DRAIN_S - 1, RowState.TOKENIZED),
        # As many seconds as a process was stopped for: its timers are due before it has read.
        (STOPPED_AT_S + DRAIN_S + 0.1, RowState.TOKENIZED),
        (STOPPED_AT_S + DRAIN_S + 1, RowState.AMBIGUOUS),
    ],
)
def test_a_drain_ends_with_one_more_look_at_what_came_meanwhile(answers_after_s, state):
    """Whoever was paused for the whole of it has its answers; what never comes is in doubt."""

    async def main():
        vault, commit, clock = SlowVault(answers_after_s), DurableAtOnce(), VirtualClock()
        tokenizer = tokenizer_of(vault, commit, clock, slots=SLOTS, rate_per_s=1e6, drain_s=DRAIN_S)

        async def source():
            yield waiting(20)

        asyncio.get_running_loop().call_later(STOPPED_AT_S, tokenizer.stop, Interrupted(15))
        with pytest.raises(Interrupted):
            await tokenizer.tokenize(source())
        return [one.state for one in commit.settled]

    assert [state] * SLOTS == run_virtually(main())
