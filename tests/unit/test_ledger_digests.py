"""Digests of the ledger's tables: what is read again, and what is known to be as it was."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from pipeline.ledger import digests
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.place import LEDGER_NAME, ledger_url
from pipeline.ledger.store import WATCH
from tests.support.ledgers import StepClock, settled_builder


@pytest.fixture
def ledger(tmp_path):
    with closing(settled_builder(tmp_path, 20).ledger) as made:
        yield made


@pytest.fixture
def reopened(ledger, tmp_path):
    """The same ledger, opened as the next night does: nothing is written yet."""
    ledger.close()
    with closing(Ledger(ledger_url(tmp_path), StepClock())) as again:
        yield again


def digested(ledger, monkeypatch):
    """Digest all tables; give the digests and the tables that were read for them."""
    read = []
    rows_of = digests._rows_of
    with monkeypatch.context() as patched:
        patched.setattr(
            digests, "_rows_of", lambda c, table: read.append(table.name) or rows_of(c, table)
        )
        with ledger.look() as look:
            return look.table_digests(), read


def test_a_table_that_was_not_written_to_is_not_read_again(reopened, monkeypatch):
    """Noting an event and a fact leaves rows, attempts, outcomes and tokens as they were."""
    reopened.attend("auditor", "desk:1")
    before, _ = digested(reopened, monkeypatch)
    reopened.remember("carry", "[]")
    after, read = digested(reopened, monkeypatch)

    assert read == ["meta"]
    assert before["rows"] == after["rows"]
    assert before["meta"] != after["meta"]


def test_a_table_that_a_rule_may_write_to_is_read_again(reopened, monkeypatch):
    """Whatever statement was compiled for a table, on this connection, ends what is known of it."""
    reopened.attend("auditor", "desk:1")
    digested(reopened, monkeypatch)
    with reopened.transaction() as connection:
        connection.execute(text("UPDATE exports SET name = name WHERE 1 = 0"))
    _, read = digested(reopened, monkeypatch)

    assert read == ["exports"]


def test_what_another_program_commits_ends_all_that_is_known(reopened, monkeypatch, tmp_path):
    """A change from outside is seen, whatever this connection did or did not do."""
    before, _ = digested(reopened, monkeypatch)
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as other:
        other.execute("UPDATE runs SET ended_ms = ended_ms + 1")
        other.commit()
    after, read = digested(reopened, monkeypatch)

    assert len(read) == len(digests.DIGESTED)
    assert before["runs"] != after["runs"]


def test_a_ledgers_connection_is_watched_from_its_beginning(ledger):
    """What made the ledger's rows was noted."""
    with ledger.reading() as connection:
        assert {"rows", "attempts", "outcomes", "tokens"} <= connection.info[WATCH].written
