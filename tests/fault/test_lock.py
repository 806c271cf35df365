"""Two runs at once, many at once, a lock left by a kill, and a run that was overtaken."""

import fcntl
import os
import signal
import time
from datetime import date

import pytest

from pipeline.clock import SystemClock
from pipeline.errors import MigrationLocked, VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.lock import LOCK_NAME, is_locked, migration_lock
from pipeline.ledger.plan_records import SealedFacts
from pipeline.ledger.planning import Planning
from tests.support.crash import wait_until
from tests.support.migrations import Migration, new_rows
from tests.support.sandbox import running

ROWS = 20


@pytest.fixture
def slow_migration(tmp_path):
    """A migration whose run takes a while."""
    with running(journal=tmp_path / "journal", latency_s=0.05) as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=2)
        migration.add(new_rows(ROWS))
        yield migration


def test_a_second_run_waits_for_nobody_and_leaves_with_11_and_changes_nothing(slow_migration):
    """The first run makes no step meanwhile, and goes on as if nobody had come."""
    first = slow_migration.start()
    wait_until(lambda: slow_migration.journal)
    first.signal(signal.SIGSTOP)
    try:
        assert first.stops()
        second = slow_migration.run()
    finally:
        first.signal(signal.SIGCONT)

    assert second.code == 11, second.said
    assert "another run holds this migration" in second.said
    assert first.wait().code == 0
    assert {"tokenized": ROWS} == dict(slow_migration.check().states)
    assert ROWS == len(slow_migration.journal)


def test_of_eight_runs_started_together_exactly_one_works(slow_migration):
    """Whoever comes first works, here when all others have come; no card is sent twice."""
    hook = "tests.support.hooks:stop_before_sending"
    racing = [slow_migration.start(hook=hook) for _ in range(8)]
    stopped = [started for started in racing if started.stops()]
    for started in stopped:
        started.signal(signal.SIGCONT)
    codes = sorted(started.wait().code for started in racing)

    assert (1, [0, *[11] * 7]) == (len(stopped), codes)
    assert {"tokenized": ROWS} == dict(slow_migration.check().states)
    assert ROWS == len(slow_migration.journal)


def test_a_lock_left_by_a_kill_is_no_obstacle(slow_migration):
    """The kernel drops the lock with the process; only the file stays."""
    first = slow_migration.start()
    wait_until(lambda: slow_migration.journal)
    first.signal(signal.SIGKILL)
    assert first.wait().killed
    assert (slow_migration.out / LOCK_NAME).exists()
    assert not is_locked(slow_migration.out)

    assert slow_migration.run().code == 0
    assert {"tokenized": ROWS} == dict(slow_migration.check().states)


def test_looking_at_the_lock_does_not_keep_a_run_out(tmp_path):
    """`status` may look at any moment; a run that starts right then waits a moment."""
    (tmp_path / LOCK_NAME).touch()
    looking = os.open(tmp_path / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    began = time.monotonic()
    with pytest.raises(MigrationLocked), migration_lock(tmp_path):
        pass
    assert 0.1 < time.monotonic() - began
    os.close(looking)

    with migration_lock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_run_that_was_overtaken_can_write_nothing_more(tmp_path):
    """Should a file system keep no locks, the epoch still keeps the older run out."""
    older = Ledger(ledger_url(tmp_path), SystemClock())
    newer = Ledger(ledger_url(tmp_path), SystemClock())
    older.begin_run("older", {}, "digest")
    newer.begin_run("newer", {}, "digest")
    facts = SealedFacts("cards.csv", 1, "aa" * 32, bytes(32), "plain")
    with pytest.raises(VerificationFailed, match="a later run has taken this ledger over"):
        Planning(older).begin(facts, date(2026, 11, 23))

    newer.note("still_here", resource="newer")
    newer.verify()
    older.close()
    newer.close()


def test_a_copy_of_a_ledger_that_went_on_elsewhere_does_not_share_its_lock(
    slow_migration, tmp_path
):
    """A copied folder is a migration of its own; the original's run does not lock it."""
    first = slow_migration.start()
    wait_until(lambda: slow_migration.journal)
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    (copy / LOCK_NAME).touch()

    assert is_locked(slow_migration.out)
    assert not is_locked(copy)
    assert first.wait().code == 0
