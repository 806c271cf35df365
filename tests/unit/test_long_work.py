"""What takes long is told once, while it lasts, and only to people who follow the command."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from pipeline.cli import long_work
from pipeline.cli.long_work import told_when_long
from pipeline.cli.terminal import Terminal


def test_what_takes_longer_is_told_once_while_it_lasts():
    """The line comes before the end of what it speaks of."""
    told = threading.Event()
    with told_when_long(told.set, after_s=0.0):
        assert told.wait(60)


def test_what_ends_sooner_is_not_spoken_of():
    """Nothing is told after the end, either: a result may stand there by then."""
    told = []
    with told_when_long(lambda: told.append("late"), after_s=3600.0):
        assert threading.active_count() > 1

    assert not told
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_the_timer_is_taken_back_where_the_work_fails():
    """A trouble ends the command at once."""
    with pytest.raises(ValueError, match="broken"), told_when_long(print, after_s=3600.0):
        raise ValueError("broken")

    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_a_machine_without_a_thread_left_does_the_work_all_the_same(monkeypatch):
    """Nothing is told then."""

    def refuse(_timer):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    told, done = [], []
    with told_when_long(lambda: told.append("late"), after_s=0.0):
        done.append("work")

    assert (told, done) == ([], ["work"])


@pytest.mark.parametrize(
    ("verbosity", "log_format", "is_told"),
    [(0, "text", True), (-1, "text", False), (0, "json", False)],
)
def test_only_people_who_follow_are_told(monkeypatch, verbosity, log_format, is_told):
    """Neither with -q nor where standard error holds JSON lines."""
    asked = []

    @contextmanager
    def noted(tell):
        asked.append(tell)
        yield

    monkeypatch.setattr(long_work, "told_when_long", noted)
    terminal = Terminal()
    terminal.verbosity, terminal.log_format = verbosity, log_format

    with terminal.long_work("writing"):
        pass

    assert bool(asked) == is_told
