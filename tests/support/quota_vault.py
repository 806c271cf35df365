"""A vault with a hidden quota and its clients, in virtual time: what a pace comes to.

The bucket is that of the benchmark's stub: a tenth of a second's worth, one at least.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.vault.flow.send_rate import AdaptiveRate


class Bucket:
    """Admits a rate that may change at given instants."""

    def __init__(self, quotas: Sequence[tuple[float, float]]) -> None:
        self.quotas = quotas
        self.stamp = 0.0
        self.level = max(1.0, quotas[0][1] / 10)

    def quota(self, now: float) -> float:
        return [rate for since, rate in self.quotas if since <= now][-1]

    def admit(self, now: float) -> bool:
        rate = self.quota(now)
        burst = max(1.0, rate / 10)
        self.level = min(burst, self.level + (now - self.stamp) * rate)
        self.stamp = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass
class Traffic:
    """What happened: every send and every answer, by instant."""

    sends: list[float]
    accepted: list[float]
    refused: list[float]
    bucket: Bucket

    def goodput(self, since: float, until: float) -> float:
        """Give accepted requests as a share of the quota."""
        got = sum(since <= at < until for at in self.accepted)
        steps = 100 * (until - since)
        quota = sum(self.bucket.quota(since + i / 100) for i in range(round(steps))) / 100
        return got / quota

    def refused_share(self, since: float, until: float) -> float:
        refused = sum(since <= at < until for at in self.refused)
        accepted = sum(since <= at < until for at in self.accepted)
        return refused / max(refused + accepted, 1)

    def most_in_a_second(self) -> int:
        most, start = 0, 0
        for end, at in enumerate(self.sends):
            while at - self.sends[start] >= 1.0:
                start += 1
            most = max(most, end - start + 1)
        return most


class Simulation:
    """Senders, a line with latency and a bucket, moved from event to event."""

    def __init__(
        self,
        pace: AdaptiveRate,
        quotas: Sequence[tuple[float, float]],
        *,
        in_flight: int = 64,
        latency_s: float = 0.02,
        jitter_s: float = 0.003,
        lead_s: float = 0.02,
        retry_after_s: float | None = None,
        seed: int = 1,
    ) -> None:
        self.pace = pace
        self.free = in_flight
        self.latency_s, self.jitter_s, self.lead_s = latency_s, jitter_s, lead_s
        self.retry_after_s = retry_after_s
        self.random = Random(seed)
        self.traffic = Traffic([], [], [], Bucket(quotas))
        self.events: list[tuple[float, int, Callable[[float, float], None], float]] = []
        self.serial = 0
        self.waking = False

    def run(self, until: float) -> Traffic:
        self.hand_out(0.0)
        while self.events[0][0] < until:
            now, _, event, about = heapq.heappop(self.events)
            event(now, about)
            self.hand_out(now)
        return self.traffic

    def later(self, at: float, event: Callable[[float, float], None], about: float) -> None:
        self.serial += 1
        heapq.heappush(self.events, (at, self.serial, event, about))

    def hand_out(self, now: float) -> None:
        """Reserve turns that are near for whoever is free."""
        while self.free and self.pace.earliest(now) <= now + self.lead_s:
            self.free -= 1
            self.reserve(now)
        if self.free and not self.waking:
            self.waking = True
            self.later(self.pace.earliest(now) - self.lead_s, self.wake, 0.0)

    def wake(self, _now: float, _about: float) -> None:
        self.waking = False

    def reserve(self, now: float) -> None:
        turn = self.pace.reserve(now)
        self.later(turn + self.random.uniform(0, self.jitter_s), self.send, turn)

    def send(self, now: float, turn: float) -> None:
        if not self.pace.depart(turn, now):
            self.reserve(now)
            return
        self.traffic.sends.append(now)
        self.later(now + self.latency_s / 2, self.arrive, now)

    def arrive(self, now: float, sent_at: float) -> None:
        admitted = self.traffic.bucket.admit(now)
        (self.traffic.accepted if admitted else self.traffic.refused).append(now)
        answer = self.good if admitted else self.bad
        self.later(now + self.latency_s / 2, answer, sent_at)

    def good(self, _now: float, sent_at: float) -> None:
        self.free += 1
        self.pace.succeeded(sent_at=sent_at)

    def bad(self, now: float, sent_at: float) -> None:
        self.free += 1
        self.pace.throttled(now, self.retry_after_s, sent_at=sent_at)


def drive(
    pace: AdaptiveRate, quotas: Sequence[tuple[float, float]], until: float, **options: Any
) -> Traffic:
    """Send as fast as the pace allows, tell it every answer, and give what happened."""
    return Simulation(pace, quotas, **options).run(until)
