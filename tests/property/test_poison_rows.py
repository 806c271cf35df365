"""What rows that the vault refuses for themselves cost the others: the real tokenizer, in virtual time."""

import asyncio
from itertools import cycle
from random import Random

from pipeline.config.policies import OnAmbiguous
from pipeline.ledger.records import Claim, Intent
from pipeline.metrics import Flow
from pipeline.migration.tokenizer import Tokenizer
from pipeline.migration.transitions import RetryPolicy, WaitingCard
from pipeline.model import Outcome, OutcomeKind, RowState
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_rate import AdaptiveRate
from tests.support.virtual_time import VirtualClock, run_virtually

RATE_PER_S, SLOTS, LATENCY_S = 200, 16, 0.02
OK = Outcome(OutcomeKind.OK, "token")


class Request:
    """No request: what the vault answers depends on the row."""

    def wipe(self):
        """Hold nothing."""


class DurableAtOnce:
    """Takes intents and settlements as a ledger whose disk takes no time."""

    def __init__(self):
        self.settled, self._intents = [], 0

    async def intend(self, row, number):
        self._intents += 1
        return Intent(self._intents, row, number)

    def settle(self, *settlements):
        self.settled += settlements

    async def drain(self):
        """Have nothing left to write."""


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
        clock, flow, stopping = VirtualClock(), Flow(), asyncio.Event()
        vault, commit = Vault(clock, poison), DurableAtOnce()
        slots = ConcurrencyLimit(SLOTS)
        tokenizer = Tokenizer(
            vault=vault,
            commit=commit,
            flow_control=FlowControl(
                AdaptiveRate(RATE_PER_S), slots, clock, Random(1), flow, stopping
            ),
            policy=RetryPolicy(5, OnAmbiguous.RETRY, 1800, 30, rows),
            clock=clock,
            flow=flow,
        )

        async def source():
            yield [
                WaitingCard(Claim(row, 0, 0, "4242", 12, 2031, "Visa"), row, Request(), 0, 0)
                for row in range(rows)
            ]

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
