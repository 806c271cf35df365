"""Several carriers under one quota, in virtual time: their shares add up, whoever comes and goes."""

import heapq
from random import Random

import pytest

from pipeline.ledger.sharing.shares import LiveSession, dealt
from pipeline.vault.flow.send_rate import AdaptiveRate
from tests.support.quota_vault import Simulation, Traffic

C, RENEWED_EVERY_S, SOON_S = 64, 1.0, 0.2
READS_FOR_S, DRAINS_FOR_S = 10.0, 0.3


class Sender(Simulation):
    """One carrier among others that share a vault: the heap of events, what happened, and the slots."""

    def __init__(self, crew, number, seed):
        super().__init__(AdaptiveRate(crew.rate), crew.quotas, seed=seed, in_flight=C)
        self.crew, self.number = crew, number
        self.events, self.traffic = crew.events, crew.traffic
        self.has_begun = self.is_leaving = False
        self.may_use = 0

    def later(self, at, event, about):
        self.crew.serial += 1
        heapq.heappush(self.events, (at, self.crew.serial, event, about))

    def hand_out(self, now):
        # Without a slot it sends nothing; with some its part of the rate binds, not they.
        if self.may_use and not self.is_leaving:
            super().hand_out(now)

    def renew(self, now, _about):
        """Take its share, as the ledger deals it, and as `_Keeping.allow` does use it."""
        live = self.crew.live
        if self.number not in live:
            return
        good = self.pace.good_per_s
        told = None if good is None else int(good * 1_000)
        live[self.number] = LiveSession(live[self.number].slots, told, self.has_begun)
        part = dealt(live, self.number, self.may_use, C)
        live[self.number] = LiveSession(part.slots, told, self.has_begun)
        self.may_use = min(part.slots, part.fair)
        if self.may_use:
            self.pace.allow(self.crew.rate * self.may_use / C)
        else:
            self.pace.stand_by(
                self.crew.rate, None if part.good_per_ks is None else part.good_per_ks / 1_000
            )
        is_settled = part.slots == part.fair
        self.later(now + (RENEWED_EVERY_S if is_settled else SOON_S), self.renew, 0.0)

    def join(self, now, _about):
        """It is live at once, and reads its exports for a while before it can send."""
        self.crew.live[self.number] = LiveSession(0, None, has_begun=False)
        self.later(now + READS_FOR_S * self.random.random(), self.begin, 0.0)

    def begin(self, now, about):
        self.has_begun = True
        self.renew(now, about)

    def leave(self, now, _about):
        """Nothing more of it is handed out; the others take its share as they renew theirs."""
        self.is_leaving = True
        self.later(now + DRAINS_FOR_S, self.left, 0.0)

    def left(self, _now, _about):
        del self.crew.live[self.number]


class Crew:
    """Carriers that come and go by a plan: (at, "join" or "leave", number)."""

    def __init__(self, rate, quota, plan, seed):
        self.rate, self.quotas = rate, [(0.0, quota)]
        self.events, self.serial, self.live = [], 0, {}
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
COME_AND_GO = [*FOUR, (20, "join", 4), (40, "leave", 0), (42, "join", 5)]
"""The one that leaves is the one that sends where the others stand by."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_carriers_use_a_known_quota_and_are_never_refused(seed):
    """97.5 % of 50 a second, no 429, while two leave and three others come, each slow to begin."""
    plan = [*COME_AND_GO, (30, "leave", 1), (50, "join", 6)]
    traffic = Crew(50, 50, plan, seed).run(65)

    assert [] == traffic.refused
    assert 0.975 <= traffic.goodput(5, 65)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
def test_four_carriers_find_a_hidden_quota_and_hand_on_what_they_know_of_it(seed):
    """90 % of 20 a second, under 2.5 % refused, though the one leaves that had found it."""
    traffic = Crew(500, 20, COME_AND_GO, seed).run(90)

    assert 0.90 <= traffic.goodput(10, 90)
    assert 0.025 > traffic.refused_share(10, 90)


@pytest.mark.parametrize("carriers", [1, 2, 7, 20])
def test_any_number_of_carriers_sends_what_one_may(carriers):
    """Slots that do not divide evenly are no rate that is lost or doubled."""
    traffic = Crew(100, 100, [(0, "join", number) for number in range(carriers)], 1).run(45)

    assert [] == traffic.refused
    assert 0.97 <= traffic.goodput(12, 45)
