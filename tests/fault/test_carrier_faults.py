"""What may befall carriers, each at random instants: killed, frozen, cut off, their server or run gone.

The vault's own journal judges: every row once, second tokens at most C for each carrier that was
given up, no more of them than the ledger says may exist, every card on its customer.

CARDFERRY_FAULT_REPEATS (3) and CARDFERRY_FAULT_ROWS (1000) say how often, and over how many rows.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from random import Random

import pytest

from tests.support import postgres
from tests.support.carriers import IN_FLIGHT, TERM_S, Shared, ended
from tests.support.commands import started
from tests.support.crash import zygote
from tests.support.ledgers import URL_NAME
from tests.support.postgres_line import Line
from tests.support.sandbox import running

REPEATS = int(os.environ.get("CARDFERRY_FAULT_REPEATS", "3"))
ROWS = int(os.environ.get("CARDFERRY_FAULT_ROWS", "1000"))
PATIENCE_S = 300 + ROWS
DATABASE = "carrier_faults"

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("seed", range(REPEATS))]


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A migration over a database of its own, and a vault that takes a tenth of a second."""
    url = postgres.server().database(DATABASE)
    # What commands are forked from publishes a ledger of its own as it starts, in its folder.
    zygote()
    monkeypatch.setenv(URL_NAME, url)
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        yield Shared(tmp_path, vault, ROWS)


def instant(seed):
    """Give at how many tokens it happens: neither before the first nor after the last chunks."""
    return Random(seed).randrange(10, ROWS * 3 // 4)


def finished(shared, run, *codes):
    """Let a run end, and judge what it did."""
    ended(run, *(codes or (0,)), timeout=PATIENCE_S)
    if codes and run.returncode:
        ended(shared.started(), 0, timeout=PATIENCE_S)
    given_up = shared.told("carrier_reaped")["carrier_reaped"]
    # Each that was given up had its share of C; so had the run that was gone.
    shared.assert_every_row_once(IN_FLIGHT * max(1, given_up))
    return given_up


def wait_until_reaped(shared, run, pid):
    while pid not in shared.carriers("reaped"):
        assert run.poll() is None
        time.sleep(0.1)


@contextlib.contextmanager
def line_to(server):
    line = Line(server)
    try:
        yield line
    finally:
        line.close()


def test_a_carrier_that_is_killed(shared, seed):
    """Its chunks go to the others after its term."""
    run = shared.started()
    shared.wait_for_tokens(instant(seed), run)
    os.kill(Random(seed).choice(shared.carriers("live")), signal.SIGKILL)

    assert finished(shared, run) >= 1


def test_a_carrier_that_stands_still_for_longer_than_its_term_and_wakes_up(shared, seed):
    """A zombie: whatever it has to say then is refused."""
    run = shared.started()
    shared.wait_for_tokens(instant(seed), run)
    victim = Random(seed).choice(shared.carriers("live"))
    os.kill(victim, signal.SIGSTOP)
    wait_until_reaped(shared, run, victim)
    os.kill(victim, signal.SIGCONT)

    assert finished(shared, run) >= 1


def test_a_run_that_is_killed(shared, seed):
    """Its carriers finish their chunks and leave, and the same command goes on."""
    run = shared.started()
    shared.wait_for_tokens(instant(seed), run)
    run.kill()
    run.wait()
    ended(shared.started(), 0, timeout=PATIENCE_S)
    shared.assert_every_row_once(IN_FLIGHT)


def test_a_server_that_is_stopped_at_once_and_started(shared, seed):
    """Run and carriers connect again and go on; nothing is in doubt but who was given up."""
    run = shared.started()
    shared.wait_for_tokens(instant(seed), run)
    postgres.server().stop()
    time.sleep(Random(seed).choice((0.1, 2, TERM_S + 2)))
    postgres.server().start()
    given_up = finished(shared, run)
    if not given_up:
        shared.assert_every_row_once(0)


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_carrier_that_is_cut_off_from_the_database(shared, seed, how):
    """For longer than its term: others have its rows by then, and it learns that."""
    with line_to(postgres.server().folder) as line:
        run = shared.started(carriers=1)
        shared.wait_for_tokens(5, run)
        apart = shared.joining({URL_NAME: line.url(DATABASE)})
        try:
            shared.wait_for_tokens(max(20, instant(seed)), run)
            getattr(line, how)()
            if apart.pid in shared.carriers("live"):
                wait_until_reaped(shared, run, apart.pid)
            line.mend()
            finished(shared, run)
            ended(apart, 0, 5)
        finally:
            apart.kill()


@pytest.mark.parametrize("lines", ["vault", "both"])
def test_a_carrier_that_is_cut_off_from_the_vault(shared, seed, lines):
    """Alone, or from the database as well; the others carry everything."""
    _need_networks()
    port = int(shared.vault.base_url.rpartition(":")[2])
    with line_to(postgres.server().folder) as line, line_to(port) as to_vault:
        run = shared.started(carriers=1)
        shared.wait_for_tokens(5, run)
        apart = shared.joining_apart(to_vault.path, {URL_NAME: line.url(DATABASE)})
        try:
            shared.wait_for_tokens(max(20, instant(seed)), run)
            to_vault.cut()
            if lines == "both":
                line.cut()
            time.sleep(TERM_S + 2)
            line.mend()
            to_vault.mend()
            finished(shared, run)
            apart.wait(PATIENCE_S)
        finally:
            apart.kill()


@pytest.mark.parametrize("carriers", [None, 2])
def test_a_standby_on_another_machine_takes_over(shared, seed, tmp_path, carriers):
    """The first one is gone, and with it whatever it had started; the second one waited for that."""
    more = [] if carriers is None else ["--carriers", carriers]
    run = started(*shared.words, *more, "-q")
    standby = tmp_path / "standby"
    standby.mkdir(0o700)
    while not (shared.out / "ledger.json").exists():
        assert run.poll() is None
        time.sleep(0.05)
    shutil.copy(shared.out / "ledger.json", standby)
    second = started(*shared.words[:-1], standby, *more, "--wait-lock", f"{PATIENCE_S}s", "-q")
    shared.wait_for_tokens(instant(seed), run)
    assert second.poll() is None
    gone = [] if carriers is None else shared.carriers("live")
    for pid in (run.pid, *gone):
        os.kill(pid, signal.SIGKILL)
    run.wait()
    ended(second, 0, timeout=PATIENCE_S)
    shared.out = standby
    shared.assert_every_row_once(IN_FLIGHT)


def _need_networks():
    """Skip where this user may not make a network of its own."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare or ip is not installed")
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may make no network of its own")
