"""Progress: figures that do not grow, plain lines in a pipe, a live line on a terminal."""

import asyncio
import io
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.durations import duration
from pipeline.cli.flow_words import Pace, folded_words, seconds_left
from pipeline.cli.live_progress import Lines
from pipeline.metrics import Flow, Latencies, Listeners

SECONDS = st.floats(0.000_01, 120, allow_nan=False)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


class StepClock:
    """A clock whose sleeps pass at once."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.seconds += seconds
        await asyncio.sleep(0)


@given(st.lists(SECONDS, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_a_tenth_of_the_true_one(seconds, share):
    """The histogram's quantile is the sorted list's, give or take a bucket."""
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    rank = max(0, -(-len(seconds) * share // 1) - 1)
    true_ms = sorted(seconds)[int(rank)] * 1000

    assert latencies.quantile_ms(share) == pytest.approx(true_ms, rel=0.14, abs=0.002)


def test_the_histogram_does_not_grow_with_the_rows():
    """A hundred thousand latencies take a few hundred buckets."""
    latencies, seeded = Latencies(), random.Random(1)
    for _ in range(100_000):
        latencies.add(seeded.expovariate(10))

    assert len(latencies._buckets) < 250


async def _watch(stream, lines, flow, *, steps=30):
    async with Lines(stream).sending(flow, StepClock()):
        for _ in range(steps):
            await asyncio.sleep(0)
    return lines


def test_in_a_pipe_progress_is_plain_lines():
    """Without a terminal every line is whole and free of control characters."""
    stream, flow = (
        io.StringIO(),
        Flow(total=100, tokenized=40, rejected=2, answers=Counter(throttled=3), retries=4),
    )

    asyncio.run(_watch(stream, None, flow))

    lines = stream.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("sent 42/100 rows") for line in lines)
    assert all(
        "failures in sending 2 · " in line and "429s 3 · retries 4" in line for line in lines
    )
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_the_line_is_live():
    """On a terminal lines are drawn over and over, and plain ones stay at the end."""
    stream, flow = Terminal(), Flow(total=100, tokenized=40)

    asyncio.run(_watch(stream, None, flow))

    assert "\x1b[" in stream.getvalue()
    words = " · ".join(_plain(stream).splitlines()[-2:])
    assert re.search(
        r"sent 40/100 rows · [\d.]+/s · in \d+ s · failures in sending 0 · in flight 0/0", words
    )


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_the_live_lines_fit_every_terminal(monkeypatch, columns):
    """A bar is shown, no line reaches the end of the terminal's, and no word is cut or lost.

    A terminal writes `^C` where the cursor stands; a line that wraps for it is never wiped.
    """
    flow = Flow(
        total=12_345_678,
        tokenized=1_234_567,
        failed=98_765,
        answers=Counter(throttled=4_321),
        retries=8_765,
        codes=Counter(vault_rejected=98_000, attempts_exhausted=700, fraud_check_failed=65),
        rate_allowed=50.0,
        breaker="open",
    )
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()

    asyncio.run(_watch(stream, None, flow))

    lines = [line.rstrip() for line in re.split(r"[\r\n]+", _plain(stream))]
    assert any(re.match("[━╸╺]{6}", line) for line in lines)
    assert max(map(len, lines)) <= columns - 3
    words = " ".join(" ".join(lines).replace("·", " ").split())
    for told in ("1,333,332/12,345,678 rows", "98,000 vault_rejected", "65 fraud_check_failed"):
        assert told in words
    assert "the vault fails or does not answer, waiting for it" in words
    assert "429s 4,321 retries 8,765 allowed 50.0/s" in words
    assert "…" not in words


@pytest.mark.parametrize(
    ("rate", "allowed", "breaker", "left"),
    [
        (0.0, 10.0, "closed", 10.0),
        (50.0, 10.0, "closed", 10.0),
        (5.0, 10.0, "closed", 20.0),
        (50.0, 0.0, "closed", 2.0),
        (0.0, 0.0, "closed", None),
        (50.0, 50.0, "open", None),
    ],
    ids=["begins", "throttled", "slow answers", "no ceiling", "nothing known", "outage"],
)
def test_the_time_left_follows_what_is_allowed_now(rate, allowed, breaker, left):
    """No faster than is allowed and than rows are settled lately; an outage ends when it ends."""
    flow = Flow(total=100, rate_allowed=allowed, breaker=breaker)

    assert left == seconds_left(flow, rate)


def test_the_rate_is_that_of_the_last_half_minute():
    """After an hour at 100 a second and a minute at 1 a second it says 1."""
    pace = Pace(0.0)
    for second in range(0, 3600, 10):
        pace.rate(second, second * 100)
    for second in range(0, 61, 10):
        rate = pace.rate(3600 + second, 360_000 + second)

    assert rate == pytest.approx(1, rel=0.01)


@given(st.lists(st.text("abc d", min_size=1).filter(str.strip), min_size=1), st.integers(5, 60))
def test_folded_words_fit_and_nothing_is_lost(words, columns):
    """Only a single word that is longer than a line stands out."""
    lines = folded_words(words, columns)

    assert "".join("".join(lines).replace("·", "").split()) == "".join("".join(words).split())
    assert all(len(line) <= columns or " " not in line for line in lines)


def test_while_nothing_changes_a_pipe_gets_fewer_lines():
    """Ten looks at the same figures are two lines: the first, and one a minute later."""
    stream = io.StringIO()

    asyncio.run(_watch(stream, None, Flow(total=100, tokenized=40), steps=10))

    assert len(stream.getvalue().splitlines()) <= 4


def test_a_terminal_without_control_characters_gets_plain_lines(monkeypatch):
    """On a terminal that calls itself dumb nothing is drawn over."""
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()

    asyncio.run(_watch(stream, None, Flow(total=100, tokenized=40)))

    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("sent 40/100 rows")


def test_a_vault_that_does_not_answer_is_told():
    """While the breaker is open the line says what the run waits for; else it does not."""
    for state, told in (("closed", False), ("open", True), ("half-open", True)):
        stream, flow = io.StringIO(), Flow(total=100)
        flow.breaker = state

        asyncio.run(_watch(stream, None, flow))

        assert told == ("the vault fails or does not answer, waiting for it" in stream.getvalue())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0.1 s"),
        (0.4, "0.4 s"),
        (42.4, "42 s"),
        (59.9, "1 min"),
        (150, "2 min"),
        (3599, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_length_of_time_is_told_in_words(seconds, words):
    """The unit fits the length, and nothing is rounded into the next unit's place."""
    assert words == duration(seconds)


def _plain(stream):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_reading_is_counted_in_a_pipe_too():
    """Pass 1 leaves one line with the rows it read."""
    stream = io.StringIO()
    with Lines(stream).reading("cards.pgp") as counter:
        counter.add(5000)
        counter.add(12)

    assert stream.getvalue() == "read cards.pgp: 5,012 rows\n"


def test_an_export_that_is_known_is_not_said_to_be_empty():
    """An export that was planned before is only hashed; its line speaks of no new rows."""
    stream = io.StringIO()
    with Lines(stream).reading("cards.pgp"):
        pass

    assert stream.getvalue() == "read cards.pgp: no new rows\n"


def test_no_listener_is_needed(capsys):
    """Nothing is shown and nothing breaks."""

    async def watch():
        async with Listeners().sending(Flow(), StepClock()):
            pass

    with Listeners().reading("x") as counter:
        counter.add(1)
    asyncio.run(watch())

    assert capsys.readouterr() == ("", "")


def test_statistics_give_rates_and_latencies():
    """What goes into the ledger at the end holds the run's figures, without division by zero."""
    flow = Flow(sent=10, tokenized=8, rate_allowed=5.0)
    flow.latencies.add(0.1)

    assert flow.statistics(2.0)["rows_per_s"] == 4.0
    assert flow.statistics(0.0)["rows_per_s"] == 0.0


def test_every_listener_is_told_the_same():
    """Two listeners count the same rows and follow the same flow."""
    streams = (io.StringIO(), io.StringIO())
    both = Listeners(*map(Lines, streams))

    async def watch():
        async with both.sending(Flow(total=3, tokenized=3), StepClock()):
            pass

    with both.reading("x") as counter:
        counter.add(3)
    asyncio.run(watch())

    for stream in streams:
        said = stream.getvalue().splitlines()
        assert "read x: 3 rows" == said[0]
        assert said[-1].startswith("sent 3/3 rows")
