"""One signal drains, two leave at once; at any instant of a run the ledger stays whole."""

import random
import signal
import time

import pytest

from tests.support.crash import wait_until
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

CODES = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", [slow(signal.SIGHUP), slow(signal.SIGINT), signal.SIGTERM])
def test_one_signal_drains_and_leaves_nothing_in_doubt(tmp_path, number):
    """What is in flight is answered and kept; nothing is ambiguous; the same command goes on."""
    with running(journal=tmp_path / "journal", latency_s=0.3) as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(24))
        started = migration.start()
        wait_until(lambda: migration.journal)
        started.signal(number)
        ended = started.wait()
        facts = migration.check()

        assert ended.code == CODES[number], ended.said
        assert 0 == facts.unseen_max
        assert 0 == facts.open_intents
        assert len(migration.journal) == facts.states["tokenized"] < 24
        assert migration.run().code == 0
        assert {"tokenized": 24} == dict(migration.check().states)
        assert 24 == len(migration.journal)


@pytest.mark.parametrize("number", [signal.SIGHUP, slow(signal.SIGINT), slow(signal.SIGTERM)])
def test_two_signals_leave_at_once_and_what_was_in_flight_is_counted(tmp_path, number):
    """The second does not wait for the vault; at most C rows are in doubt."""
    with running(journal=tmp_path / "journal", faults="H") as vault:
        migration = Migration(tmp_path / "m", vault)
        # Whoever waited for an answer, a timeout or a drain would not be back before the test is.
        timeouts = ("read_timeout_s = 600", "total_timeout_s = 600")
        migration.configure("drain_s = 600", vault=timeouts)
        migration.add(new_rows(40))
        started = migration.start()
        wait_until(lambda: migration.out.exists() and migration.status_of("sent") == 8)
        started.signal(number)
        wait_until(lambda: not started.has_signals_to_take())
        started.signal(number)
        ended = started.wait()
        facts = migration.check_after_death()

        assert ended.code == CODES[number], ended.said
        assert 8 == facts.open_intents == facts.unseen_max


def test_a_hang_up_that_was_ignored_from_the_start_stays_ignored(tmp_path):
    """Under nohup a closed terminal is no reason to stop; the run goes on to its end."""
    with running(journal=tmp_path / "journal", latency_s=0.2) as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(30))
        started = migration.start(hook="tests.support.hooks:ignore_hang_ups")
        wait_until(lambda: migration.journal)
        started.signal(signal.SIGHUP)

        assert 0 == started.wait().code
        assert {"tokenized": 30} == dict(migration.check().states)


def test_a_vault_that_answers_nothing_is_not_waited_for_beyond_drain_s(tmp_path):
    """After `flow.drain_s` the rows still in flight are written down as in doubt."""
    with running(journal=tmp_path / "journal", faults="H") as vault:
        migration = Migration(tmp_path / "m", vault)
        timeouts = ("read_timeout_s = 600", "total_timeout_s = 600")
        migration.configure("drain_s = 0.5", vault=timeouts)
        migration.add(new_rows(40))
        started = migration.start()
        wait_until(lambda: migration.out.exists() and migration.status_of("sent") == 8)
        began = time.monotonic()
        started.signal(signal.SIGTERM)
        ended = started.wait()
        took = time.monotonic() - began
        facts = migration.check()

        assert ended.code == 143, ended.said
        assert took >= 0.5
        assert 8 == facts.states["ambiguous"] == facts.unseen_max
        assert 0 == facts.open_intents


@pytest.mark.parametrize(
    "shots", [2, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_a_signal_at_any_instant_leaves_a_ledger_that_goes_on(tmp_path, shots):
    """In pass 1, in a commit, between the loops, while publishing: never a bug, never a hang."""
    seeded = random.Random(20261124)
    with running(journal=tmp_path / "journal") as vault:
        for shot in range(shots):
            migration = Migration(tmp_path / f"{shot}", vault)
            migration.configure("chunk_rows = 5", pace=200)
            migration.add(new_rows(60))
            started = migration.start()
            # The loop takes signals from the first commit on; before that they just kill.
            wait_until(lambda m=migration: (m.out / ".lock").exists())
            time.sleep(seeded.uniform(0, 0.3))
            started.signal(signal.SIGTERM)
            ended = started.wait()

            assert ended.code in {0, 143, -signal.SIGTERM}, ended.said
            migration.check_after_death()
            assert migration.run().code == 0
            assert {"tokenized": 60} == dict(migration.check().states)
            assert 0 == migration.facts.unseen_max
