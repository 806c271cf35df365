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

from pipeline.cli.advice import rows
from pipeline.cli.flow_words import (
    BETWEEN,
    Pace,
    ended_words,
    flow_words,
    folded_words,
    progress_words,
)
from pipeline.clock import beside
from pipeline.logs import wants_colour
from pipeline.metrics import Counter, Flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rich.progress import TaskID

    from pipeline.clock import Clock

PLAIN_LINE_EVERY_S: Final = 10.0
SAME_LINE_EVERY_S: Final = 60.0
LIVE_LINE_EVERY_S: Final = 0.2
_BAR_MIN, _BAR_MAX = 6, 30
_MARGIN = 3
"""Columns left free at the right: a terminal writes its `^C` there, and a wrapped line stays."""

_BESIDE: Final = 3
"""Rows, rate and time left stand beside the bar, where there is room."""


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
            told = rows(counter.rows) if counter.rows else "no new rows"
            self._console.print(f"read {name}: {told}", markup=False, soft_wrap=True)
            return
        words = TextColumn("reading {task.description}: {task.completed:,.0f} rows", markup=False)
        with Progress(SpinnerColumn(), words, console=self._console, transient=True) as show:
            yield _Shown(show, show.add_task(name, total=None))

    @asynccontextmanager
    async def sending(self, flow: Flow, clock: Clock) -> AsyncIterator[None]:
        """Show the flow until the context ends; then one last line."""
        pace = Pace(clock.monotonic())
        follow = self._follow_live if self._live else self._follow_plain
        try:
            async with beside(follow(flow, clock, pace)):
                yield
        finally:
            now = clock.monotonic()
            self._print(ended_words(flow, pace.overall(now, flow.settled), pace.seconds(now)), flow)

    def _print(self, words: list[str], flow: Flow) -> None:
        """Print the figures: one line that a program can read, or lines that fit a terminal."""
        words = [*words, *flow_words(flow)]
        lines = folded_words(words, self._columns) if self._live else [BETWEEN.join(words)]
        self._console.print("\n".join(lines), markup=False, soft_wrap=True)

    @property
    def _columns(self) -> int:
        return max(self._console.width - _MARGIN, 1)

    async def _follow_plain(self, flow: Flow, clock: Clock, pace: Pace) -> None:
        """Print a line every ten seconds while something changes, every minute while nothing does."""
        told: object = None
        told_at = clock.monotonic()
        while True:
            await clock.sleep(PLAIN_LINE_EVERY_S)
            now = clock.monotonic()
            rate = pace.rate(now, flow.settled)
            news = (flow.settled, flow.failures, flow.throttled, flow.retries, flow.breaker)
            if news != told or now - told_at >= SAME_LINE_EVERY_S:
                told, told_at = news, now
                self._print(progress_words(flow, rate), flow)

    async def _follow_live(self, flow: Flow, clock: Clock, pace: Pace) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                rate = pace.rate(clock.monotonic(), flow.settled)
                live.update(self._picture(flow, rate), refresh=True)
                await clock.sleep(LIVE_LINE_EVERY_S)

    def _picture(self, flow: Flow, rate: float) -> Group:
        """Draw a bar with how far the run is beside it, and the rest below, whatever the width."""
        columns = self._columns
        words = [*progress_words(flow, rate), *flow_words(flow)]
        beside, below = folded_words(words[:_BESIDE], columns), words[_BESIDE:]
        room = columns - len(beside[0]) - 1
        if len(beside) > 1 or room < _BAR_MIN:
            # Too narrow: the bar has a line of its own.
            bar, rest = _row(_bar(flow, min(columns, _BAR_MAX))), words
        else:
            bar, rest = _row(_bar(flow, min(room, _BAR_MAX)), Text(beside[0])), below
        return Group(bar, *map(Text, folded_words(rest, columns)))


def _bar(flow: Flow, width: int) -> ProgressBar:
    return ProgressBar(max(flow.total, 1), flow.settled, width=width)


def _row(*shown: ProgressBar | Text) -> Table:
    """Put a bar, and what stands beside it, into a line that ends."""
    line = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    line.add_row(*shown)
    return line
