"""What rows that the vault refuses for themselves cost the others: the real tokenizer, in virtual time."""

import asyncio
from itertools import cycle

from pipeline.model import Outcome, OutcomeKind, RowState
from tests.support.tokenizing import DurableAtOnce, tokenizer_of, waiting
from tests.support.virtual_time import VirtualClock, run_virtually

RATE_PER_S, SLOTS, LATENCY_S = 200, 16, 0.02
OK = Outcome(OutcomeKind.OK, "token")


class Vault:
    """Answers some rows always in one way, and all others with a token."""

    def __init__(self, clock, poison):
        self._clock, self._poison = clock, poison
        self.good = []

    async def create_token(self, _request, row):
        if row not in self._poison:
            self.good.append(self._clock.monotonic())
        await asyncio.sleep(LATENCY_S)
        return self._poison.get(row, OK)


def carried(rows, poison):
    """Carry rows to such a vault; give good rows a second, and the rows that failed."""

    async def main():
        clock = VirtualClock()
        vault, commit = Vault(clock, poison), DurableAtOnce()
        tokenizer = tokenizer_of(vault, commit, clock, slots=SLOTS, rate_per_s=RATE_PER_S)

        async def source():
            yield waiting(rows)

        await tokenizer.tokenize(source())
        failed = {one.row_id for one in commit.settled if one.state is RowState.FAILED}
        return len(vault.good) / (vault.good[-1] - vault.good[0]), failed

    return run_virtually(main())


def test_one_row_in_a_hundred_that_is_refused_for_itself_costs_the_others_less_than_a_tenth():
    """403, 404, redirects and 429 in turn, as every hundredth row: each is set aside, nobody else."""
    denied = [Outcome(OutcomeKind.DENIED, f"status {status}") for status in (403, 404, 302)]
    throttled = Outcome(OutcomeKind.THROTTLED, "status 429", retry_after_s=1.0)
    kinds = cycle([*denied, throttled])
    poison = {row: next(kinds) for row in range(50, 4_000, 100)}
    calm, none = carried(4_000, {})
    others, failed = carried(4_000, poison)

    assert (set(), set(poison)) == (none, failed)
    assert others > 0.9 * calm
