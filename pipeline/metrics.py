"""Counts what a run is doing (rows, answers, latencies) and tells a list of listeners."""

from __future__ import annotations

import math
from collections import Counter as Tally
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.model import NEVER_SENT, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from pipeline.clock import Clock
    from pipeline.model import Outcome

_BUCKETS_A_DOUBLING: Final = 8
_SETTLING: Final = frozenset({OutcomeKind.OK, OutcomeKind.REJECTED})
_BOUNDS: Final = range(9, 27)
"""Doublings, in microseconds, that a histogram for monitors is cut at: 0.5 ms to 67 s."""


class Latencies:
    """A histogram of latencies whose size does not grow: eight buckets for each doubling."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        bucket = _bucket(seconds)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._count += 1
        self.total_s += seconds

    def as_dict(self) -> dict[str, Any]:
        """Give the histogram ready for JSON."""
        # A copy, as another thread may add while this one reads.
        buckets = dict(self._buckets)
        return {"buckets": {str(b): n for b, n in buckets.items()}, "total_s": self.total_s}

    @classmethod
    def of(cls, parts: Iterable[Mapping[str, Any]]) -> Latencies:
        """Put histograms together that `as_dict` gave."""
        whole = cls()
        for part in parts:
            whole.total_s += part["total_s"]
            for bucket, count in part["buckets"].items():
                whole._buckets[int(bucket)] = whole._buckets.get(int(bucket), 0) + count
                whole._count += count
        return whole

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Give (seconds, how many took no longer) for bounds that never change, the last infinite."""
        # A copy, as another thread may add while this one reads.
        buckets = dict(self._buckets)
        for doubling in _BOUNDS:
            below = doubling * _BUCKETS_A_DOUBLING
            yield (
                2**doubling / 1_000_000,
                sum(count for bucket, count in buckets.items() if bucket < below),
            )
        yield math.inf, sum(buckets.values())

    def quantile_ms(self, share: float) -> float:
        """Give the latency that this share of answers did not exceed, within 9 %."""
        rest = share * self._count
        for bucket in sorted(self._buckets):
            rest -= self._buckets[bucket]
            if rest <= 0:
                return float(2 ** ((bucket + 1) / _BUCKETS_A_DOUBLING)) / 1000
        return 0.0


def _bucket(seconds: float) -> int:
    microseconds = int(seconds * 1_000_000) or 1
    exponent = microseconds.bit_length() - 1
    within = (microseconds << 3 >> exponent) - _BUCKETS_A_DOUBLING
    return exponent * _BUCKETS_A_DOUBLING + within


def _letters(name: str) -> str:
    """Give a brand's name as far as vaults write it alike: letters, whatever their case."""
    return "".join(filter(str.isalpha, name)).casefold()


@dataclass(slots=True)
class Flow:
    """The run's moving figures, written while it sends and read by its listeners."""

    total: int = 0
    exports: frozenset[int] = frozenset()
    """The exports, by their numbers in the ledger, that the rows to be sent are from."""
    sent: int = 0
    tokenized: int = 0
    rejected: int = 0
    failed: int = 0
    held: int = 0
    is_attaching: bool = False
    """Whether a row is at its end only when its card is on a customer."""
    attached: int = 0
    attach_failed: int = 0
    attach_held: int = 0
    api: Flow | None = None
    """The figures of the API host: its rate, its breaker, its 429s."""
    retries: int = 0
    other_brands: int = 0
    """Tokens whose brand the vault calls otherwise than we do: a warning, for names differ."""
    in_flight: int = 0
    in_flight_limit: int = 0
    rate_allowed: float = 0.0
    breaker: str = "closed"
    breaker_opened: int = 0
    codes: Tally[str] = field(default_factory=Tally)
    """Rows that this run rejected, failed or held, by failure code."""
    answers: Tally[str] = field(default_factory=Tally)
    """What this run's attempts came to, by `OutcomeKind`."""
    troubles: Tally[str] = field(default_factory=Tally)
    """What attempts met that neither made nor rejected anything, such as `status 503`."""
    latencies: Latencies = field(default_factory=Latencies)
    commits: Latencies = field(default_factory=Latencies)
    """How long the ledger's commits took."""

    @property
    def throttled(self) -> int:
        """Attempts that were refused with 429."""
        return self.answers[OutcomeKind.THROTTLED]

    @property
    def ambiguous(self) -> int:
        """Attempts of which nobody knows whether a token was made."""
        return self.answers[OutcomeKind.AMBIGUOUS]

    @property
    def settled(self) -> int:
        """Rows that this run brought to an end."""
        return (self.attached if self.is_attaching else self.tokenized) + self.failures

    @property
    def failures(self) -> int:
        """Rows that this run rejected, failed or held, before their token or after it."""
        return self.rejected + self.failed + self.held + self.attach_failed + self.attach_held

    def count(
        self, state: RowState, code: str | None, outcome: Outcome, took_s: float, brand: str
    ) -> None:
        """Count what an attempt to make a token came to.

        Args:
            state: Where it took its row.
            code: Why, if the row failed.
            outcome: What it came to.
            took_s: How long it took; 0 for one that was never sent.
            brand: The card's brand as we call it.
        """
        if took_s:
            self.latencies.add(took_s)
        if state is RowState.TOKENIZED:
            self.tokenized += 1
            token = outcome.token
            if token is not None and token.brand != brand:
                self.other_brands += _letters(token.brand) != _letters(brand)
        elif state is RowState.REJECTED:
            self.rejected += 1
        elif state is RowState.FAILED:
            self.failed += 1
        elif state is RowState.HELD:
            self.held += 1
        if code is not None:
            self.codes[code] += 1
        self.count_answer(outcome)

    def count_answer(self, outcome: Outcome) -> None:
        """Count an attempt by what it came to, and by its evidence where that settled nothing."""
        self.answers[outcome.kind] += 1
        if outcome.kind not in _SETTLING and outcome.evidence != NEVER_SENT:
            self.troubles[outcome.evidence] += 1

    def all_troubles(self) -> dict[str, int]:
        """Count what attempts at both hosts met, the commonest first."""
        both = self.troubles + (self.api.troubles if self.api else Tally())
        return dict(both.most_common())

    def statistics(self, seconds: float) -> dict[str, object]:
        """Give the figures for the ledger; `seconds` is how long the sending took."""
        return {
            "sent": self.sent,
            "retries": self.retries,
            "throttled": self.throttled,
            "ambiguous": self.ambiguous,
            "other_brands": self.other_brands,
            "breaker_opened": self.breaker_opened,
            "rate_last_good": round(self.rate_allowed, 3),
            "seconds": round(seconds, 3),
            "rows_per_s": round(self.settled / seconds, 1) if seconds else 0.0,
            "latency_ms": {
                name: round(self.latencies.quantile_ms(share), 3)
                for name, share in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
            },
        }


class Counter:
    """Counts rows read; subclasses show it."""

    def add(self, rows: int) -> None:
        """Count more rows."""


class Listener(Protocol):
    """Is told what a run is doing, and shows, logs or exports it."""

    def reading(self, name: str) -> AbstractContextManager[Counter]:
        """Learn that an export is being read; the counter is told rows as they come."""
        ...

    def sending(self, flow: Flow, clock: Clock) -> AbstractAsyncContextManager[None]:
        """Follow the flow for as long as the context lasts."""
        ...


class Listeners:
    """Passes what a run tells on to any number of listeners, none included.

    Args:
        listeners: Those who want to know; the first is told first and released last.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    @contextmanager
    def reading(self, name: str) -> Iterator[Counter]:
        """Give one counter that tells every listener's counter."""
        with ExitStack() as stack:
            counters = [stack.enter_context(each.reading(name)) for each in self._listeners]
            yield _Counters(counters)

    @asynccontextmanager
    async def sending(self, flow: Flow, clock: Clock) -> AsyncIterator[None]:
        """Let every listener follow the flow."""
        async with AsyncExitStack() as stack:
            for each in self._listeners:
                await stack.enter_async_context(each.sending(flow, clock))
            yield


class _Counters(Counter):
    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters

    def add(self, rows: int) -> None:
        for counter in self._counters:
            counter.add(rows)
