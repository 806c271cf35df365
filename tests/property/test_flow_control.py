"""Slots, breaker, pace and retry together, in virtual time."""

from __future__ import annotations

import asyncio
from itertools import product
from random import Random

import pytest

from pipeline.metrics import Flow
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.flow.circuit_breaker import BreakerState
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_queue import LEAD_S, SendQueue
from pipeline.vault.flow.send_rate import AdaptiveRate
from tests.support.model_vault import ILL, OK, Migration
from tests.support.sampled import sampled, slow
from tests.support.virtual_time import VirtualClock, run_virtually


def carried(vault, **options):
    async def main():
        return await Migration(vault, **options).run()

    return run_virtually(main())


def test_a_healthy_vault_gets_every_row_once_at_the_rate():
    """Without trouble flow control only spaces: 500 rows at 50 a second take ten seconds."""
    run = carried(lambda _: OK, rows=500)

    assert 500 == len(run.sends)
    assert 10.0 == pytest.approx(run.sends[-1], abs=0.1)
    assert 8 >= run.most_under_way()


@pytest.mark.parametrize(("slots", "seed"), sampled(product([1, 8, 64], [1, 2]), 2))
def test_an_outage_of_twenty_minutes_is_sat_out(slots, seed):
    """Few attempts go to a vault that is down, and within two minutes of its return all is well."""
    down, up = 5.0, 1205.0
    run = carried(lambda at: ILL if down <= at < up else OK, rows=2000, slots=slots, seed=seed)
    failures = [at for at in run.sends if down <= at < up]
    opened = next(at for at, state in run.breakers if state == BreakerState.OPEN.value)
    recovered = next(at for at in run.good if at >= up)

    assert 20 >= sum(at <= opened for at in failures) - slots
    assert 0.1 * 2000 + 100 >= len(failures)
    assert 120 >= recovered - up
    assert run.sends[-1] - up < 120 + 2000 / 50 + 120
    assert 2000 == len(run.good)
    assert 1200 == pytest.approx(run.outage_s, abs=60)
    assert BreakerState.CLOSED.value == run.flow.breaker


def test_half_the_answers_failing_does_not_multiply_the_attempts():
    """At every second answer a failure, attempts stay near what the rows need."""
    toggle = iter(range(10**9))
    run = carried(lambda _: ILL if next(toggle) % 2 else OK, rows=300)

    assert 300 == len(run.good)
    assert 2.1 * 300 >= len(run.sends)


def test_failures_shrink_the_slots_and_answers_win_them_back():
    """While every fifth answer fails few are under way at once; afterwards as many as before."""
    toggle = iter(range(10**9))
    run = carried(
        lambda at: ILL if 1.0 <= at < 8.0 and next(toggle) % 5 == 0 else OK,
        rows=4000, slots=16, rate_per_s=1000, latency_s=0.05,
    )  # fmt: skip

    assert 16 == run.most_under_way(until=1.0)
    assert 8 >= run.most_under_way(3.0, 8.0)
    assert 16 == run.most_under_way(since=8.0)
    assert 16 == run.flow.in_flight_limit
    assert 4000 == len(run.good)


def learnt(*kinds, rows=()):
    """Give a flow control of eight slots at 50 a second that saw requests end so, figures and outage.

    Each request is of a row of its own, or of the `rows` that are named.
    """

    async def main():
        clock, flow, stopping = VirtualClock(), Flow(), asyncio.Event()
        limit = ConcurrencyLimit(8)
        flow_control = FlowControl(AdaptiveRate(50), limit, clock, Random(1), flow, stopping)
        for row, kind in zip(rows or range(len(kinds)), kinds, strict=True):
            turn = await flow_control.reserve_turn()
            await asyncio.sleep(turn + 0.1 - clock.monotonic())
            now = clock.monotonic()
            flow_control.report(Outcome(kind, ""), row, sent_at=now - 0.1, now=now)
        return flow_control, flow, flow_control.outage_s()

    return run_virtually(main())


@pytest.mark.parametrize(
    ("kind", "slots"),
    [
        (OutcomeKind.OK, 8),
        (OutcomeKind.REJECTED, 8),
        (OutcomeKind.THROTTLED, 8),
        (OutcomeKind.NOT_SENT, 8),
        (OutcomeKind.AMBIGUOUS, 4),
    ],
)
def test_only_doubtful_answers_take_slots_away(kind, slots):
    """A vault that cannot be reached, or refuses, is not relieved by fewer requests at once."""
    assert slots == learnt(kind)[1].in_flight_limit


@pytest.mark.parametrize(
    "kind", [OutcomeKind.OK, OutcomeKind.REJECTED, OutcomeKind.NOT_SENT, OutcomeKind.AMBIGUOUS]
)
def test_only_a_refusal_leaves_a_rate_for_the_next_run(kind):
    """A 429 says that the ceiling is too high; nothing else does."""
    assert learnt(kind)[0].last_good_rate() is None
    assert 0 < learnt(kind, OutcomeKind.THROTTLED)[0].last_good_rate() < 50


def test_rejected_cards_are_no_outage():
    """A vault that rejects card after card is at work: the breaker stays closed."""
    _, flow, outage_s = learnt(*[OutcomeKind.REJECTED] * 30)

    assert (BreakerState.CLOSED.value, 0) == (flow.breaker, flow.breaker_opened)
    assert 0.0 == outage_s


def test_a_refused_probe_shows_that_the_vault_is_back_but_ends_no_outage():
    """A 429 closes the breaker; as long as nothing is done for us, the outage goes on."""
    _, flow, outage_s = learnt(*[OutcomeKind.AMBIGUOUS] * 10, OutcomeKind.THROTTLED)

    assert (BreakerState.CLOSED.value, 1) == (flow.breaker, flow.breaker_opened)
    assert outage_s > 30
    assert 0.0 < learnt(OutcomeKind.THROTTLED, OutcomeKind.THROTTLED)[2] < 1


@pytest.mark.parametrize(("goods", "kept"), [(8, 0.85), (7, 0.85**2)])
def test_good_answers_between_refusals_make_the_next_cut_a_small_one(goods, kept):
    """Eight good answers show that the cut before was right; fewer, and the next goes deeper."""
    before = learnt(OutcomeKind.THROTTLED, *[OutcomeKind.OK] * goods)[0].last_good_rate()
    after = learnt(OutcomeKind.THROTTLED, *[OutcomeKind.OK] * goods, OutcomeKind.THROTTLED)[
        0
    ].last_good_rate()

    assert kept == pytest.approx(after / before, abs=0.03)


@pytest.mark.parametrize("kind", [OutcomeKind.THROTTLED, OutcomeKind.AMBIGUOUS])
def test_a_retry_after_stops_the_whole_pool(kind):
    """One 429, or 503, with forty seconds, and nobody sends for forty seconds."""
    told_off = Outcome(kind, "status", retry_after_s=40.0)
    run = carried(lambda at: told_off if 2.0 <= at < 2.05 else OK, rows=400)
    told = 2.0 + run.latency_s
    gap = [at for at in run.sends if told + 0.05 < at < told + 40.0]

    assert [] == gap
    assert 400 == len(run.good)


def test_a_stop_ends_everything_at_once():
    """Slots waiting for a slot, a turn, a breaker or a retry all leave when the run stops."""

    async def main():
        run = Migration(lambda _: ILL, rows=1000, slots=16)
        asyncio.get_running_loop().call_later(20.0, run.stopping.set)
        await run.run()
        return run, run.clock.monotonic()

    run, over = run_virtually(main())

    assert 20.0 == pytest.approx(over, abs=run.latency_s + 0.001)


@pytest.mark.parametrize("late_s", [0.0, 0.005, 0.019, 0.1, 1.0])
def test_a_stalled_disk_never_bunches_sends(late_s):
    """Rows whose intents all became durable at once still leave an interval apart."""

    async def main():
        clock, stopping, sends = VirtualClock(), asyncio.Event(), []
        queue = SendQueue(AdaptiveRate(50), clock, stopping)

        async def row():
            turn = await queue.reserve()
            now = clock.monotonic()
            # The disk answers only at whole multiples of `late_s`.
            await asyncio.sleep(late_s and late_s - now % late_s)
            assert await queue.reach(turn) is not None
            sends.append(clock.monotonic())

        await asyncio.gather(*(row() for _ in range(200)))
        return sends

    sends = run_virtually(main())
    most = max(sum(start <= at < start + 1 for at in sends) for start in sends)

    assert 200 == len(sends)
    assert 52 >= most


@pytest.mark.parametrize("commit_s", [slow(0.01), slow(0.03), slow(0.06), 0.1])
def test_a_slow_disk_costs_no_turns(commit_s):
    """Rows whose intents take longer than a turn is long still use every turn of the pace."""

    async def main():
        clock, stopping, sends, intents = VirtualClock(), asyncio.Event(), [], []
        queue = SendQueue(AdaptiveRate(50), clock, stopping)

        async def disk():
            while True:
                batch = intents[:]
                intents.clear()
                await asyncio.sleep(commit_s)
                for durable in batch:
                    durable.set()

        async def slot():
            while (turn := await queue.reserve()) is not None:
                durable = asyncio.Event()
                intents.append(durable)
                await durable.wait()
                if await queue.reach(turn) is not None:
                    sends.append(clock.monotonic())
                    await asyncio.sleep(0.02)

        writer = asyncio.create_task(disk())
        asyncio.get_running_loop().call_later(65.0, stopping.set)
        await asyncio.gather(*(slot() for _ in range(64)))
        writer.cancel()
        return sends

    sends = run_virtually(main())

    assert 0.97 * 50 * 60 <= sum(at >= 5.0 for at in sends)
    assert 52 >= max(sum(start <= at < start + 1 for at in sends) for start in sends)


def test_few_turns_are_out_when_the_disk_is_quick_again():
    """The lead grows with the disk's slowness and shrinks after it, so a new rate reaches all."""

    async def main():
        clock, stopping = VirtualClock(), asyncio.Event()
        queue = SendQueue(AdaptiveRate(2), clock, stopping)
        leads = []
        for number in range(600):
            turn = await queue.reserve()
            await asyncio.sleep(0.3 if number < 5 else 0.001)
            leads.append(turn - clock.monotonic())
            await queue.reach(turn)
        return leads

    leads = run_virtually(main())

    assert max(leads[5:20]) > 0.1
    assert max(leads[-20:]) <= LEAD_S


def test_a_429_that_speaks_of_one_row_alone_takes_its_lesson_back():
    """The first refusal slows all; once others pass and the row is refused again, none is slower."""
    rows = [*range(100), 777, *range(100, 103), 777]
    kinds = [OutcomeKind.THROTTLED if row == 777 else OutcomeKind.OK for row in rows]
    slowed = learnt(*kinds[:-1], rows=rows[:-1])[1].rate_allowed

    assert slowed < 50 == learnt(*kinds, rows=rows)[1].rate_allowed
