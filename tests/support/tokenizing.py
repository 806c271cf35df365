"""What the real tokenizer needs beside a vault, in virtual time: a ledger whose disk takes no time."""

import asyncio
from random import Random

from pipeline.config.policies import OnAmbiguous
from pipeline.ledger.records import Claim, Intent
from pipeline.metrics import Flow
from pipeline.migration.tokenizer import Tokenizer
from pipeline.migration.transitions import RetryPolicy, WaitingCard
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_rate import AdaptiveRate


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


def waiting(rows):
    """Give cards whose answers are compared by nothing but their number."""
    return [
        WaitingCard(Claim(row, 0, 0, "4242", 12, 2031, "Visa"), row, Request(), 0, 0)
        for row in range(rows)
    ]


def tokenizer_of(vault, commit, clock, *, slots, rate_per_s, drain_s=30, failures_max=10**9):
    """Put a tokenizer together; needs a running loop."""
    flow, stopping = Flow(), asyncio.Event()
    limit = ConcurrencyLimit(slots)
    return Tokenizer(
        vault=vault,
        commit=commit,
        flow_control=FlowControl(AdaptiveRate(rate_per_s), limit, clock, Random(1), flow, stopping),
        policy=RetryPolicy(5, OnAmbiguous.RETRY, 1800, drain_s, failures_max),
        clock=clock,
        flow=flow,
    )
