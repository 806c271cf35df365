"""What may befall carriers, again and again at random instants of one migration.

Killed, frozen, cut off, their server or run gone. The vault's own journal judges: every row once,
second tokens at most C for each carrier that was given up, no more of them than the ledger says may
exist, every card on its customer.

CARDFERRY_INSTANTS (2) says how often it happens, and CARDFERRY_FAULT_ROWS (600) over how many rows;
from 10,000 on with more cards in flight, and a vault so slow that rows are left for the last time.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest

from pipeline.vault.flow.circuit_breaker import RUN_MAX
from tests.support import postgres
from tests.support.carriers import INSTANTS, SHORT_TERM_S, Shared, ended, struck_size
from tests.support.commands import cardferry, started
from tests.support.crash import zygote
from tests.support.ledgers import URL_NAME
from tests.support.postgres_line import Line
from tests.support.sandbox import running

SIZE = struck_size(600)
ROWS, IN_FLIGHT, CHUNK, LATENCY_S = SIZE
PATIENCE_S = SIZE.patience_s
DATABASE = "carrier_faults"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_S)]


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A migration over a database of its own, and a vault that takes its time."""
    url = postgres.server().database(DATABASE)
    # What commands are forked from publishes a ledger of its own as it starts, in its folder.
    zygote()
    monkeypatch.setenv(URL_NAME, url)
    with running(journal=tmp_path / "journal", latency_s=LATENCY_S) as vault:
        yield Shared(tmp_path, vault, ROWS, in_flight=IN_FLIGHT, chunk=CHUNK, term_s=SHORT_TERM_S)


def finished(shared, *, at_least=0):
    """Let the run end, and judge what it did; so many carriers have to have been given up."""
    ended(shared.run, 0, timeout=PATIENCE_S)
    given_up = shared.told("carrier_reaped")["carrier_reaped"]
    assert given_up >= at_least
    shared.assert_every_row_once(IN_FLIGHT * given_up)


@contextlib.contextmanager
def line_to(server):
    line = Line(server)
    try:
        yield line
    finally:
        line.close()


def test_carriers_that_are_killed(shared):
    """Their chunks go to others after their terms, and others are started in their place."""
    shared.start()
    for random in shared.instants(INSTANTS):
        os.kill(shared.wait_for_carrier(random), signal.SIGKILL)

    finished(shared, at_least=INSTANTS)


def test_carriers_that_stand_still_for_longer_than_their_term_and_wake_up(shared):
    """Zombies: whatever they have to say then is refused."""
    shared.start()
    for random in shared.instants(INSTANTS):
        victim = shared.wait_for_carrier(random)
        os.kill(victim, signal.SIGSTOP)
        try:
            shared.wait_until(victim, "reaped")
        finally:
            os.kill(victim, signal.SIGCONT)

    finished(shared, at_least=INSTANTS)


def test_a_run_that_is_killed(shared):
    """Its carriers finish their chunks and leave, and the same command goes on."""
    shared.start()
    for _ in shared.instants(INSTANTS):
        shared.run.kill()
        shared.run.wait()
        shared.start()

    finished(shared)


def test_a_server_that_is_stopped_at_once_and_started(shared):
    """Run and carriers connect again and go on; nothing is in doubt but of who was given up."""
    shared.start()
    for random in shared.instants(INSTANTS):
        postgres.server().stop()
        try:
            time.sleep(random.choice((0.1, 2, SHORT_TERM_S + 2)))
        finally:
            postgres.server().start()

    finished(shared)


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_carrier_that_is_cut_off_from_the_database(shared, how):
    """For longer than its term: others have its rows by then, and it learns that."""
    shared.start(carriers=1)
    shared.wait_for_tokens(5)
    with line_to(postgres.server().folder) as line:
        instants = shared.instants(INSTANTS)
        for _ in range(INSTANTS):
            apart = shared.joining({URL_NAME: line.url(DATABASE)})
            try:
                shared.wait_until(apart.pid, "live")
                next(instants)
                getattr(line, how)()
                shared.wait_until(apart.pid, "reaped")
                line.mend()
                # The run may be over before it learns that.
                ended(apart, 0, 5)
            finally:
                apart.kill()

        finished(shared, at_least=INSTANTS)


@pytest.mark.parametrize("lines", ["vault", "both"])
def test_a_carrier_that_is_cut_off_from_the_vault(shared, lines):
    """Alone, or from the database as well; the others carry everything.

    Whoever still has the database sends again what was lost, and holds what was lost twice: each of
    those may have made a second token. An operator has the held ones tried again.
    """
    _need_networks()
    port = int(shared.vault.base_url.rpartition(":")[2])
    shared.start(carriers=1)
    shared.wait_for_tokens(5)
    with line_to(postgres.server().folder) as line, line_to(port) as to_vault:
        apart = None
        try:
            instants = shared.instants(INSTANTS)
            for _ in range(INSTANTS):
                if apart is None or apart.poll() is not None:
                    apart = shared.joining_apart(to_vault.path, {URL_NAME: line.url(DATABASE)})
                    shared.wait_until(apart.pid, "live")
                next(instants)
                to_vault.cut()
                if lines == "both":
                    line.cut()
                time.sleep(SHORT_TERM_S + 2)
                line.mend()
                to_vault.mend()
            ended(shared.run, 0, 3, timeout=PATIENCE_S)
            apart.wait(PATIENCE_S)
        finally:
            if apart is not None:
                apart.kill()
    if shared.run.returncode == 3:
        cardferry("retry", shared.out, shared.words[1], *shared.given, "--held", timeout=600)
    given_up = shared.told("carrier_reaped")["carrier_reaped"]
    lost_max = IN_FLIGHT * (INSTANTS + given_up)
    # Each cut costs what was under way, and what is tried before the breaker opens.
    shared.assert_every_row_once(lost_max, lost_max + RUN_MAX * INSTANTS)


@pytest.mark.parametrize("carriers", [None, 2])
def test_a_standby_on_another_machine_takes_over(shared, tmp_path, carriers):
    """The one before is gone, with whatever it had started; the next one waited for that."""
    more = [] if carriers is None else ["--carriers", carriers]
    wait = ("--wait-lock", f"{PATIENCE_S}s", "-q")
    shared.run = started(*shared.words, *more, "-q")
    while not (shared.out / "ledger.json").exists():
        shared.assert_goes_on()
        time.sleep(0.05)
    folders = [tmp_path / f"standby-{number}" for number in range(INSTANTS)]
    instants = shared.instants(INSTANTS)
    for folder in folders:
        folder.mkdir(0o700)
        shutil.copy(shared.out / "ledger.json", folder)
        standby = started(*shared.words[:-1], folder, *more, *wait)
        next(instants)
        shared.assert_goes_on(standby)
        gone = [] if carriers is None else shared.carriers("live")
        for pid in (shared.run.pid, *gone):
            os.kill(pid, signal.SIGKILL)
        shared.run.wait()
        shared.run, shared.out = standby, folder
    ended(shared.run, 0, timeout=PATIENCE_S)

    shared.assert_every_row_once(IN_FLIGHT * INSTANTS)


def _need_networks():
    """Skip where this user may not make a network of its own."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare or ip is not installed")
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may make no network of its own")
