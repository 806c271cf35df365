"""Shows what a run is doing: a live line on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import IO, TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.clock import beside
from pipeline.logs import wants_colour
from pipeline.metrics import Counter, Flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rich.progress import TaskID

    from pipeline.clock import Clock

PLAIN_LINE_EVERY_S: Final = 10.0
LIVE_LINE_EVERY_S: Final = 0.2
_BAR_MIN, _BAR_MAX = 6, 30
_MARGIN = 3
"""Columns left free at the right: a terminal writes its `^C` there, and a wrapped line stays."""

_MINUTE_S = 60
_MINUTES = 60


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
        try:
            async with beside(follow(flow, clock, started)):
                yield
        finally:
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
            f"failures {flow.failures:,}",
        )
    )


def _tail(flow: Flow) -> str:
    """Give the rest, what is odd first; a narrow terminal may lose the end of it."""
    quantiles = "/".join(f"{flow.latencies.quantile_ms(q):,.0f}" for q in (0.5, 0.95, 0.99))
    waiting = [] if flow.breaker == "closed" else ["the vault does not answer, waiting for it"]
    throttled, allowed = flow.throttled, f"allowed {flow.rate_allowed:,.1f}/s"
    if flow.api is not None:
        throttled += flow.api.throttled
        allowed += f" and {flow.api.rate_allowed:,.1f}/s"
        if flow.api.breaker != "closed":
            waiting.append("the API host does not answer, waiting for it")
    return _BETWEEN.join(
        (
            *waiting,
            f"in flight {flow.in_flight}/{flow.in_flight_limit}",
            f"429s {throttled:,}",
            f"retries {flow.retries:,}",
            allowed,
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
