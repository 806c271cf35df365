"""Signals against commits: raised at once outside, kept back inside, deadly the second time."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from pipeline.errors import Interrupted
from pipeline.signals import DeferredSignals, stopping_signals


def strike(number):
    """Send this process a signal; Python runs its handler before the next line."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", stopping_signals())
def test_outside_of_a_commit_a_signal_interrupts_at_once(number):
    """With the signal's number, for the exit code."""
    signals = DeferredSignals()
    with signals.interrupting(), pytest.raises(Interrupted) as stopped:
        strike(number)

    assert stopped.value.exit_status == 128 + number


def test_inside_of_a_commit_a_signal_waits_for_its_end():
    """The commit is whole, then the run is told."""
    signals, done = DeferredSignals(), []

    def commit():
        with signals.held():
            with signals.held():
                strike(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("never")

    with signals.interrupting(), pytest.raises(Interrupted):
        commit()

    assert done == ["inner", "outer"]


def test_what_went_wrong_by_itself_counts_more_than_a_signal():
    """A full disk stays a full disk."""
    signals = DeferredSignals()

    def commit():
        strike(signal.SIGTERM)
        raise OSError("full")

    with signals.interrupting(), pytest.raises(OSError, match="full"), signals.held():
        commit()

    assert signals.waiting is None


def test_in_another_thread_there_is_nothing_to_hold():
    """Signals come to the main thread only."""
    signals, seen = DeferredSignals(), []

    def work():
        with signals.held():
            seen.append(signals._depth)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [0]


def test_handlers_of_before_are_put_back():
    """A library that calls a run keeps its own."""
    before = [signal.getsignal(number) for number in stopping_signals()]
    with DeferredSignals().interrupting():
        assert before != [signal.getsignal(number) for number in stopping_signals()]

    assert before == [signal.getsignal(number) for number in stopping_signals()]


def test_the_second_signal_ends_the_process_at_once():
    """Even in the middle of a commit."""
    code = (
        "import os, signal\n"
        "from pipeline.signals import DeferredSignals\n"
        "signals = DeferredSignals()\n"
        "with signals.interrupting(), signals.held():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('gone', flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert (143, b"still here\n") == (ended.returncode, ended.stdout)


@pytest.mark.parametrize(
    ("hang_up", "stop"),
    [(signal.SIG_DFL, {"SIGINT", "SIGTERM", "SIGHUP"}), (signal.SIG_IGN, {"SIGINT", "SIGTERM"})],
)
def test_a_closed_terminal_stops_as_a_signal_does_unless_it_was_to_be_ignored(hang_up, stop):
    """SIGHUP is one of those that stop a run, but not where nohup started it."""
    before = signal.signal(signal.SIGHUP, hang_up)
    try:
        assert stop == {number.name for number in stopping_signals()}
    finally:
        signal.signal(signal.SIGHUP, before)


IN_A_COMMIT = """
import os, signal
from pipeline.signals import DeferredSignals
signals = DeferredSignals()
with signals.interrupting(), signals.held():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
"""
WHILE_SENDING = """
import asyncio, os, signal
from pipeline.migration.send import stopped_by_signals
from pipeline.signals import DeferredSignals
async def send():
    with stopped_by_signals(lambda number: os.kill(os.getpid(), number), DeferredSignals()):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
asyncio.run(send())
"""


@pytest.mark.parametrize("program", [IN_A_COMMIT, WHILE_SENDING], ids=["commit", "sending"])
def test_the_second_signal_leaves_a_terminal_with_its_cursor_and_a_line_of_its_own(program):
    """A live line hides the cursor, and a process that ends at once draws nothing more."""
    main, side = os.openpty()
    ended = subprocess.run([sys.executable, "-c", program], stderr=side, timeout=60, check=False)
    os.close(side)
    shown = os.read(main, 4096)
    os.close(main)

    assert ended.returncode == 130
    assert shown.startswith(b"\x1b[?25h\r\nstopped at once; ")
    assert shown.endswith(b"\r\n")
