"""Several carriers under one quota, in virtual time: their shares add up, whoever comes and goes."""

import heapq
from random import Random

import pytest

from pipeline.ledger.sharing.sessions import fair_share, granted
from pipeline.vault.flow.send_rate import AdaptiveRate
from tests.support.quota_vault import Simulation, Traffic

C, RENEWED_EVERY_S = 64, 1.0


class Sender(Simulation):
    """One carrier among others that share a vault: the heap of events, what happened, and the slots."""

    def __init__(self, crew, number, seed):
        super().__init__(AdaptiveRate(crew.rate), crew.quotas, seed=seed, in_flight=C)
        self.crew, self.number = crew, number
        self.events, self.traffic = crew.events, crew.traffic

    def later(self, at, event, about):
        self.crew.serial += 1
        heapq.heappush(self.events, (at, self.crew.serial, event, about))

    def hand_out(self, now):
        # Without a slot it sends nothing; with some its part of the rate binds, not they.
        if self.crew.slots.get(self.number):
            super().hand_out(now)

    def renew(self, now, _about):
        """Take its share, as the ledger grants it, and as `_Keeping.allow` does use it."""
        slots, ranked = self.crew.slots, sorted(self.crew.slots)
        if self.number not in slots:
            return
        fair = fair_share(C, len(ranked), ranked.index(self.number))
        others = sum(slots.values()) - slots[self.number]
        slots[self.number] = granted(min(fair, slots[self.number]), fair, C - others)
        if slots[self.number]:
            self.pace.allow(self.crew.rate * slots[self.number] / C)
        self.later(now + RENEWED_EVERY_S, self.renew, 0.0)

    def join(self, now, about):
        self.crew.slots[self.number] = 0
        self.renew(now, about)

    def leave(self, _now, _about):
        """Nothing more of it is handed out; the others take its share as they renew theirs."""
        del self.crew.slots[self.number]


class Crew:
    """Carriers that come and go by a plan: (at, "join" or "leave", number)."""

    def __init__(self, rate, quota, plan, seed):
        self.rate, self.quotas = rate, [(0.0, quota)]
        self.events, self.serial, self.slots = [], 0, {}
        bucket = Simulation(AdaptiveRate(rate), self.quotas).traffic.bucket
        self.traffic = Traffic([], [], [], bucket)
        random, senders = Random(seed), {}
        for at, what, number in plan:
            sender = senders.setdefault(number, Sender(self, number, random.random()))
            sender.later(at + random.random(), getattr(sender, what), 0.0)

    def run(self, until):
        while self.events[0][0] < until:
            now, _, event, about = heapq.heappop(self.events)
            event(now, about)
            sender = getattr(event, "__self__", None)
            if sender is not None:
                sender.hand_out(now)
        return self.traffic


FOUR = [(0, "join", number) for number in range(4)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_carriers_use_a_known_quota_and_are_never_refused(seed):
    """97 % of 50 a second, no 429, while one leaves and two others come."""
    plan = [*FOUR, (20, "leave", 1), (30, "join", 4), (40, "join", 5)]
    traffic = Crew(50, 50, plan, seed).run(65)

    assert [] == traffic.refused
    assert 0.97 <= traffic.goodput(5, 65)


@pytest.mark.parametrize("carriers", [1, 2, 7, 20])
def test_any_number_of_carriers_sends_what_one_may(carriers):
    """Slots that do not divide evenly are no rate that is lost or doubled."""
    traffic = Crew(100, 100, [(0, "join", number) for number in range(carriers)], 1).run(35)

    assert [] == traffic.refused
    assert 0.97 <= traffic.goodput(5, 35)
