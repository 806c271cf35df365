"""What a run is doing now in, a live line on a terminal or a plain line every ten seconds out.

The pipeline writes into `Flow`; nobody who does so knows whether anyone looks.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.logs import wants_colour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from rich.progress import TaskID

    from pipeline.clock import Clock

PLAIN_LINE_EVERY_S: Final = 10.0
LIVE_LINE_EVERY_S: Final = 0.2
_BUCKETS_A_DOUBLING: Final = 8
_BAR_MIN, _BAR_MAX = 6, 30
_MARGIN = 3
"""Columns left free at the right: a terminal writes its `^C` there, and a wrapped line stays."""

_MINUTE_S = 60
_MINUTES = 60


class Latencies:
    """A histogram of latencies whose size does not grow: eight buckets for each doubling."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        bucket = _bucket(seconds)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._count += 1

    def quantile_ms(self, share: float) -> float:
        """Give the latency that this share of answers did not exceed, within 9 %."""
        rest = share * self._count
        for bucket in sorted(self._buckets):
            rest -= self._buckets[bucket]
            if rest <= 0:
                return float(2 ** ((bucket + 1) / _BUCKETS_A_DOUBLING)) / 1000
        return 0.0


def _bucket(seconds: float) -> int:
    microseconds = max(1, int(seconds * 1_000_000))
    exponent = microseconds.bit_length() - 1
    within = (microseconds << 3 >> exponent) - _BUCKETS_A_DOUBLING
    return exponent * _BUCKETS_A_DOUBLING + within


@dataclass(slots=True)
class Flow:
    """The run's moving figures, written by the stages and read by whoever shows them."""

    total: int = 0
    sent: int = 0
    tokenized: int = 0
    rejected: int = 0
    failed: int = 0
    held: int = 0
    refused: int = 0
    retries: int = 0
    ambiguous: int = 0
    in_flight: int = 0
    in_flight_limit: int = 0
    rate_allowed: float = 0.0
    breaker: str = "closed"
    breaker_opened: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def settled(self) -> int:
        """Rows that this run brought to an end."""
        return self.tokenized + self.rejected + self.failed + self.held

    def statistics(self, seconds: float) -> dict[str, object]:
        """Give the figures for the ledger; `seconds` is how long the sending took."""
        return {
            "sent": self.sent,
            "retries": self.retries,
            "refused": self.refused,
            "ambiguous": self.ambiguous,
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


class Watcher(Protocol):
    """Shows a run's progress; the silent one is a valid one."""

    def reading(self, name: str) -> AbstractContextManager[Counter]:
        """Show that an export is being read; the counter is told rows as they come."""
        ...

    def sending(self, flow: Flow, clock: Clock) -> AbstractAsyncContextManager[None]:
        """Show the flow for as long as the context lasts."""
        ...


class Silence:
    """Shows nothing."""

    @contextmanager
    def reading(self, name: str) -> Iterator[Counter]:  # noqa: ARG002 - nothing is shown.
        """Give a counter that nobody looks at."""
        yield Counter()

    @asynccontextmanager
    async def sending(self, flow: Flow, clock: Clock) -> AsyncIterator[None]:  # noqa: ARG002
        """Do nothing for as long as the context lasts."""
        yield


class _Shown(Counter):
    def __init__(self, show: Progress | None = None, task: TaskID | None = None) -> None:
        self._show, self._task = show, task
        self.rows = 0

    def add(self, rows: int) -> None:
        self.rows += rows
        if self._show is not None and self._task is not None:
            self._show.update(self._task, completed=self.rows)


class Lines:
    """Shows a live line on a terminal and plain lines elsewhere.

    Args:
        stream: Standard error; standard output belongs to results.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._console = Console(file=stream, no_color=not wants_colour(stream), highlight=False)
        self._live = stream.isatty() and not self._console.is_dumb_terminal

    @contextmanager
    def reading(self, name: str) -> Iterator[Counter]:
        """Show rows as they are read and proved."""
        if not self._live:
            counter = _Shown()
            yield counter
            # An export that was planned before is only hashed.
            rows = f"{counter.rows:,} rows" if counter.rows else "no new rows"
            self._console.print(f"read {name}: {rows}", markup=False, soft_wrap=True)
            return
        words = TextColumn("reading {task.description}: {task.completed:,.0f} rows", markup=False)
        with Progress(SpinnerColumn(), words, console=self._console, transient=True) as show:
            yield _Shown(show, show.add_task(name, total=None))

    @asynccontextmanager
    async def sending(self, flow: Flow, clock: Clock) -> AsyncIterator[None]:
        """Show the flow until the context ends; then one last line."""
        started = clock.monotonic()
        follow = self._follow_live if self._live else self._follow_plain
        task = asyncio.create_task(follow(flow, clock, started))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._print(flow, clock.monotonic() - started, ended=True)

    def _print(self, flow: Flow, seconds: float, *, ended: bool = False) -> None:
        """Print the figures: one line that a program can read, two that fit a terminal."""
        words = (_head(flow, seconds, ended=ended), _tail(flow))
        self._console.print(
            ("\n" if self._live else _BETWEEN).join(words), markup=False, soft_wrap=True
        )

    async def _follow_plain(self, flow: Flow, clock: Clock, started: float) -> None:
        while True:
            await clock.sleep(PLAIN_LINE_EVERY_S)
            self._print(flow, clock.monotonic() - started)

    async def _follow_live(self, flow: Flow, clock: Clock, started: float) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                picture = self._picture(flow, clock.monotonic() - started)
                live.update(picture, refresh=True)
                await clock.sleep(LIVE_LINE_EVERY_S)

    def _picture(self, flow: Flow, seconds: float) -> Group:
        """Draw a bar with what matters most beside it, and the rest below; both fit the width."""
        width = self._console.width - _MARGIN
        head, tail = Text(_head(flow, seconds)), Text(_tail(flow))
        bar = ProgressBar(
            max(flow.total, 1),
            flow.settled,
            width=min(_BAR_MAX, max(_BAR_MIN, width - len(head) - 1)),
        )
        line = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        head.truncate(max(width - (bar.width or 0) - 1, 1), overflow="ellipsis")
        tail.truncate(max(width, 1), overflow="ellipsis")
        line.add_row(bar, head)
        return Group(line, tail)


_BETWEEN: Final = " · "


def _head(flow: Flow, seconds: float, *, ended: bool = False) -> str:
    """Give what matters most: how many of how many, how fast, how long still, what failed."""
    rate = flow.settled / seconds if seconds > 0 else 0.0
    left = f"{duration((flow.total - flow.settled) / rate)} left" if rate else "time left unknown"
    return _BETWEEN.join(
        (
            f"{flow.settled:,}/{flow.total:,} rows",
            f"{rate:,.1f}/s",
            f"in {duration(seconds)}" if ended else left,
            f"failures {flow.rejected + flow.failed + flow.held:,}",
        )
    )


def _tail(flow: Flow) -> str:
    """Give the rest, what is odd first; a narrow terminal may lose the end of it."""
    quantiles = "/".join(f"{flow.latencies.quantile_ms(q):,.0f}" for q in (0.5, 0.95, 0.99))
    waiting = () if flow.breaker == "closed" else ("the vault does not answer, waiting for it",)
    return _BETWEEN.join(
        (
            *waiting,
            f"in flight {flow.in_flight}/{flow.in_flight_limit}",
            f"429s {flow.refused:,}",
            f"retries {flow.retries:,}",
            f"allowed {flow.rate_allowed:,.1f}/s",
            f"p50/p95/p99 {quantiles} ms",
        )
    )


def duration(seconds: float) -> str:
    """Give a length of time in words: `0.4 s`, `42 s`, `3 min`, `2 h 5 min`."""
    if 0 < seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    if round(seconds) < _MINUTE_S:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / _MINUTE_S), _MINUTES)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
