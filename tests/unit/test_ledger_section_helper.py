"""The process that works sections out beside a run: what is kept is the same, whatever becomes of it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import deque
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import LocalStorageFailed
from pipeline.ledger import second_process, section_helper, section_renewal
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.second_process import ANEW, SecondProcess
from tests.support.attach_runs import attaching, cards
from tests.support.commands import ROOT
from tests.support.crash import wait_until
from tests.support.ledgers import StepClock, settled_builder

KEPT = ("SELECT * FROM sections ORDER BY 1, 2", "SELECT * FROM versions ORDER BY 1, 2, 3")


@pytest.fixture(scope="module", params=["every ending", "cards on customers"])
def made(request, tmp_path_factory):
    """The ledger of a migration of some sections."""
    folder = tmp_path_factory.mktemp("made")
    if request.param == "every ending":
        settled_builder(folder / "out", 2_500).ledger.close()
        return folder / "out"
    with attaching(folder) as run:
        run.export(cards("ann", "bob", "ann", ""))
        run.run()
        return run.out


@pytest.fixture
def started(monkeypatch):
    """Let a process help however little there is to do; gives every one that was started."""
    children = []
    start = second_process.start_child

    def noted(command, **given):
        children.append(start(command, **given))
        return children[-1]

    monkeypatch.setattr(second_process, "start_child", noted)
    monkeypatch.setattr(section_helper, "FEW", 1)
    monkeypatch.setattr(section_helper, "MANY", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    yield children
    for child in children:
        assert child.returncode is not None


@pytest.fixture
def answered(monkeypatch):
    """What the process handed back."""
    blocks = []
    answers = section_helper.Help.answers

    def noted(self):
        got = answers(self)
        blocks.extend(got)
        return got

    monkeypatch.setattr(section_helper.Help, "answers", noted)
    return blocks


def renewed(made, folder, *, before=lambda _ledger: None):
    """Give all that is kept of the sections of a copy, worked out anew."""
    shutil.copytree(made, folder)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as ledger, ledger:
        ledger.execute("DELETE FROM sections")
        ledger.execute("DELETE FROM versions")
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger._join_last()
        before(ledger)
        ledger.renew_sections()
    return kept_in(folder)


def kept_in(folder):
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as ledger:
        return [ledger.execute(question).fetchall() for question in KEPT]


@pytest.fixture
def expected(made, tmp_path):
    """What one process alone keeps of the sections."""
    found = renewed(made, tmp_path / "alone")
    assert all(found)
    return found


def test_two_processes_keep_what_one_keeps(expected, made, started, answered, tmp_path):
    """Digests, counts and versions are those that one process alone works out."""
    assert renewed(made, tmp_path / "helped") == expected
    assert len(started) == 1
    assert answered


@pytest.mark.usefixtures("started")
def test_the_process_reads_while_the_other_one_writes_more_than_it_holds(
    expected, made, answered, tmp_path, monkeypatch
):
    """A transaction that outgrew its memory locks the file; neither waits for the other."""
    monkeypatch.setattr(section_renewal, "KEPT_AT_ONCE", 1)

    def keep_few_pages(ledger):
        with ledger.reading() as connection:
            connection.exec_driver_sql("PRAGMA cache_size = 1")

    assert renewed(made, tmp_path / "helped", before=keep_few_pages) == expected
    assert answered


@pytest.mark.parametrize("when", ["at once", "with a block", "after an answer"])
def test_what_a_killed_process_did_not_do_is_done_here(
    expected, made, started, tmp_path, monkeypatch, when
):
    """Whenever it dies, all is kept that would have been kept."""
    if when == "at once":
        start = second_process.start_child

        def killed(command, **given):
            child = start(command, **given)
            child.kill()
            child.wait()
            return child

        monkeypatch.setattr(second_process, "start_child", killed)
    else:
        answers = section_helper.Help.answers

        def killing(self):
            got = answers(self)
            if got or when == "with a block":
                started[0].kill()
            return got

        monkeypatch.setattr(section_helper.Help, "answers", killing)
    assert renewed(made, tmp_path / "helped") == expected
    assert started


def stop_at_once(monkeypatch):
    """Let every process that is started stand still before it does anything."""
    start = second_process.start_child

    def stopped(command, **given):
        child = start(command, **given)
        child.send_signal(signal.SIGSTOP)
        return child

    monkeypatch.setattr(second_process, "start_child", stopped)


@pytest.mark.usefixtures("started")
def test_who_does_not_answer_is_not_waited_for(expected, made, tmp_path, monkeypatch):
    """A process that was stopped holds nothing up for longer than our patience."""
    monkeypatch.setattr(second_process, "_PATIENCE_S", 1)
    monkeypatch.setattr(second_process, "_END_S", 0.1)
    stop_at_once(monkeypatch)
    assert renewed(made, tmp_path / "helped") == expected


@pytest.mark.usefixtures("started")
def test_who_was_given_up_on_is_asked_for_nothing_more(made, tmp_path, monkeypatch):
    """What it says late would be taken for the answer to what comes next, such as the mapping."""
    monkeypatch.setattr(second_process, "_PATIENCE_S", 1)
    stop_at_once(monkeypatch)
    folder = tmp_path / "helped"
    shutil.copytree(made, folder)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as ledger, ledger:
        ledger.execute("DELETE FROM sections")
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger._join_last()
        ledger.renew_sections()
        assert ledger.second.line is None
        ledger.second._child.kill()


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    "trouble",
    [
        LocalStorageFailed("no process can be started", next_step="Free some."),
        ImportError("cannot open shared object file: Too many open files"),
        MemoryError(),
    ],
    ids=repr,
)
def test_where_no_process_can_be_started_none_is_needed(
    expected, made, answered, tmp_path, monkeypatch, trouble
):
    """A machine that has no process left, or memory, keeps what any other keeps."""

    def refused(*_, **__):
        raise trouble

    monkeypatch.setattr(second_process, "start_child", refused)
    assert renewed(made, tmp_path / "alone-again") == expected
    assert not answered


def test_on_one_processor_none_is_started(expected, made, started, tmp_path, monkeypatch):
    """Two processes would only take turns."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1})
    assert renewed(made, tmp_path / "alone-again") == expected
    assert not started


def test_few_sections_start_no_process(expected, made, tmp_path, monkeypatch):
    """To start one takes longer than they do."""
    monkeypatch.setattr(second_process.SecondProcess, "start", lambda _: pytest.fail("started"))
    assert renewed(made, tmp_path / "alone-again") == expected


def test_the_process_holds_no_secret_and_stands_apart(made, started, monkeypatch):
    """It gets nothing of the environment that it does not need, and a group of its own."""
    monkeypatch.setenv("VAULT_SECRET_KEY", "skey_only_for_this_test")
    given = {}
    start = second_process.start_child

    def noted(command, **told):
        given.update(told, command=command)
        return start(command, **told)

    monkeypatch.setattr(second_process, "start_child", noted)
    with closing(Ledger(ledger_url(made), StepClock())) as ledger:
        ledger.second.start()
        assert os.getpgid(started[0].pid) == started[0].pid
    assert not any(
        "skey_only" in text for text in (*given["environment"].values(), *given["command"])
    )
    assert "VAULT_SECRET_KEY" not in given["environment"]
    assert given["stderr"] == given["stdout"] == subprocess.DEVNULL


PARENT = """
import sys, time
from pathlib import Path
from pipeline.ledger import second_process
second_process._processors = lambda: 2
second = second_process.SecondProcess(Path(sys.argv[1]))
second.start()
print(second._child.pid, flush=True)
time.sleep(600)
"""


def test_the_process_ends_with_the_one_that_started_it(made):
    """A parent that is killed leaves none behind."""
    command = [sys.executable, "-c", PARENT, made / LEDGER_NAME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        pid = int(parent.stdout.readline())
        there = Path("/proc", str(pid), "stat")
        assert there.exists()
        parent.kill()
    wait_until(lambda: not there.exists() or there.read_text().rsplit(")")[-1].split()[0] == "Z")


class Answering:
    """A line to a process that answers each call with what it was called with."""

    def __init__(self):
        self.asked = deque()
        self.is_closed = False

    def send(self, message):
        self.asked.append(message)

    def recv(self):
        while (asked := self.asked.popleft()) is ANEW:
            pass
        return "there", asked[1]

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_the_process_is_let_go_as_soon_as_it_has_nothing_more_to_give(count):
    """It takes a while to end, and whoever is given the last answer asks for no other one."""
    second = SecondProcess(None)
    second.line = line = Answering()
    turns = second.by_turns(None, [(lambda _, number: ("here", number), n) for n in range(count)])

    assert [next(turns) for _ in range(count)] == [
        ("there" if number % 2 else "here", number) for number in range(count)
    ]
    assert line.is_closed == (count > 0)
