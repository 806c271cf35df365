"""A question asked beside others: its answer, its trouble, and that nothing stays of a copy."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from sqlalchemy import text

from pipeline.errors import VerificationFailed
from pipeline.ledger import asked_beside as beside
from pipeline.ledger import tables_proof
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.sqlite import copies
from tests.support.folders import found_in, past_the_rules, settled_and_published
from tests.support.ledgers import StepClock

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
COUNTED = text("SELECT count(*) FROM rows")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A published migration; its ledger counts as large."""
    monkeypatch.setattr(copies, "_TWO_FROM_BYTES", 1)
    return settled_and_published(tmp_path / "migration", 60)


@pytest.fixture
def look(folder):
    """A look at a copy of its ledger."""
    with (
        closing(Ledger(ledger_url(folder), StepClock(), read_only=True, apart=True)) as ledger,
        ledger.look(sparingly=True) as look,
    ):
        yield look


def test_the_other_connection_sees_what_the_first_one_sees(folder, look):
    """Also where the original has changed since, and neither writes."""
    connection = look._connection
    before = connection.execute(COUNTED).scalar_one()
    past_the_rules(folder, "UPDATE rows SET hint = 'changed'")
    changed = text("SELECT count(*) FROM rows WHERE hint = 'changed'")

    with beside.asked_beside(connection, lambda c: c.execute(COUNTED).scalar_one()) as answer:
        assert before == answer() > 0
    with beside.asked_beside(connection, lambda c: c.execute(changed).scalar_one()) as answer:
        assert answer() == 0
    with (
        beside.asked_beside(connection, lambda c: c.execute(text("DELETE FROM rows"))) as answer,
        pytest.raises(Exception, match="readonly"),
    ):
        answer()


def test_it_is_asked_in_another_thread(look):
    """So that this one goes on meanwhile."""
    with beside.asked_beside(look._connection, lambda _: threading.get_ident()) as answer:
        assert answer() != threading.get_ident()


def test_whoever_leaves_early_waits_for_nothing(look):
    """What runs is broken off, and the thread is gone."""
    started = threading.Event()

    def ask(connection):
        started.set()
        return connection.execute(text(ENDLESS)).scalar_one()

    def leave():
        with beside.asked_beside(look._connection, ask):
            assert started.wait(30)
            time.sleep(0.1)
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        leave()
    assert before == threading.active_count()


def test_trouble_of_the_thread_is_never_taken_for_an_answer(look, monkeypatch):
    """Whoever asks gets it in our own words, as if they had asked by themselves."""

    def broken(_):
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(tables_proof, "contradiction", broken)
    with look.proving_meanwhile(), pytest.raises(VerificationFailed, match="damaged"):
        look.contradiction()


def test_verify_says_so_where_the_thread_could_not_prove(folder, monkeypatch):
    """It is a difference, and not a ledger that verifies."""

    def broken(_):
        raise MemoryError

    assert found_in(folder) == []
    monkeypatch.setattr(tables_proof, "contradiction", broken)

    assert [(d.file, d.problem) for d in found_in(folder)] == [
        (LEDGER_NAME, "cannot be judged (MemoryError)")
    ]


@pytest.mark.parametrize("without", ["thread", "place", "name"])
def test_where_nothing_can_be_asked_beside_it_is_asked_in_turn(folder, monkeypatch, without):
    """No thread, no folder for a file, or one that refuses it: the same is proved and found."""
    askers = []
    told = tables_proof.contradiction
    monkeypatch.setattr(
        tables_proof,
        "contradiction",
        lambda connection: askers.append(threading.get_ident()) or told(connection),
    )

    def refuse(*_, **__):
        raise {"thread": RuntimeError("can't start new thread"), "name": OSError(28, "full")}[
            without
        ]

    if without == "thread":
        monkeypatch.setattr(beside.ThreadPoolExecutor, "submit", refuse)
    elif without == "name":
        monkeypatch.setattr(copies.tempfile, "mkstemp", refuse)
    else:
        monkeypatch.setattr(copies, "temporary_folder", lambda: None)
    past_the_rules(folder, "DELETE FROM tokens WHERE row_id = (SELECT max(row_id) FROM tokens)")

    told_of = "a row is tokenized and has no token"
    assert told_of in {d.problem for d in found_in(folder)}
    assert askers == [threading.get_ident()]


def test_a_large_copy_has_no_name_while_it_is_made(folder, tmp_path, monkeypatch):
    """Whoever is killed leaves nothing of the ledger, an empty folder at most, to which nobody else writes."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(place))
    seen = []
    opened = copies._opened

    def watched(name):
        copy = opened(name)
        seen.append([file.stat().st_size for file in place.glob("*/*")])
        return copy

    monkeypatch.setattr(copies, "_opened", watched)
    with closing(
        copies.copy_of(f"file:{folder / LEDGER_NAME}?mode=ro", 1_000, for_two=True)
    ) as copy:
        (empty,) = place.iterdir()
        assert list(empty.iterdir()) == []
        assert empty.stat().st_mode & 0o777 == 0o700
        assert copy.beside is not None
        assert copy.execute("SELECT count(*) FROM rows").fetchone() > (0,)
    assert seen == [[0]]
    assert list(place.iterdir()) == []


def test_a_small_copy_is_a_nameless_one_that_one_connection_reads(folder, monkeypatch):
    """A second one would not pay."""
    monkeypatch.setattr(copies, "_TWO_FROM_BYTES", 1 << 40)
    with closing(
        copies.copy_of(f"file:{folder / LEDGER_NAME}?mode=ro", 1_000, for_two=True)
    ) as copy:
        assert copy.beside is None
        assert copy.execute("PRAGMA database_list").fetchone()[2] == ""


def test_a_folder_whose_name_is_no_part_of_an_address_is_not_taken(tmp_path, monkeypatch):
    """Then SQLite finds a place by itself."""
    odd = tmp_path / "a?b"
    odd.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(odd))
    assert copies.temporary_folder() is None
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert copies.temporary_folder() == tmp_path
