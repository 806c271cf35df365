"""What is worked out while rows are still sent: what is kept in the end is what would be without it."""

import fcntl
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline import __version__
from pipeline.ledger import (
    early_marks,
    early_sections,
    open_ledger,
    section_helper,
    section_renewal,
)
from pipeline.ledger.early_marks import Marked, Standing
from pipeline.ledger.early_sections import EarlySections
from pipeline.ledger.early_work import EarlyWork
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.listings import Listings
from pipeline.ledger.schema import rows
from pipeline.ledger.sections import EARLY_CARDS, EARLY_REQUESTS, MARKED, numbers
from pipeline.ledger.sqlite import early_child
from pipeline.migration import send
from pipeline.outputs.files import MAPPING_NAME
from pipeline.outputs.mapping_part import mapping_part
from pipeline.outputs.publisher import publish
from tests.support import unhurried_child
from tests.support.attach_runs import attaching, cards
from tests.support.crash import wait_until
from tests.support.folders import VERSION
from tests.support.ledgers import StepClock, new_builder, settled_builder

KEPT = ("SELECT * FROM sections ORDER BY 1, 2", "SELECT * FROM versions ORDER BY 1, 2, 3")
USUAL_CHILD = open_ledger._EARLY_CHILD
LATER = datetime(2026, 12, 1, tzinfo=UTC)
OF_ROWS, OF_REQUESTS = 7, 4
"""Sections of which every row was sent, and every request answered; there are some more."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a migration that was not published yet."""
    folder = tmp_path_factory.mktemp("made") / "out"
    settled_builder(folder, 5_500).ledger.close()
    return folder


@pytest.fixture(autouse=True)
def pays(monkeypatch):
    """A second process pays on however few processors; one that has to be asked has little to do."""
    monkeypatch.setattr(open_ledger, "_EARLY_CHILD", unhurried_child.__name__)
    monkeypatch.setattr(open_ledger, "_EARLY_S", 30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(section_helper, "FEW", 10_000)


@pytest.fixture
def early(monkeypatch):
    """What was taken in that was worked out early."""
    taken = []
    take_early = section_renewal._take_early

    def noted(connection, process, other, keeping):
        done = take_early(connection, process, other, keeping)
        if process._child is not None:
            taken.append((done, list(other.made_early)))
        return done

    monkeypatch.setattr(section_renewal, "_take_early", noted)
    return taken


def nothing(*_):
    """Do nothing more before outputs are published."""


def published(made, folder, meanwhile=nothing, *, write=nothing):
    """Give what is kept of a copy once it is published, and its mapping."""
    shutil.copytree(made, folder)
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        ledger.attend("test", "here:1", files=False)
        meanwhile(ledger)
        write(ledger)
        publish(ledger, folder, VERSION)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as driver:
        kept = [driver.execute(question).fetchall() for question in KEPT]
    return kept, (folder / MAPPING_NAME).read_bytes()


def forgotten(ledger):
    """Let all that is kept of sections be worked out again."""
    with ledger.transaction() as connection:
        connection.execute(text("DELETE FROM sections"))


def worked_early(ledger):
    """Mark sections and wait until they are worked out."""
    begun_early(ledger, EarlySections(ledger, mapping_part))


def begun_early(ledger, sections):
    sections.begin()
    socket, states = ledger.early.line.fileno(), []
    stat = Path(f"/proc/{ledger.early._child.pid}/stat")

    def waits():
        """Tell whether it has heard what we said, and sleeps until we say something else."""
        unheard = fcntl.ioctl(socket, termios.TIOCOUTQ, b"1234")
        states.append("unheard" if any(unheard) else stat.read_text().rsplit(")")[-1].split()[0])
        return states[-20:] == ["S"] * 20

    wait_until(waits)


def sections_of(early):
    """Give the sections of rows and of requests that were worked out early."""
    ((done, _),) = early
    return [len(done.get(kind, ())) for kind in ("rows", "attempts")]


def test_what_is_kept_and_published_is_the_same(made, early, tmp_path):
    """Sections, versions and mapping are those of a ledger that was worked out at the end."""
    assert published(made, tmp_path / "early", worked_early) == published(made, tmp_path / "late")
    assert sections_of(early) == [OF_ROWS, OF_REQUESTS]


def test_no_mark_is_left(made, tmp_path):
    """They are needed until outputs are published."""
    (kept, _), _ = published(made, tmp_path / "early", worked_early)
    assert not {EARLY_CARDS, EARLY_REQUESTS} & {kind for _, kind, *_ in kept}


def changed(ledger):
    """Write to a row of the second section: what was worked out of that is wrong by now."""
    with ledger.transaction() as connection:
        number = numbers(connection, rows)[1]
        connection.execute(
            text("UPDATE rows SET attempts = attempts + 1 WHERE id = :row"),
            {"row": number * 1_000 + 7},
        )


def test_what_was_written_to_since_is_worked_out_anew(made, early, tmp_path):
    """One row of a section has changed after it was marked; what is published tells the new one."""
    late = published(made, tmp_path / "late", write=changed)
    assert published(made, tmp_path / "early", worked_early, write=changed) == late
    # Sections are worked out some at a time, and those beside it are lost with it.
    assert sections_of(early) == [OF_ROWS - 4, OF_REQUESTS]


def test_what_is_marked_again_is_worked_out_again(made, early, tmp_path):
    """The second time the row is as it is published."""

    def twice(ledger):
        sections = EarlySections(ledger, mapping_part)
        begun_early(ledger, sections)
        changed(ledger)
        begun_early(ledger, sections)

    late = published(made, tmp_path / "late", write=changed)
    assert published(made, tmp_path / "early", twice) == late
    # The three beside it keep their first mark, and what was worked out of them all is forgotten.
    assert sections_of(early) == [OF_ROWS - 3, OF_REQUESTS]


def test_a_process_that_was_killed_meanwhile_is_not_missed(made, early, tmp_path):
    """What it found is worked out at the end."""

    def killed(ledger):
        EarlySections(ledger, mapping_part).begin()
        ledger.early._child.kill()
        ledger.early._child.wait()

    assert published(made, tmp_path / "early", killed) == published(made, tmp_path / "late")
    assert early == [({}, [])]


def test_a_run_that_publishes_at_once_takes_what_there_is(made, early, tmp_path):
    """Nobody waits for what is not worked out yet."""

    def begun(ledger):
        EarlySections(ledger, mapping_part).begin()

    assert published(made, tmp_path / "early", begun) == published(made, tmp_path / "late")
    assert early


def test_marks_that_a_killed_run_left_behind_say_nothing(made, early, tmp_path):
    """The process that knew what they are for is gone."""

    def left_behind(ledger):
        with ledger.transaction() as connection:
            early_marks.mark_sections(connection, 1, ())
        changed(ledger)

    late = published(made, tmp_path / "late", write=changed)
    assert published(made, tmp_path / "again", left_behind) == late
    assert not early


def test_a_large_ledger_is_not_copied(made, early, tmp_path, monkeypatch):
    """A run would wait for longer than it gains."""
    monkeypatch.setattr(early_sections, "_COPY_BYTES_MAX", 1_000)
    folder = tmp_path / "large"
    shutil.copytree(made, folder)
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        ledger.attend("test", "here:1", files=False)
        EarlySections(ledger, mapping_part).begin()
        with ledger.reading() as connection:
            marks = early_marks.standing_marks(connection).marks
    assert not any(marks.values())
    assert not early


def test_parts_of_the_mapping_are_made_early_too(tmp_path, early, monkeypatch):
    """Of a part that is whole the bytes are there when the last row is sent."""
    builder = new_builder(tmp_path / "made")
    builder.begin("run-1")
    builder.settle(builder.plan("cards.csv.pgp", 27_000), rows_per_s=1_000)
    builder.end(0)
    builder.ledger.close()
    late = published(tmp_path / "made", tmp_path / "late")
    asked = []
    mapped_rows = Listings.mapped_rows

    def noted(self, ids=None):
        asked.append(ids)
        return mapped_rows(self, ids)

    monkeypatch.setattr(Listings, "mapped_rows", noted)
    assert published(tmp_path / "made", tmp_path / "early", worked_early) == late
    ((_, parts),) = early
    assert len(parts) == 1
    # The second part is the one that was not whole.
    assert len(asked) == 1


def test_cards_on_customers_are_left_to_the_end_as_far_as_customers_matter(tmp_path, early):
    """A mark knows nothing of customers, whom the mapping names."""
    with attaching(tmp_path) as run:
        run.export(cards(*(f"owner {number % 500}" for number in range(1_800))))
        run.run()

    def forgotten_and_early(ledger):
        forgotten(ledger)
        worked_early(ledger)

    late = published(run.out, tmp_path / "late", forgotten)
    assert published(run.out, tmp_path / "early", forgotten_and_early) == late
    ((done, parts),) = early
    assert done
    assert not parts


def test_a_run_works_out_early_what_it_has_sent(tmp_path, early, monkeypatch):
    """What is kept afterwards is what is worked out of all rows at once."""
    monkeypatch.setattr(send, "_MANY_ROWS", 1)
    monkeypatch.setattr(send, "_WORKED_OUT_AT", (0.5, 0.9))
    with attaching(tmp_path) as run:
        run.export(cards(*(f"owner {number % 500}" for number in range(3_000))))
        run.run()

    with closing(sqlite3.connect(run.out / LEDGER_NAME)) as driver:
        kept = driver.execute(KEPT[0]).fetchall()
    assert [done for done, _ in early if done]
    assert kept == published(run.out, tmp_path / "late", forgotten)[0][0]


def test_what_one_publication_did_not_need_is_nothing_for_the_next(made, tmp_path):
    """Rows may have changed in between."""
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    with closing(Ledger(ledger_url(folder), StepClock(LATER))) as ledger:
        ledger.attend("test", "here:1", files=False)
        ledger.second.made_early = {("a call",): b"what it gave"}
        ledger.renew_sections()
        assert not ledger.second.made_early


def test_the_process_runs_only_where_nothing_else_would(made, monkeypatch):
    """It takes no processor away from those who send."""
    monkeypatch.setattr(open_ledger, "_EARLY_CHILD", early_child.__name__)
    with closing(Ledger(ledger_url(made), StepClock(LATER))) as ledger:
        ledger.early.start(mapping_part.__module__)
        pid = ledger.early._child.pid
        wait_until(lambda: os.sched_getscheduler(pid) == os.SCHED_IDLE)


COPYING = """
import os, signal, sys
from pipeline.ledger.sqlite import connection, copies, early_child

def noted(*address, **how):
    print(os.sched_getscheduler(0), os.sched_getscheduler(os.getpid()), flush=True)
    copies._TWO_FROM_BYTES = 0
    copy = copies.copy_of(*address, **how)
    os.kill(os.getpid(), signal.SIGKILL)

connection.copy_of = noted
early_child.main(*sys.argv[1:])
"""


def test_nobody_waits_for_a_copy_that_waits_for_a_processor(made, tmp_path):
    """The run cannot write as long as it is made; if it ends the process nothing is left."""
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-c", COPYING, str(made / LEDGER_NAME), __version__]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with (
        Connection(ours.detach()) as line,
        subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, env=environment) as child,
    ):
        theirs.close()
        line.send(Marked(1, {}, ()))
        said, _ = child.communicate(timeout=60)
    assert said.split() == [b"%d" % os.SCHED_OTHER, b"%d" % os.SCHED_IDLE]
    assert child.returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_a_run_starts_that_process():
    """A name that is none would end it without a word."""
    assert USUAL_CHILD == early_child.__name__


@pytest.mark.parametrize(("times", "is_copied"), [(1, False), (5, False), (20, True)])
def test_a_copy_leaves_the_disk_its_room(made, tmp_path, monkeypatch, times, is_copied):
    """The disk may be the ledger's own, which has to take the answers."""
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    size = (folder / LEDGER_NAME).stat().st_size
    room = shutil._ntuple_diskusage(10 * size, 0, times * size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    opened = []
    monkeypatch.setattr(early_child, "open_engine", lambda *_, **__: opened.append(1) or broken())
    with ThreadPoolExecutor(1) as awaited:
        early_child._work_out(None, awaited, folder / LEDGER_NAME, EarlyWork(), Marked(1, {}, ()))
    assert bool(opened) is is_copied


def broken():
    raise sqlite3.OperationalError("a copy that cannot be made")


def test_what_was_found_before_a_section_was_marked_again_is_never_given():
    """The newest mark of a section stands for what was found after it, and for nothing else."""
    work = EarlyWork()
    work._marked[EARLY_CARDS, 7] = 1
    work._parts[("part", 7_000, 7_999)] = [7], b"old"
    work._forget(Marked(2, {EARLY_CARDS: [7]}, ()))
    early = work.of(Standing({EARLY_CARDS: {7: 2}, EARLY_REQUESTS: {}}))
    assert not early.worked
    assert not early.parts


@pytest.mark.parametrize("table", MARKED)
def test_a_mark_goes_with_whatever_is_worked_out(table):
    """Whoever writes to a table throws away of a section what depends on it, and the mark as well."""
    of_customers = table == "customers"
    assert bool({EARLY_CARDS, EARLY_REQUESTS} & {*MARKED[table]}) is not of_customers
