"""Carriers share a ledger: each has its chunks for a term, and a silent one loses them without harm."""

import threading
import time
from contextlib import closing, suppress

import orjson
import psycopg
import pytest
from sqlalchemy import text

from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.ledger.batches import Batch
from pipeline.ledger.bearing import Waits
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from pipeline.ledger.settling import Settling
from pipeline.ledger.sharing.coordinator import Coordinator, carriers_state
from pipeline.ledger.sharing.jobs import ATTEMPTS_A_LEASE, Job
from pipeline.ledger.sharing.joined import JoinedLedger
from pipeline.ledger.sharing.shares import fair_share
from pipeline.migration.carrier_sending import renewing
from tests.support import postgres
from tests.support.crash import wait_until
from tests.support.ledgers import URL_NAME, Builder, StepClock, new_builder, tokenized
from tests.support.postgres_line import Line

ROWS, CHUNK, C = 20, 5, 8
VERSION, DIGEST = "1.0", "5e" * 32
JOB = Job(1, VERSION, DIGEST, {"rate_per_s": 5}, C, 60_000, 1)


def events_of(ledger):
    with ledger.look() as look:
        return [orjson.loads(body) for body, _ in look.event_lines()]


class Shared:
    """A ledger of one export of twenty rows, cut into four chunks, and carriers that join it."""

    def __init__(self, folder):
        self.folder = folder
        self.builder = new_builder(folder)
        self.builder.begin("run-1")
        self.export = self.builder.plan("cards.csv", ROWS)
        self.coordinator = Coordinator(self.builder.ledger)
        assert self.coordinator.begin(JOB, [self.export.id], CHUNK) == ROWS // CHUNK
        self.joined = []

    def join(self, *, version=VERSION, digest=DIGEST, renewed=True):
        """Give a carrier's ledger, with its session and as many slots as are free."""
        ledger = JoinedLedger(ledger_url(self.folder), self.builder.clock)
        self.joined.append(ledger)
        ledger.join("host:1", version, digest)
        if renewed:
            ledger.renew(0, {})
        return ledger

    def take(self, ledger, from_id=0):
        return ledger.take(self.export.id, from_id)

    def expire(self, ledger):
        """Let a session's term be over, by the server's clock."""
        with self.builder.ledger.transaction() as connection:
            connection.execute(
                text("UPDATE sessions SET expires_ms = 1 WHERE id = :id"), {"id": ledger.session}
            )

    def is_locked(self, table):
        """Tell whether a transaction holds the row of a table that has one."""
        with self.builder.ledger.transaction() as connection:
            free = connection.execute(text(f"SELECT FROM {table} FOR UPDATE SKIP LOCKED"))
            return free.first() is None

    def states(self):
        with self.builder.ledger.look() as look:
            return {state.value: n for state, n in look.by_state().items() if n}

    def trail(self, *kinds):
        return [event for event in events_of(self.builder.ledger) if event["event"] in kinds]

    def close(self):
        for ledger in (*self.joined, self.builder.ledger):
            ledger.close()


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv(URL_NAME, postgres.server().url())
    shared = Shared(tmp_path / "out")
    yield shared
    shared.close()


def begun(shared, ledger, lease, count=3):
    """Begin to send rows of a chunk; give what settles them."""
    settling = Settling(ledger, C)
    settling.number_attempts_from(lease.first_attempt)
    claims = settling.claimable(lease.first_id, lease.last_id)[:count]
    intents = [settling.intent(claim.id, claim.attempts + 1) for claim in claims]
    settling.apply(intents)
    answers = [
        tokenized(intent, shared.builder._token(claim))
        for intent, claim in zip(intents, claims, strict=True)
    ]
    return settling, answers


def test_chunks_are_taken_once_carried_and_given_back_until_all_are_done(shared):
    """Two carriers take turns; no row is in two hands, and the last chunk ends the work."""
    carriers = [shared.join(), shared.join()]
    taken = []
    for turn in range(ROWS // CHUNK):
        ledger = carriers[turn % 2]
        lease = shared.take(ledger)
        settling, answers = begun(shared, ledger, lease, CHUNK)
        assert not ledger.give_back(lease)
        settling.apply(answers)
        assert ledger.give_back(lease)
        taken.append((lease.first_id - shared.export.first_id, lease.number))
    assert [shared.take(ledger) for ledger in carriers] == [None, None]
    for ledger in carriers:
        assert ledger.export_to_carry() is None
        ledger.leave({"sent": 10})
    state = shared.coordinator.look()

    assert taken == [(1, 1), (6, 2), (11, 3), (16, 4)]
    assert shared.states() == {"tokenized": ROWS}
    assert (state.progress.all, state.progress.done, state.live) == (4, 4, [])
    assert [session.figures for session in state.sessions] == [{"sent": 10}, {"sent": 10}]
    told = shared.trail("carrier_joined", "carrier_left")
    assert [(e["event"], e["resource"]) for e in told] == [
        ("carrier_joined", "1"),
        ("carrier_joined", "2"),
        ("carrier_left", "1"),
        ("carrier_left", "2"),
    ]
    shared.builder.end(0)
    shared.builder.ledger.verify()


def test_a_silent_carriers_rows_are_in_doubt_and_its_chunks_are_free(shared):
    """One unknown more for each row that was under way, none for the others; the trail tells it."""
    silent, other = shared.join(), shared.join()
    lease = shared.take(silent)
    begun(shared, silent, lease)
    shared.expire(silent)
    other.renew(4, {})

    again = shared.take(other)

    assert (again.first_id, again.number) == (lease.first_id, lease.number + 1)
    assert shared.states() == {"planned": ROWS - 3, "ambiguous": 3}
    shared.coordinator.look()
    (told,) = shared.trail("carrier_reaped")
    assert told["detail"] == {"chunks": 1, "in_doubt": 3, "held": 0, "cards_in_doubt": 0}
    _, answers = begun(shared, other, again)
    assert [a.attempt_id // ATTEMPTS_A_LEASE for a in answers] == [again.number] * 3


def test_nothing_that_a_zombie_writes_after_it_was_reaped_gets_through(shared):
    """Its answers are refused as a whole, and it is told that its rows were taken over."""
    zombies = [shared.join() for _ in range(5)]
    batch, note, take, back, own = zombies
    leases = {ledger: shared.take(ledger) for ledger in (batch, back)}
    settling, answers = begun(shared, batch, leases[batch])
    for zombie in zombies:
        shared.expire(zombie)
    shared.coordinator.look()
    before = shared.states()

    for zombie, write in (
        (batch, lambda: settling.apply(answers)),
        (note, lambda: note.note("anything", resource="x")),
        (take, lambda: shared.take(take)),
        (back, lambda: back.give_back(leases[back])),
        (own, lambda: own.own([1])),
    ):
        assert zombie.renew(4, {}) is None
        with pytest.raises(LocalStorageFailed, match="its rows were taken over"):
            write()
    assert shared.states() == before
    assert {s.state for s in shared.coordinator.look().sessions} == {"reaped"}


def test_a_batch_that_is_being_written_is_durable_before_its_session_can_be_reaped(shared):
    """Whoever reaps passes over a session that is locked, and finds it at the next look."""
    writing, other = shared.join(), shared.join()
    shared.expire(writing)
    with writing.transaction():
        other.renew(4, {})
        assert [s.state for s in shared.coordinator.look().sessions] == ["live", "live"]
    other.renew(4, {})

    assert [s.state for s in shared.coordinator.look().sessions] == ["reaped", "live"]


def test_two_cards_that_an_answer_cannot_tell_apart_are_never_under_way_in_two_carriers(shared):
    """The second intent does not begin, and writes nothing, until the first one is answered."""
    with shared.builder.ledger.transaction() as connection:
        connection.execute(
            text(
                "UPDATE rows SET last_digits = '4242', expiration_month = 1, expiration_year = 2031 "
                "WHERE id % 10000 IN (1, 2, 6)"
            )
        )
    first, second = shared.join(), shared.join()
    settling, answers = begun(shared, first, shared.take(first), 1)
    lease = shared.take(second)
    other = Settling(second, C)
    other.number_attempts_from(lease.first_attempt)
    like, unlike = other.claimable(lease.first_id, lease.last_id)[:2]
    tried = other.apply([other.intent(like.id, 1), other.intent(unlike.id, 1)])
    before = shared.states()
    settling.apply(answers)
    again = other.apply([other.intent(like.id, 1)])

    assert (tried.waiting, again.waiting) == ((like.id,), ())
    assert before == {"planned": ROWS - 2, "sent": 2}
    assert shared.states() == {"planned": ROWS - 3, "sent": 2, "tokenized": 1}
    # In one carrier its own queue keeps them apart; an answer and its like's intent share a batch.
    claims = settling.claimable(shared.export.first_id, lease.first_id - 1)
    shared.expire(second)
    shared.coordinator.look()
    assert not settling.apply([settling.intent(claims[0].id, 1)]).waiting


def test_cards_alike_that_two_carriers_send_at_the_same_moment_are_kept_apart(shared):
    """Neither sees what the other has not committed yet; one of them waits, and nobody for the other."""
    with shared.builder.ledger.transaction() as connection:
        connection.execute(
            text(
                "UPDATE rows SET last_digits = '4242', expiration_month = 1, expiration_year = 2031"
            )
        )
    carriers = [shared.join(), shared.join()]
    settlings, intents = [], []
    for ledger in carriers:
        lease = shared.take(ledger)
        settlings.append(Settling(ledger, C))
        settlings[-1].number_attempts_from(lease.first_attempt)
        claim = settlings[-1].claimable(lease.first_id, lease.last_id)[0]
        intents.append(settlings[-1].intent(claim.id, 1))
    with carriers[0].transaction():
        begun_first = settlings[0]._batches.write(Batch(1, intents=[intents[0]]))
        begun_second = settlings[1].apply([intents[1]])

    assert begun_first == ()
    assert begun_second.waiting == (intents[1].row_id,)
    assert shared.states()["sent"] == 1


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_carrier_whose_connection_was_lost_goes_on_in_its_session(shared, monkeypatch, what):
    """Its answers become durable once, and its session is what it was."""
    line = Line(postgres.server().folder)
    monkeypatch.setenv(URL_NAME, line.url())
    carrier = shared.join()
    carrier.bear_outages(30)
    lease = shared.take(carrier)
    settling, answers = begun(shared, carrier, lease, CHUNK)
    for answer in answers:
        line.lose(what, 0)
        settling.apply([answer])
        assert not line.is_armed
    for step in (
        lambda: carrier.again(lambda: carrier.renew(4, {})),
        lambda: carrier.note("anything", resource="x"),
        lambda: carrier.give_back(lease),
    ):
        line.lose(what, 2)
        step()
        assert not line.is_armed
    idle = carrier._driver.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    carrier.leave({})
    line.close()

    assert idle == ("1min",)
    assert shared.states() == {"tokenized": CHUNK, "planned": ROWS - CHUNK}
    assert [s.state for s in shared.coordinator.look().sessions] == ["left"]
    assert len(shared.trail("anything")) == 1
    shared.builder.ledger.verify()


def test_a_carrier_whose_session_was_reaped_while_it_could_not_reach_the_server_learns_it(
    shared, monkeypatch
):
    """Its rows were taken over: what it knows of them is refused."""
    line = Line(postgres.server().folder)
    monkeypatch.setenv(URL_NAME, line.url())
    carrier = shared.join()
    carrier.bear_outages(30)
    settling, answers = begun(shared, carrier, shared.take(carrier))
    line.drop()
    shared.expire(carrier)
    shared.coordinator.look()
    with pytest.raises(LocalStorageFailed, match="its rows were taken over"):
        settling.apply(answers)
    line.close()


def test_a_carrier_breaks_off_a_connection_whose_server_says_nothing(shared, monkeypatch):
    """Whoever waits there is woken, connects again and asks anew."""
    line = Line(postgres.server().folder)
    monkeypatch.setenv(URL_NAME, line.url())
    carrier = shared.join()
    carrier.bear_outages(30)
    line.freeze()
    renewed = []
    waiting = threading.Thread(
        target=lambda: renewed.append(carrier.again(lambda: carrier.renew(4, {})))
    )
    waiting.start()
    waiting.join(0.2)
    assert not renewed
    # What stood still stays so; only what connects from now on goes on.
    line.mend()
    carrier.break_off()
    waiting.join()
    carrier.leave({})
    line.close()

    assert renewed[0].slots == C


def test_a_carrier_that_reads_a_large_file_for_longer_than_a_term_keeps_its_session(shared):
    """Before it takes its first chunk it proves that it has the run's exports, however long they are."""
    carrier = shared.join()
    job = JOB._replace(term_ms=60)

    def expires():
        with psycopg.connect(postgres.server().url()) as other:
            other.execute(f'SET search_path = "{ledger_url(shared.folder).schema}"')
            return other.execute("SELECT expires_ms FROM sessions").fetchone()

    def read():
        seen = {expires()}
        while len(seen) < 3:
            seen.add(expires())
        return len(seen)

    assert renewing(carrier, job, read) == 3
    shared.expire(carrier)
    shared.coordinator.look()
    is_over = threading.Event()
    with pytest.raises(LocalStorageFailed, match="its rows were taken over"):
        renewing(carrier, job, is_over.wait)
    is_over.set()


def test_after_its_server_was_away_every_session_has_a_whole_term(shared):
    """None could renew meanwhile, and each may know answers; only then the silent ones are reaped."""
    silent = shared.join()
    begun(shared, silent, shared.take(silent))
    shared.expire(silent)
    with shared.builder.ledger.transaction() as connection:
        connection.execute(text("UPDATE jobs SET server_started_ms = 1, term_ms = 360000000000"))
    assert [s.state for s in shared.coordinator.look().sessions] == ["live"]
    with shared.builder.ledger.transaction() as connection:
        connection.execute(text("UPDATE jobs SET term_ms = 1"))
    assert [s.state for s in shared.coordinator.look().sessions] == ["reaped"]


def test_a_carrier_that_connects_before_its_run_does_waits_for_it(shared, monkeypatch):
    """A run that may be about to take its lock again is not gone."""
    line = Line(postgres.server().folder)
    monkeypatch.setenv(URL_NAME, line.url())
    carrier = shared.join()
    carrier.bear_outages(30)
    shared.builder.ledger._driver.close()
    # The server learns of it a moment later.
    wait_until(lambda: not carrier.is_held())
    assert carrier.export_to_carry() is None
    line.drop()
    found = carrier.again(carrier.export_to_carry)
    shared.builder.clock.step(61)
    later = carrier.export_to_carry()
    line.close()

    assert (found, later) == (shared.export.id, None)


def test_a_carrier_that_stops_in_the_middle_of_a_write_does_not_keep_its_session(shared):
    """The server ends a transaction that is idle for longer than a term, and undoes it."""
    frozen = shared.join()
    with frozen.reading() as connection:
        told = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()

    assert told == "1min"


@pytest.mark.parametrize("table", ["sessions", "jobs"])
def test_a_carrier_that_stops_between_statements_sent_together_is_waited_for_no_longer_than_a_term(
    shared, table
):
    """The server would wait for the rest of them without an end, and all others for the server."""
    frozen = shared.join()
    _, answers = begun(shared, frozen, shared.take(frozen))
    with shared.builder.ledger.transaction() as connection:
        connection.execute(text("UPDATE jobs SET term_ms = 500"))
    shared.expire(frozen)
    with suppress(psycopg.OperationalError), frozen._driver.pipeline():
        frozen._driver.execute("BEGIN")
        frozen._driver.execute(f"SELECT FROM {table} FOR UPDATE")
        frozen._driver.pgconn.flush()
        wait_until(lambda: shared.is_locked(table))
        wait_until(lambda: [s.state for s in shared.coordinator.look().sessions] == ["reaped"])

    assert shared.states() == {"ambiguous": len(answers), "planned": ROWS - len(answers)}


def test_slots_of_all_carriers_never_exceed_c_whoever_comes_and_goes(shared):
    """A newcomer has none until the others gave up theirs; who leaves or dies frees them."""
    first = shared.join()
    assert first.renew(8, {})[:2] == (8, 8)
    second = shared.join(renewed=False)

    assert second.renew(0, {})[:2] == (0, 4)
    # Told to use no more than four, it still holds what it was given before.
    assert first.renew(8, {})[:2] == (8, 4)
    assert second.renew(0, {})[:2] == (0, 4)
    assert first.renew(4, {})[:2] == (4, 4)
    assert second.renew(0, {})[:2] == (4, 4)
    third = shared.join(renewed=False)
    assert third.renew(0, {})[:2] == (0, 2)
    shared.expire(second)
    first.renew(4, {})
    assert third.renew(0, {})[:2] == (4, 4)
    first.leave({})
    assert third.renew(4, {})[:2] == (8, 8)
    # What nobody granted cannot be held.
    assert third.renew(99, {}).slots == 8


def test_where_the_vault_refuses_and_one_carrier_could_do_it_the_others_stand_by(shared):
    """Each that looks for a hidden limit meets it by itself; at a rate that one cannot do all send."""
    first, second = shared.join(), shared.join()
    first.renew(4, {}, None)
    second.renew(0, {}, None)
    assert second.renew(4, {}, None)[:2] == (4, 4)
    assert second.renew(4, {}, 40.0)[:2] == (4, 0)
    assert first.renew(4, {}, None)[:2] == (4, 8)
    assert second.renew(0, {}, 40.0)[:2] == (0, 0)
    assert first.renew(4, {}, None)[:2] == (8, 8)
    assert first.renew(8, {}, 80.0)[:2] == (8, 8)
    # It bears more than one can send: the other is needed.
    assert first.renew(8, {}, 900.0)[:2] == (8, 4)
    assert first.renew(4, {}, 900.0)[:2] == (4, 4)
    # Nobody is refused any more, and who stood by has forgotten that it ever was.
    assert second.renew(0, {}, None)[:2] == (4, 4)
    assert first.renew(4, {}, None)[:2] == (4, 4)


def test_a_carrier_that_still_reads_its_exports_has_no_part_yet(shared):
    """The others keep its slots until it can use them."""
    first, second = shared.join(), shared.join(renewed=False)

    assert second.renew(0, None)[:2] == (0, 0)
    assert first.renew(8, {})[:2] == (8, 8)
    assert second.renew(0, {})[:2] == (0, 4)
    assert first.renew(4, {})[:2] == (4, 4)
    assert second.renew(0, {})[:2] == (4, 4)


def test_who_stands_by_hears_what_the_sender_finds_and_begins_with_it_in_its_place(shared):
    """The others still stand by then: no limit is forgotten with the carrier that found it."""
    first, second, third = shared.join(), shared.join(), shared.join()
    first.renew(8, {}, 20.0)

    heard = [carrier.renew(0, {}).good_per_s for carrier in (second, third)]
    for carrier in (second, third):
        carrier.renew(0, {}, 20.0)
    first.leave({})

    assert heard == [20.0, 20.0]
    assert third.renew(0, {}, 20.0)[:2] == (0, 0)
    assert second.renew(0, {}, 20.0)[:2] == (8, 8)


def test_who_has_nothing_left_to_send_makes_way_for_one_that_stands_by_with_rows(shared):
    """Or the rows of its chunk would wait for ever, and the run would have no end."""
    first, second = shared.join(), shared.join()
    lease = shared.take(second)
    others = [shared.take(first) for _ in range(ROWS // CHUNK - 1)]
    first.renew(8, {}, 20.0)
    before = second.renew(0, {}, 20.0)[:2]
    for other in others:
        settling, answers = begun(shared, first, other, CHUNK)
        settling.apply(answers)
        assert first.give_back(other)

    assert before == (0, 0)
    assert first.renew(8, {}, 20.0)[:2] == (8, 0)
    assert first.renew(0, {}, 20.0)[:2] == (0, 0)
    assert second.renew(0, {}, 20.0)[:2] == (8, 8)
    settling, answers = begun(shared, second, lease, CHUNK)
    settling.apply(answers)
    assert second.give_back(lease)
    # Nobody has any: the first learns that all is done.
    assert second.renew(0, {}, 20.0)[:2] == (0, 0)
    assert first.renew(0, {}, 20.0)[:2] == (8, 8)


def test_fair_shares_add_up_to_c_and_those_beyond_it_stand_by():
    """Whatever C and however many carriers."""
    for c in (1, 3, 8, 100):
        for carriers in (1, 2, 7, 20):
            shares = [fair_share(c, carriers, rank) for rank in range(carriers)]
            assert sum(shares) == c
            assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ({"version": "1.1"}, "Cardferry 1.1"),
        ({"digest": "00" * 32}, "differ from those of the run"),
    ],
)
def test_a_carrier_of_another_version_or_with_other_settings_is_refused(shared, other, wrong):
    """It would judge or send rows otherwise than the rest."""
    with pytest.raises(SettingsRefused, match=wrong):
        shared.join(**other)

    assert shared.coordinator.look().sessions == []


def test_nobody_joins_when_the_work_is_over_or_its_run_is_gone(shared):
    """A carrier that comes too late does nothing, and neither does one whose run has died."""
    carrier = shared.join()
    shared.coordinator.end()
    assert carrier.renew(8, {}).is_over
    assert shared.take(carrier) is None
    with pytest.raises(LocalStorageFailed, match="no run hands out rows"):
        shared.join()
    shared.coordinator.begin(JOB, [shared.export.id], CHUNK)
    # As when its machine is gone.
    shared.builder.ledger._driver.close()
    wait_until(lambda: not carrier.is_held())
    with pytest.raises(LocalStorageFailed, match="no run hands out rows"):
        shared.join()


def test_a_later_export_waits_until_every_chunk_of_the_earlier_is_done(shared):
    """Which of two rows with one legacy id is sent depends on how the earlier one ends."""
    later = shared.builder.plan("later.csv", CHUNK, first=100)
    shared.coordinator.begin(JOB, [shared.export.id, later.id], CHUNK)
    carrier = shared.join()
    assert carrier.take(later.id, 0) is None
    while lease := shared.take(carrier):
        settling, answers = begun(shared, carrier, lease, CHUNK)
        settling.apply(answers)
        carrier.give_back(lease)

    assert carrier.export_to_carry() == later.id
    assert carrier.take(later.id, 0).export_id == later.id


def test_a_chunk_with_rows_left_is_free_again_but_not_for_ever(shared):
    """Else rows that nobody can carry now would keep every carrier busy."""
    carrier = shared.join()
    passes = 0
    while (lease := shared.take(carrier)) and lease.first_id == shared.export.first_id + 1:
        carrier.give_back(lease)
        passes += 1
    waiting = shared.take(carrier)
    carrier.give_back(waiting, waits=True)

    assert passes == 20
    assert carrier.has_free()
    assert shared.coordinator.look().progress.done == 1


def test_a_customer_has_one_owner_across_carriers(shared):
    """The second waits until the first has no card of it any more."""
    with shared.builder.ledger.transaction() as connection:
        for number in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO customers (id, legacy_customer_id, state) "
                    "VALUES (:id, :key, 'wanted')"
                ),
                {"id": number, "key": str(number)},
            )
            connection.execute(
                text("UPDATE rows SET customer = :id WHERE id % 2 = :rest AND id % 10000 <= 6"),
                {"id": number, "rest": number % 2},
            )
    first, second = shared.join(), shared.join()
    lease, other = shared.take(first), shared.take(second)

    assert first.own([1]) == {1: True}
    assert first.own([1]) == {1: False}
    assert second.own([1, 2]) == {2: True}
    assert second.give_back(other)
    assert first.own([1, 2]) == {1: False, 2: True}
    assert first.give_back(lease)
    assert second.own([1, 2]) == {1: True, 2: True}


def test_a_later_run_lets_the_carriers_of_an_earlier_one_leave_first(shared):
    """It asks them to, waits, and reaps those that stay silent; nobody is written over."""
    leaving, silent = shared.join(), shared.join()
    lease = shared.take(leaving)
    settling, answers = begun(shared, leaving, lease)
    begun(shared, silent, shared.take(silent))
    shared.builder.ledger._driver.close()
    took = []

    def take_over():
        with closing(Ledger(ledger_url(shared.folder), StepClock(), waits=Waits(60))) as ledger:
            later = Builder(ledger, StepClock())
            later.begin("run-2")
            with ledger.look() as look:
                states = look.by_state()
            took.append((states, [event["event"] for event in events_of(ledger)]))

    taking = threading.Thread(target=take_over)
    taking.start()
    while not leaving.renew(4, {}).is_over:
        time.sleep(0.01)
    settling.apply(answers)
    leaving.leave({})
    with psycopg.connect(postgres.server().url(), autocommit=True) as other:
        other.execute(f'SET search_path = "{ledger_url(shared.folder).schema}"')
        other.execute("UPDATE sessions SET expires_ms = 1 WHERE id = 2")
    taking.join()

    ((states, kinds),) = took
    assert (states["tokenized"], states["ambiguous"], states["planned"]) == (3, 3, ROWS - 6)
    assert {"carrier_left", "carrier_reaped"} <= set(kinds)


def test_numbers_of_sessions_and_attempts_are_never_given_again(shared):
    """A carrier that was forgotten for days must not write in the name of a later one."""
    first = shared.join()
    lease = shared.take(first)
    settling, answers = begun(shared, first, lease)
    settling.apply(answers)
    first.leave({})
    shared.coordinator.begin(JOB, [shared.export.id], CHUNK)
    second = shared.join()

    assert (first.session, second.session) == (1, 2)
    assert shared.take(second).first_attempt > max(a.attempt_id for a in answers)
    with pytest.raises(LocalStorageFailed):
        first.note("anything", resource="x")


def test_a_ledger_in_sqlite_has_no_carriers(tmp_path):
    """It is refused in words, before anything is sent."""
    builder = new_builder(tmp_path)
    with pytest.raises(SettingsRefused, match="need a ledger in PostgreSQL"):
        Coordinator(builder.ledger)

    assert carriers_state(builder.ledger) is None
    builder.ledger.close()
