"""A ledger's server that is gone for a while: no commit is lost with the connection, and none made twice."""

import threading
from contextlib import closing

import psycopg
import pytest

from pipeline.clock import SystemClock
from pipeline.errors import LocalStorageFailed, MigrationLocked, VerificationFailed
from pipeline.ledger.bearing import Waits
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url, pointer_of
from pipeline.ledger.postgres import lock, standby
from pipeline.ledger.settling import Settling
from tests.support import postgres
from tests.support.crash import wait_until
from tests.support.ledgers import FACTS, URL_NAME, StepClock, new_builder, tokenized
from tests.support.postgres_line import Line
from tests.support.sampled import slow

WAIT_S = 30


@pytest.fixture
def line(monkeypatch):
    """A line to the server that every ledger of the test is reached by."""
    line = Line(postgres.server().folder)
    monkeypatch.setenv(URL_NAME, line.url())
    yield line
    line.close()


@pytest.fixture
def builder(tmp_path, line):  # noqa: ARG001 - it names the server.
    builder = new_builder(tmp_path / "out")
    builder.begin("run-1")
    builder.ledger.bear_outages(WAIT_S)
    yield builder
    builder.ledger.close()


def meddle(folder, *statements):
    """Change a ledger past the line."""
    with psycopg.connect(postgres.server().url(), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{pointer_of(folder).schema}"')
        return [connection.execute(statement) for statement in statements][-1]


def states(builder):
    with builder.ledger.look() as look:
        return {state.value: n for state, n in look.by_state().items() if n}


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_transaction_happens_once_at_whatever_message_the_connection_is_lost(builder, line, what):
    """Each message of it and each answer in turn, the commit's among them."""
    tries = 0
    for after in range(20):
        line.lose(what, after)
        builder.ledger.note("anything", resource=str(after))
        tries += 1
        if line.is_armed:
            break
    line.lose("", 0)
    builder.ledger.verify()
    with builder.ledger.look() as look:
        lines = [body for body, _ in look.event_lines()]

    assert 4 < tries < 20
    for number in range(tries):
        assert sum(f'"resource":"{number}"' in body and "anything" in body for body in lines) == 1


@pytest.mark.parametrize("what", ["request", "answer"])
def test_what_a_run_asks_before_it_sends_is_asked_anew_once_the_server_is_back(builder, line, what):
    """At whatever message the connection is lost; the first attempt has the number that it should."""
    export = builder.plan("cards.csv", 2)
    tries = 0
    for after in range(30):
        line.lose(what, after)
        settling = Settling(builder.ledger, 8)
        tries += 1
        if line.is_armed:
            break
    line.lose("", 0)
    claim = settling.claimable(export.first_id, export.last_id)[0]
    settling.apply([settling.intent(claim.id, 1)])

    assert 2 < tries < 30
    assert states(builder) == {"sent": 1, "planned": 1}


@pytest.mark.parametrize(
    ("what", "rows"), [("request", 4), ("answer", 4), slow("request", 12), slow("answer", 12)]
)
def test_a_batch_happens_once_whatever_of_it_is_lost(builder, line, what, rows):
    """Intents and outcomes, in the one call that makes them durable."""
    export = builder.plan("cards.csv", rows)
    settling = Settling(builder.ledger, rows)
    claims = settling.claimable(export.first_id, export.last_id)
    for claim in claims:
        intent = settling.intent(claim.id, 1)
        line.lose(what, 0)
        settling.apply([intent])
        line.lose(what, 0)
        settling.apply([tokenized(intent, builder._token(claim))])
        assert not line.is_armed

    assert states(builder) == {"tokenized": rows}
    builder.ledger.verify()


def test_what_the_server_still_does_for_a_lost_connection_is_ended_before_it_is_done_again(
    builder, line, tmp_path
):
    """Else a commit could become durable after it was looked for."""
    export = builder.plan("cards.csv", 3)
    settling = Settling(builder.ledger, 3)
    claims = settling.claimable(export.first_id, export.last_id)
    schema = pointer_of(tmp_path / "out").schema
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    with (
        psycopg.connect(postgres.server().url()) as other,
        psycopg.connect(postgres.server().url(), autocommit=True) as watch,
    ):
        other.execute(f'SELECT FROM "{schema}".rows WHERE id = {claims[0].id} FOR UPDATE')
        batch = [settling.intent(claim.id, 1) for claim in claims]
        applying = threading.Thread(target=settling.apply, args=(batch,))
        applying.start()
        pids = set()
        for is_dropped in (False, True):
            found = (
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
            )
            while not (now := set(watch.execute(found, ["%cardferry_batch%"]).fetchall()) - pids):
                threading.Event().wait(0.02)
            if not is_dropped:
                pids = now
                line.drop()
        alive = watch.execute(waits, ["%cardferry_batch%"]).fetchone()
        other.rollback()
        applying.join()

    assert alive == (1,)
    assert states(builder) == {"sent": 3}


def test_a_server_that_does_not_come_back_ends_the_wait_and_every_later_write(builder, line):
    """Exit code 5; nothing is tried any more once somebody was told so."""
    builder.ledger.bear_outages(0)
    line.cut()
    with pytest.raises(LocalStorageFailed, match="does not answer"):
        builder.ledger.note("anything", resource="x")
    line.mend()
    with pytest.raises(LocalStorageFailed, match="does not answer"):
        builder.ledger.note("anything", resource="x")


def test_a_process_that_is_to_end_waits_no_longer_than_its_drain(builder, line):
    """A stopping signal must not wait half an hour for a server."""
    line.cut()
    builder.ledger.hurry(0)
    with pytest.raises(LocalStorageFailed, match="does not answer"):
        builder.ledger.note("anything", resource="x")


def test_a_run_that_another_one_took_over_meanwhile_writes_nothing_more(builder, line, tmp_path):
    """A standby came first: exit code 11, and what the first one knows is in doubt."""
    export = builder.plan("cards.csv", 3)
    settling = Settling(builder.ledger, 3)
    claims = settling.claimable(export.first_id, export.last_id)
    line.cut()
    line.mend()
    with closing(Ledger(ledger_url(tmp_path / "out"), StepClock(), waits=Waits(60))) as standby:
        with pytest.raises(MigrationLocked, match="took this migration over"):
            settling.apply([settling.intent(claims[0].id, 1)])
        with pytest.raises(MigrationLocked):
            builder.ledger.note("anything", resource="x")
        with standby.look() as look:
            assert sum(look.by_state().values()) == 3


@pytest.fixture
def tries(monkeypatch):
    """Every try for a ledger's lock from now on: whether it was given."""
    tries, is_taken = [], lock.is_taken
    monkeypatch.setattr(
        lock, "is_taken", lambda *where: tries.append(is_taken(*where)) or tries[-1]
    )
    return tries


def waiting_for(folder, took):
    """Wait for a ledger's lock in a thread, as a standby does, then begin the next run."""

    def wait():
        with closing(Ledger(ledger_url(folder), SystemClock(), waits=Waits(60))) as ledger:
            ledger.begin_run("run-2", {}, FACTS["settings_digest"])
            took.append(ledger.epoch)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_standby_goes_on_waiting_when_the_server_was_away(builder, tmp_path, monkeypatch, tries):
    """Cut off from it, it connects again, and takes over once the first run is gone."""
    monkeypatch.setattr(standby, "HOLDER_FIRST_S", 0)
    took = []
    with closing(Line(postgres.server().folder)) as other:
        monkeypatch.setenv(URL_NAME, other.url())
        waiting = waiting_for(tmp_path / "out", took)
        for _ in range(2):
            seen = len(tries)
            wait_until(lambda seen=seen: len(tries) > seen)
            other.cut()
            threading.Event().wait(0.3)
            other.mend()
        builder.ledger.note("anything", resource="x")
        assert waiting.is_alive()
        builder.ledger.close()
        waiting.join()

    assert took == [2]


def test_whoever_held_the_lock_has_it_again_before_a_standby(
    builder, line, tmp_path, monkeypatch, tries
):
    """A server that starts again knows of no lock; a run must not end for that."""
    asked, may_ask = threading.Event(), threading.Event()
    come_back = standby._come_back

    def first_the_holder(engine):
        asked.set()
        assert may_ask.wait(60)
        come_back(engine)

    monkeypatch.setattr(standby, "HOLDER_FIRST_S", 0)
    monkeypatch.setattr(standby, "_come_back", first_the_holder)
    took = []
    waiting = waiting_for(tmp_path / "out", took)
    wait_until(lambda: tries)
    line.drop()
    asked.wait(60)
    builder.ledger.note("anything", resource="x")
    may_ask.set()
    seen = len(tries)
    wait_until(lambda: len(tries) > seen)
    assert not any(tries[seen:])
    builder.ledger.close()
    waiting.join()

    assert took == [2]


@pytest.mark.usefixtures("builder")
def test_a_standby_whose_time_is_over_says_whether_run_or_server_kept_it_waiting(line, tmp_path):
    """Exit code 11 while the run is there, 5 while the server is not."""
    with pytest.raises(MigrationLocked, match="another run holds"):
        Ledger(ledger_url(tmp_path / "out"), SystemClock(), waits=Waits(0.3))
    line.lose("cut", 3)
    with pytest.raises(LocalStorageFailed):
        Ledger(ledger_url(tmp_path / "out"), SystemClock(), waits=Waits(0.3))


def test_a_server_that_lost_what_it_had_acknowledged_stops_the_run(builder, line, tmp_path):
    """As a copy that took over without the last commits: cards would be sent again."""
    builder.ledger.note("anything", resource="x")
    meddle(tmp_path / "out", "UPDATE commits SET number = number - 1")
    line.drop()
    with pytest.raises(VerificationFailed, match="without what it had acknowledged"):
        builder.ledger.note("anything", resource="x")


def test_without_leave_to_wait_a_lost_connection_ends_the_run(tmp_path, line):
    """While an export is planned nothing is known that could be lost."""
    builder = new_builder(tmp_path / "out")
    builder.begin("run-1")
    line.drop()
    with pytest.raises(LocalStorageFailed, match="was lost"):
        builder.ledger.note("anything", resource="x")
    builder.ledger.close()


def test_a_ledger_in_a_file_has_no_outages(tmp_path):
    """Asked to bear them it goes on as it did."""
    builder = new_builder(tmp_path / "out")
    builder.begin("run-1")
    builder.ledger.bear_outages(WAIT_S)
    builder.ledger.note("anything", resource="x")
    builder.ledger.verify()
    builder.ledger.close()
