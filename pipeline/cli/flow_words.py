"""Words a run's moving figures: how far it is, how fast, how long still, and what goes wrong."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pipeline.cli.durations import duration
from pipeline.counts import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.metrics import Flow

BETWEEN: Final = " · "
WINDOW_S: Final = 30.0
"""Rows a second are counted over so long: what a rate was an hour ago tells nobody when it ends."""

_CODES_NAMED: Final = 3


class Pace:
    """How fast rows come to their end, over the last half minute.

    Args:
        started: The moment when sending began, in seconds of the run's clock.
    """

    def __init__(self, started: float) -> None:
        self._started = started
        self._seen: deque[tuple[float, int]] = deque([(started, 0)])

    def rate(self, now: float, settled: int) -> float:
        """Take a look and give rows a second up to now."""
        self._seen.append((now, settled))
        # One look from before the window stays: it is where the window begins.
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_S:  # noqa: PLR2004 - see above.
            self._seen.popleft()
        began, before = self._seen[0]
        return (settled - before) / (now - began) if now > began else 0.0

    def overall(self, now: float, settled: int) -> float:
        """Give rows a second since sending began."""
        return settled / (now - self._started) if now > self._started else 0.0

    def seconds(self, now: float) -> float:
        """Give how long the run has been sending."""
        return now - self._started


def progress_words(flow: Flow, rate: float) -> list[str]:
    """Give how far a run is, how fast, how long still, and what failed so far."""
    left = seconds_left(flow, rate)
    return [
        *_counts(flow, rate),
        "time left unknown" if left is None else f"{duration(left)} left",
        *_cards(flow),
        _failures(flow),
    ]


def ended_words(flow: Flow, rate: float, seconds: float) -> list[str]:
    """Give how far a run came, how fast, how long it took, and what failed."""
    return [*_counts(flow, rate), f"in {duration(seconds)}", *_cards(flow), _failures(flow)]


def flow_words(flow: Flow) -> list[str]:
    """Give what stands between the rows and the vault, what is odd first."""
    quantiles = "/".join(f"{flow.latencies.quantile_ms(q):,.0f}" for q in (0.5, 0.95, 0.99))
    throttled, allowed = flow.throttled, f"allowed {flow.rate_allowed:,.1f}/s"
    if flow.api is not None:
        throttled += flow.api.throttled
        allowed += f" and {flow.api.rate_allowed:,.1f}/s"
    return [
        *_outages(flow),
        f"in flight {flow.in_flight}/{flow.in_flight_limit}",
        f"429s {throttled:,}",
        f"retries {flow.retries:,}",
        allowed,
        f"p50/p95/p99 {quantiles} ms",
    ]


def _outages(flow: Flow) -> list[str]:
    hosts = {"vault": flow.breaker, "API host": flow.api.breaker if flow.api else "closed"}
    return [
        f"the {host} fails or does not answer, waiting for it"
        for host, breaker in hosts.items()
        if breaker != "closed"
    ]


def seconds_left(flow: Flow, rate: float) -> float | None:
    """Give how long the rest takes: no faster than is allowed now, and than rows come to their end.

    Args:
        flow: The run's figures.
        rate: Rows a second lately; 0 before the first.
    """
    api_allowed = flow.api.rate_allowed if flow.api else 0.0
    likely = min(filter(None, (rate, flow.rate_allowed, api_allowed)), default=0.0)
    rest = max(flow.total - flow.settled, 0)
    if _outages(flow):
        # Nobody knows when the vault comes back.
        return None
    return rest / likely if likely else None


def folded_words(words: Sequence[str], columns: int) -> list[str]:
    """Put words side by side into lines of so many columns; no word is cut unless it fills a line."""
    lines: list[str] = []
    for word in words:
        joined = f"{lines[-1]}{BETWEEN}{word}" if lines else word
        if lines and len(joined) <= columns:
            lines[-1] = joined
        else:
            lines += _pieces(word, columns)
    return lines


def _pieces(word: str, columns: int) -> list[str]:
    """Break one word of several at its blanks where it is longer than a line."""
    pieces: list[str] = []
    for part in word.split():
        if pieces and len(pieces[-1]) + 1 + len(part) <= columns:
            pieces[-1] += f" {part}"
        else:
            pieces.append(part)
    return pieces


def codes_named(failures: dict[str, int]) -> str:
    """Name the commonest codes and say how many others there are."""
    common = sorted(failures.items(), key=lambda item: -item[1])[:_CODES_NAMED]
    words = ", ".join(f"{count:,} {code}" for code, count in common)
    others = len(failures) - len(common)
    return f"{words} and {counted(others, 'more code')}" if others else words


def troubles_named(troubles: dict[str, int]) -> str:
    """Name what most requests met that settled nothing: `status 503 (12 times)`."""
    common = sorted(troubles.items(), key=lambda item: -item[1])[:_CODES_NAMED]
    return ", ".join(f"{met} ({counted(count, 'time')})" for met, count in common)


def _counts(flow: Flow, rate: float) -> list[str]:
    """Give how many of the rows that are to be sent are at their end; rows rejected unsent are none."""
    return [f"sent {flow.settled:,}/{counted(flow.total, 'row')}", f"{rate:,.1f}/s"]


def _cards(flow: Flow) -> list[str]:
    """Give how many tokens were made and how many cards came on customers, where they are to."""
    if not flow.is_attaching:
        return []
    return [f"tokens {flow.tokenized:,}", f"on customers {flow.attached:,}"]


def _failures(flow: Flow) -> str:
    codes = dict(flow.codes)
    named = f" ({codes_named(codes)})" if codes else ""
    return f"failures in sending {flow.failures:,}{named}"
