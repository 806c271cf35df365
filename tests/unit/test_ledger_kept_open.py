"""A ledger that is kept open for many small transactions: faster, durable, and open to who looks."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.ledger.ledger_url import LEDGER_NAME
from pipeline.ledger.settling import Settling
from tests.support.ledgers import new_builder


@pytest.fixture
def builder(tmp_path):
    """A ledger of a run with rows to be sent."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


def journals():
    """Give the journals that this process has open."""
    opened = (link.resolve().name for link in Path("/proc/self/fd").iterdir())
    return [name for name in opened if name == f"{LEDGER_NAME}-journal"]


def sent(builder, export):
    """Write an intent after the other, each in a commit of its own."""
    settling = Settling(builder.ledger, 10)
    for claim in settling.claimable(export.first_id, export.last_id):
        settling.apply([settling.intent(claim.id, 1)])
        yield claim.id


def test_between_two_batches_the_journal_stays_open(builder):
    """To open it anew for each would cost a sync of the folder as well."""
    export = builder.plan("cards.csv.pgp", 4)
    batches = sent(builder, export)
    next(batches)
    assert not journals()
    with builder.ledger.kept_open():
        next(batches)
        assert len(journals()) == 1
        next(batches)
        assert len(journals()) == 1
    next(batches)
    assert not journals()


def test_whoever_looks_sees_what_was_committed(builder, tmp_path):
    """Another program reads while it is kept open, and the run goes on."""
    export = builder.plan("cards.csv.pgp", 5)
    with builder.ledger.kept_open(), closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as other:
        for done, _ in enumerate(sent(builder, export), 1):
            (seen,) = other.execute("SELECT count(*) FROM rows WHERE state = 'sent'").fetchone()
            assert seen == done


def test_another_program_that_writes_is_kept_out(builder, tmp_path):
    """It cannot commit between two batches."""
    export = builder.plan("cards.csv.pgp", 2)
    with builder.ledger.kept_open(), closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as other:
        next(sent(builder, export))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.executescript("PRAGMA busy_timeout = 50; UPDATE meta SET value = 'other'")


def test_a_batch_that_is_refused_leaves_the_next_one_its_way(builder):
    """What a statement's failure takes back is taken back with the question open, too."""
    export = builder.plan("cards.csv.pgp", 3)
    settling = Settling(builder.ledger, 10)
    one, two, _ = settling.claimable(export.first_id, export.last_id)

    def fail():
        with builder.ledger.transaction() as connection:
            connection.exec_driver_sql("UPDATE rows SET attempts = 7")
            raise RuntimeError

    with builder.ledger.kept_open():
        with pytest.raises(RuntimeError):
            fail()
        settling.apply([settling.intent(one.id, 1)])
        settling.apply([settling.intent(two.id, 1)])
    with builder.ledger.reading() as connection:
        found = connection.exec_driver_sql("SELECT state, attempts FROM rows ORDER BY id").all()
    assert [tuple(row) for row in found] == [("sent", 1), ("sent", 1), ("planned", 0)]


@pytest.mark.parametrize("is_batch", [True, False])
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_program_that_is_about_to_write_is_waited_for(builder, tmp_path, is_batch, end):
    """It holds its place, so that SQLite would refuse a reader that wants to write, too, at once."""
    batches = sent(builder, builder.plan("cards.csv.pgp", 2))
    other = sqlite3.connect(tmp_path / LEDGER_NAME, isolation_level=None, check_same_thread=False)
    with closing(other), builder.ledger.kept_open():
        next(batches)
        other.executescript("PRAGMA busy_timeout = 30000; BEGIN IMMEDIATE")
        other.execute("INSERT INTO meta VALUES ('another', 'program')")
        with ThreadPoolExecutor(1) as thread:
            if is_batch:
                done = thread.submit(next, batches)
            else:
                done = thread.submit(builder.ledger.remember, "rate", "5")
            with pytest.raises(TimeoutError):
                done.result(0.2)
            other.execute(end)
            done.result(30)
    assert (builder.ledger.recall("another") == "program") is (end == "COMMIT")
