"""Other programs that read the ledger while a run writes it: nothing is lost, everybody is named."""

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from pipeline.ledger import write_waits
from pipeline.ledger.last_close import NOTE_NAME
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.sqlite.connection import WRITING_WAITS_MS
from pipeline.ledger.write_waits import WriteWaits, holders_of
from pipeline.outputs.verify_ledger import SoundLedger, examined_ledger
from tests.support.ledgers import StepClock, new_builder, settled_builder
from tests.support.migrations import Migration, new_rows
from tests.support.sandbox import running

READER = """
import sqlite3, sys, time
ledger = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
ledger.execute("BEGIN")
ledger.execute("SELECT count(*) FROM rows").fetchall()
print("holding", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def reader():
    """Give a function that starts a program which holds the shared lock for so many seconds."""
    started = []

    def start(folder, seconds):
        words = [sys.executable, "-c", READER, str(folder / LEDGER_NAME), str(seconds)]
        program = subprocess.Popen(words, stdout=subprocess.PIPE)
        started.append(program)
        assert program.stdout.readline() == b"holding\n"
        return program

    yield start
    for program in started:
        program.kill()
        program.wait()
        program.stdout.close()


def test_a_write_waits_for_a_reader_and_its_program_is_named(tmp_path, reader, monkeypatch, caplog):
    """However long it takes; the log says which process, and the write is then durable."""
    monkeypatch.setattr(write_waits, "LATE_AFTER_S", 0.1)
    builder = new_builder(tmp_path)
    builder.ledger._waiting = WriteWaits(tmp_path / LEDGER_NAME, 0.1)
    builder.begin("run-1")
    program = reader(tmp_path, 60)
    with builder.ledger.reading() as connection:
        waits_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    writing = threading.Thread(target=builder.ledger.remember, args=("rate", "5"))
    with caplog.at_level(logging.WARNING):
        writing.start()
        while not caplog.records:
            assert writing.is_alive()
            time.sleep(0.02)
    assert list(holders_of(tmp_path / LEDGER_NAME)) == [program.pid]
    program.kill()
    writing.join(30)
    told = caplog.records[0].fields

    assert told["held_by"] == program.pid
    assert "python" in told["program"]
    assert builder.ledger.recall("rate") == "5"
    assert waits_ms == WRITING_WAITS_MS > 24 * 3_600_000
    builder.ledger.close()


def test_a_write_that_takes_long_by_itself_blames_no_program(tmp_path, caplog):
    """Publishing half a million rows is one transaction; nobody else holds the ledger meanwhile."""
    waits = WriteWaits(tmp_path / LEDGER_NAME, 0.02)
    waits.begun += 1
    with caplog.at_level(logging.WARNING):
        waits.start()
        while not caplog.records:
            time.sleep(0.02)
        waits.close()
    told = {(record.event, *record.fields) for record in caplog.records}

    assert told == {("a write to the ledger takes long, and no program is seen to hold it",)}


def test_whoever_looks_apart_holds_nothing(tmp_path):
    """A look at a copy sees the state of its beginning, and a run goes on writing meanwhile."""
    settled_builder(tmp_path, 40).ledger.close()
    with closing(Ledger(ledger_url(tmp_path), StepClock(), read_only=True, apart=True)) as apart:
        with apart.look() as look:
            before = look.publication_history().length
            with closing(Ledger(ledger_url(tmp_path), StepClock())) as ledger:
                with ledger.reading() as connection:
                    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
                ledger.begin_run("run-9", {}, "5e" * 32)
            assert look.publication_history().length == before
            assert look.contradiction() is None
            assert look.is_sound()
        named = {LEDGER_NAME, f"{LEDGER_NAME}-journal", NOTE_NAME}
        assert {path.name for path in tmp_path.iterdir()} <= named


def test_a_run_writes_while_its_ledger_is_verified(tmp_path):
    """`verify` reads a copy from its first question to its last, so that no write waits for it."""
    settled_builder(tmp_path, 40).ledger.close()
    with examined_ledger(tmp_path, StepClock()) as examined:
        assert isinstance(examined, SoundLedger)
        with closing(sqlite3.connect(tmp_path / LEDGER_NAME, timeout=0)) as writing:
            writing.execute("BEGIN EXCLUSIVE")


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def held_at_random(migration, stop, seeded):
    """Read, copy and verify the ledger at random moments for random times."""
    path = migration.out / LEDGER_NAME
    while not stop.wait(seeded.random() * 0.3):
        if not path.exists():
            continue
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            kind = seeded.choice(["transaction", "backup", "verify"])
            if kind == "backup":
                with closing(sqlite3.connect(":memory:")) as copy:
                    other.backup(copy, pages=1, sleep=0.01)
            elif kind == "verify":
                words = [sys.executable, "-m", "pipeline", "verify", str(migration.out)]
                environment = os.environ | {"PYTHONPATH": os.getcwd()}  # noqa: PTH109
                subprocess.run(words, env=environment, capture_output=True, check=False)
            else:
                other.execute("PRAGMA busy_timeout = 30000")
                other.execute("BEGIN")
                other.execute("SELECT count(*) FROM sqlite_schema").fetchall()
                stop.wait(seeded.random() * 2)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [(60, 2), pytest.param(1500, 60, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])],
)
def test_readers_at_random_cost_no_token(tmp_path, vault, rows, seconds):
    """Transactions, backups and verifications beside runs: each run ends 0, every card once."""
    begun, seeded, stop = time.monotonic(), random.Random(rows), threading.Event()
    migration = Migration(tmp_path / "m", vault)
    reading = threading.Thread(target=held_at_random, args=(migration, stop, seeded))
    reading.start()
    exports = 0
    try:
        while not exports or time.monotonic() - begun < seconds:
            migration.add(new_rows(rows, first=1 + exports * rows))
            exports += 1
            ended = migration.run()
            assert ended.code == 0, ended.said
    finally:
        stop.set()
        reading.join()
    facts = migration.check()
    print(f"{exports} runs of {rows} rows")

    assert {"tokenized": exports * rows} == dict(facts.states)
    assert len(migration.journal) == exports * rows


STOPPED = """
import os, signal, sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None)
ledger.execute("BEGIN")
ledger.execute("SELECT count(*) FROM rows").fetchall()
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_of_ours_that_holds_up_a_write_is_ended(tmp_path):
    """It stands still while it copies the ledger, as one does that somebody has stopped."""
    builder = new_builder(tmp_path)
    builder.ledger._waiting = WriteWaits(tmp_path / LEDGER_NAME, 0.1, builder.ledger.early.kill)
    builder.begin("run-1")
    words = [sys.executable, "-c", STOPPED, str(tmp_path / LEDGER_NAME)]
    with subprocess.Popen(words) as stopped:
        builder.ledger.early._child = stopped
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        builder.ledger.remember("rate", "5")
        assert stopped.wait(30) == -signal.SIGKILL
    assert builder.ledger.recall("rate") == "5"
    builder.ledger.close()


def test_the_process_that_works_early_is_ended_so(tmp_path):
    """Nobody else would let it go on before somebody looks."""
    builder = new_builder(tmp_path)
    assert builder.ledger._waiting._when_late == builder.ledger.early.kill
    builder.ledger.close()
