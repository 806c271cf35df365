"""Several carriers over one ledger in PostgreSQL: killed, frozen, joined and left, every row once."""

import os
import signal
import time

import pytest

from pipeline.ledger.last_close import NOTE_NAME
from tests.support import postgres
from tests.support.carriers import CHUNK, CUSTOMERS, IN_FLIGHT, SHORT_TERM_S, Shared, ended
from tests.support.commands import cardferry
from tests.support.crash import zygote
from tests.support.ledgers import URL_NAME
from tests.support.sandbox import running


@pytest.fixture(autouse=True)
def database(monkeypatch):
    """A database of the test's own, named by the environment."""
    url = postgres.server().database("carriers")
    # What commands are forked from publishes a ledger of its own as it starts, in its folder.
    zygote()
    monkeypatch.setenv(URL_NAME, url)


def test_carriers_carry_every_row_once_and_put_every_card_on_its_one_customer(tmp_path):
    """The trail and `status` tell of them, and the run's figures are the sums of theirs."""
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        shared = Shared(tmp_path, vault)
        run = shared.started()
        shared.wait_for_tokens(20, run)
        third = shared.joining()
        ended(run, 0)
        # It may come when all is done.
        ended(third, 0, 5)
        # What carriers wrote is the run's own.
        assert (shared.out / NOTE_NAME).exists()
        shared.assert_every_row_once(0)
        customers = {e["on"] for e in vault.entries() if "on" in e}
    status, count = shared.status(), 3 if third.returncode == 0 else 2
    sessions = status["carriers"]["sessions"]

    assert len(customers) == shared.customers
    assert status["carriers"]["chunks"] == {"all": 10, "done": 10, "taken": 0, "free": 0}
    assert [s["state"] for s in sessions] == ["left"] * count
    assert sum(s["sent"] for s in sessions) == 200
    assert status["last_run"]["statistics"]["sent"] == 200
    told = shared.told("carrier_joined", "carrier_left")
    assert told == {"carrier_joined": count, "carrier_left": count}


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_a_carrier_that_is_lost_costs_no_row(tmp_path, fate):
    """Its chunks go to others after its term; what it does later, if it wakes up, is refused."""
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        shared = Shared(tmp_path, vault, term_s=SHORT_TERM_S)
        run = shared.started()
        shared.wait_for_tokens(40, run)
        (victim, *_) = shared.carriers("live")
        os.kill(victim, signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
        if fate == "frozen":
            while victim not in shared.carriers("reaped"):
                assert run.poll() is None
                time.sleep(0.05)
            os.kill(victim, signal.SIGCONT)
        ended(run, 0)
        # On a machine that stands still for a while others may be given up as well.
        reaped = shared.told("carrier_reaped")["carrier_reaped"]
        assert reaped
        shared.assert_every_row_once(IN_FLIGHT * reaped)


@pytest.mark.slow
def test_carriers_of_a_run_that_died_finish_and_leave_and_the_next_run_goes_on(tmp_path):
    """They carry what they have taken; nothing more is taken, and no row is lost."""
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        shared = Shared(tmp_path, vault)
        run = shared.started(carriers=0)
        while not (shared.out / "ledger.json").exists():
            assert run.poll() is None
            time.sleep(0.05)
        carrier = None
        while carrier is None or carrier.poll() == 5:
            # Until the run hands rows out there is nothing to join.
            carrier = shared.joining()
            time.sleep(0.2)
            while not shared.made() and carrier.poll() is None:
                time.sleep(0.05)
        shared.wait_for_tokens(10, run)
        run.send_signal(signal.SIGKILL)
        run.wait()
        ended(carrier, 0)
        left = shared.made().total()
        cardferry(*shared.words)
        shared.assert_every_row_once(0)

    assert left % CHUNK == 0
    assert 0 < left < 200


@pytest.mark.slow
def test_carriers_go_on_by_themselves_once_their_server_is_back(tmp_path):
    """Stopped at once, as by a crash: no term is over, every answer is known, nothing is in doubt."""
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        shared = Shared(tmp_path, vault)
        run = shared.started()
        shared.wait_for_tokens(40, run)
        postgres.server().stop()
        time.sleep(1)
        sent = shared.made().total()
        postgres.server().start()
        ended(run, 0)
        shared.assert_every_row_once(0)

    assert sent < shared.rows
    assert {session["state"] for session in shared.status()["carriers"]["sessions"]} == {"left"}
    assert shared.told("carrier_joined", "carrier_reaped") == {"carrier_joined": 2}


@pytest.mark.slow
def test_a_server_that_stays_away_from_carriers_costs_no_row(tmp_path):
    """Run and carriers end, nobody sends without it, and the same command goes on."""
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        shared = Shared(tmp_path, vault, outage_max_s=1, term_s=SHORT_TERM_S)
        run = shared.started()
        shared.wait_for_tokens(40, run)
        postgres.server().stop()
        try:
            ended(run, 5)
        finally:
            postgres.server().start()
        sent = shared.made().total()
        cardferry(*shared.words, "--carriers", 1)
        shared.assert_every_row_once(IN_FLIGHT)

    assert sent < shared.rows


@pytest.mark.slow
def test_a_stopping_signal_drains_every_carrier_and_nothing_is_in_doubt(tmp_path):
    """The run ends with 143; its carriers have left before, and the same command goes on."""
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        shared = Shared(tmp_path, vault)
        run = shared.started()
        shared.wait_for_tokens(40, run)
        run.send_signal(signal.SIGTERM)
        ended(run, 143)
        told = shared.status()
        cardferry(*shared.words)
        shared.assert_every_row_once(0)

    assert {session["state"] for session in told["carriers"]["sessions"]} == {"left"}
    assert (told["states"]["sent"], told["states"]["ambiguous"]) == (0, 0)
    assert told["states"]["planned"] > 0


@pytest.mark.slow
def test_retry_hands_held_rows_out_to_carriers(tmp_path):
    """As a run does: the rows whose answers were lost are sent by a carrier, and no others."""
    with running(journal=tmp_path / "journal", faults="..D..D..", api_faults=".") as vault:
        shared = Shared(tmp_path, vault, CUSTOMERS)
        hold = ("--set", 'flow.on_ambiguous="hold"')
        cardferry(*shared.words, *hold, code=3)
        held = shared.status()["states"]["held"]
        again = ("retry", shared.out, shared.words[1], *shared.given, *hold, "--held")
        limited = cardferry(*again, "--carriers", 1, "--limit", 1, code=2)
        cardferry(*again, "--carriers", 1)
        shared.assert_every_row_once(held)

    assert held == 2
    assert "--limit does not go with --carriers" in limited.err
    assert shared.told("carrier_joined") == {"carrier_joined": 1}


def test_carriers_over_a_ledger_in_sqlite_are_refused_before_anything_is_sent(
    tmp_path, monkeypatch
):
    """Only one process may write to it: exit code 7, for the run and for a carrier."""
    monkeypatch.delenv(URL_NAME)
    with running(journal=tmp_path / "journal") as vault:
        shared = Shared(tmp_path, vault, 20)
        refused = cardferry(*shared.words, "--carriers", 2, code=7)
        alone = cardferry("carry", *shared.given, code=7)

        assert not shared.made()
    assert "several carriers need a ledger in PostgreSQL" in refused.err
    assert "carriers share a ledger in PostgreSQL" in alone.err
