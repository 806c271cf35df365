"""Lays out the report's charts: figures in, places and sizes for the page's own SVG macros out.

Nothing is drawn here. A chart's plot is a box that the page stretches to the width it has, so
lengths are in steps across and in percent of the height; texts are placed in percent and keep
their size. That is why no chart is cut on a phone. The same figures give the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OUTCOME_ROLES: Final = {
    "ok": "tokenized",
    "rejected": "rejected",
    "declined": "failed",
    "ambiguous": "held",
    "throttled": "pending",
}
"""Kinds of answers in the order in which they are stacked, and the colour that each has."""

_ENDINGS: Final = (
    *("tokenized", "already_tokenized", "skipped", "rejected", "failed", "held", "pending"),
)
_COLUMNS_MIN: Final = 16
"""A chart is at least this many steps wide, so that one second of work does not fill all of it."""
_IDLE_STEPS: Final = 20
"""So many steps without an answer are idle time, and the chart shows the break."""
_HEADROOM: Final = 1.08
_LINES_MAX: Final = 5
_MARKS: Final = 5
_BAR: Final = 0.9
_NICE: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """A filled box: steps (or percent) across, percent down, and the role that colours it."""

    x: float
    y: float
    width: float
    height: float
    role: str


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a percentage of the plot's height or width."""

    at: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points: an SVG path in the plot's own units, one move for each dot."""

    role: str
    path: str
    dots: str


@dataclass(frozen=True, slots=True)
class TimeChart:
    """A plot over time.

    Attributes:
        columns: How many steps it is wide.
        grid: Values of the left axis.
        moments: Moments of the lower axis.
        idle: Steps before which there was a long time without an answer.
        bars: What is stacked.
        lines: What is drawn through.
    """

    columns: int
    grid: Sequence[Label]
    moments: Sequence[Label]
    idle: Sequence[int]
    bars: Sequence[Bar] = field(default=())
    lines: Sequence[Line] = field(default=())


def balance_bar(balance: Mapping[str, int]) -> list[Bar]:
    """Give what became of the rows as parts of one bar, in percent."""
    whole = sum(balance[name] for name in _ENDINGS)
    left, bars = 0.0, []
    for name in _ENDINGS:
        if balance[name]:
            width = 100 * balance[name] / whole
            bars.append(Bar(_short(left), 0, _short(width), 1, name))
            left += width
    return bars


def throughput(timeline: Mapping[str, Any]) -> TimeChart:
    """Stack the answers a second by what they were."""
    step_s, steps = timeline["step_s"], timeline["steps"]
    rates = [[step["answers"].get(kind, 0) / step_s for kind in OUTCOME_ROLES] for step in steps]
    top = _HEADROOM * (max(map(sum, rates)) or 1)
    bars = [
        bar
        for place, stack in enumerate(rates)
        for bar in _stacked(place, stack, top, tuple(OUTCOME_ROLES.values()))
    ]
    return _over_time(timeline, top, bars=bars)


def latency(timeline: Mapping[str, Any]) -> TimeChart:
    """Draw the median and the 95th percentile of the latency, in milliseconds."""
    steps = timeline["steps"]
    told = [step["latency_us"] for step in steps if step["latency_us"]]
    top = _HEADROOM * (max((each["p95"] for each in told), default=0) or 1_000) / 1000
    spans = list(pairwise([0, *idle_before(timeline), len(steps)]))
    lines = [
        _line(role, (_points(steps, name, span, top) for span in spans))
        for name, role in (("p50", "line1"), ("p95", "line2"))
    ]
    return _over_time(timeline, top, lines=lines)


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Give each count as a percentage of the largest, for bars beside the numbers."""
    most = max(counts.values(), default=0)
    return {name: _short(100 * count / most) if most else 0.0 for name, count in counts.items()}


def idle_before(timeline: Mapping[str, Any]) -> list[int]:
    """Give the places of steps that came after a long time without any answer."""
    moments = [datetime.fromisoformat(step["at"]).timestamp() for step in timeline["steps"]]
    long_s = _IDLE_STEPS * timeline["step_s"]
    return [at for at, (a, b) in enumerate(pairwise(moments), 1) if b - a > long_s]


def _over_time(
    timeline: Mapping[str, Any],
    top: float,
    *,
    bars: Sequence[Bar] = (),
    lines: Sequence[Line] = (),
) -> TimeChart:
    steps = timeline["steps"]
    columns = max(len(steps), _COLUMNS_MIN)
    grid = [Label(_short(100 * (1 - value / top)), f"{value:,g}") for value in _nice_values(top)]
    return TimeChart(columns, grid, _moments(steps, columns), idle_before(timeline), bars, lines)


def _stacked(place: int, stack: Sequence[float], top: float, roles: Sequence[str]) -> Iterator[Bar]:
    below = 0.0
    for rate, role in zip(stack, roles, strict=True):
        if rate:
            below += rate
            x = _short(place + (1 - _BAR) / 2)
            yield Bar(x, _short(100 * (1 - below / top)), _BAR, _short(100 * rate / top), role)


def _points(
    steps: Sequence[Mapping[str, Any]], name: str, span: tuple[int, int], top: float
) -> list[tuple[float, float]]:
    return [
        (at + 0.5, _short(100 * (1 - steps[at]["latency_us"][name] / 1000 / top)))
        for at in range(*span)
        if steps[at]["latency_us"]
    ]


def _line(role: str, parts: Iterator[list[tuple[float, float]]]) -> Line:
    """Join each part's points; a dot is a line of no length with round ends."""
    path, dots = [], []
    for points in parts:
        for place, (x, y) in enumerate(points):
            path.append(f"{'L' if place else 'M'}{x:g} {y:g}")
            dots.append(f"M{x:g} {y:g}h0")
    return Line(role, "".join(path), "".join(dots))


def _nice_values(top: float) -> list[float]:
    """Give round values from zero to the top: 1, 2 or 5 times a power of ten apart."""
    power = 10.0 ** math.floor(math.log10(top / _LINES_MAX))
    step = next(power * nice for nice in _NICE if top / (power * nice) <= _LINES_MAX)
    return [float(f"{step * place:.6g}") for place in range(int(top / step) + 1)]


def _moments(steps: Sequence[Mapping[str, Any]], columns: int) -> list[Label]:
    """Name a few steps by their moment; the first and the last text stay inside the plot."""
    last = len(steps) - 1
    moments = [step["at"] for step in steps]
    one_day = moments[0][:10] == moments[-1][:10]
    whole_minutes = all(moment.endswith(":00Z") for moment in moments)
    shown = slice(11 if one_day else 5, 16 if whole_minutes else 19)
    wanted = sorted({round(last * part / (_MARKS - 1)) for part in range(_MARKS)})
    if last < _COLUMNS_MIN - 1:
        # Few steps stand close together: more than two texts would run into each other.
        wanted = sorted({0, last}) if last > _COLUMNS_MIN // 2 else [0]
    return [
        Label(
            _short(100 * (at + 0.5) / columns),
            moments[at][shown].replace("T", " "),
            _anchor(at, last, columns),
        )
        for at in wanted
    ]


def _anchor(at: int, last: int, columns: int) -> str:
    if at == 0:
        return "start"
    return "end" if at == last and last == columns - 1 else "middle"


def _short(value: float) -> float:
    """Give four digits behind the point: enough for any screen, and the same everywhere."""
    return round(value, 4)
