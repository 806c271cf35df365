"""Carriers that a Dask cluster starts: over TLS, with keys of their own, whoever is killed, every row once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import trustme

from pipeline.clock import SystemClock
from pipeline.cluster.carrier_task import LOG_NAME, WORDS_NAME
from pipeline.migration.status import status_of
from tests.support import postgres
from tests.support.carriers import (
    CUSTOMERS,
    INSTANTS,
    SHORT_TERM_S,
    TERM_S,
    Size,
    Struck,
    ended,
    struck_size,
)
from tests.support.commands import ROOT, cardferry, rows_csv, sealed
from tests.support.crash import wait_until
from tests.support.dask_cluster import certify, cluster
from tests.support.exports import keyring
from tests.support.sampled import slow
from tests.support.sandbox import running

SMALL = Size(rows=160, in_flight=8, chunk=10, latency_s=0.05)
STRUCK = struck_size(600)
slow_vault = pytest.mark.parametrize("clustered", [SMALL._replace(latency_s=0.3)], indirect=True)
"""Leaves time to stop somebody in the middle."""


class Clustered(Struck):
    """A migration whose run has its own settings, and whose workers have others that mean the same.

    The keys, the export and the ledger's URL are named by other variables and paths on each side.
    """

    def __init__(self, folder, vault, size):
        super().__init__(vault, size.rows)
        self.folder, self.out, self.size = folder, folder / "out", size
        self.customers = max(CUSTOMERS, size.rows // 25)
        self.term_s, self.carriers = TERM_S, 2
        self.secrets = {
            "LEDGER": postgres.server().database("cluster"),
            "PUBLIC": vault.public_key,
            "SECRET": vault.secret_key,
        }
        lines = rows_csv(size.rows).decode().splitlines()
        plain = [lines[0]]
        plain += [
            f"{line.rpartition(',')[0]},cus-{n % self.customers}"
            for n, line in enumerate(lines[1:])
        ]
        self.cards = [line.split(",") for line in plain[1:]]
        self.export = sealed(folder, "\n".join([*plain, ""]).encode())
        self.of_workers = folder / "worker"
        self.of_workers.mkdir()
        (self.of_workers / self.export.name).write_bytes(self.export.read_bytes())

    def environment(self, side):
        return {f"{side}_{name}": value for name, value in self.secrets.items()}

    def settings_of(self, side, folder, *lines):
        """Write the settings of the run, or of its workers."""
        key = folder / "own.key"
        key.write_bytes(keyring().secret("cv25519").read_bytes())
        key.chmod(0o600)
        text = [
            "[vault]",
            f'url = "{self.vault.base_url}"',
            f'public_key = {{ env = "{side}_PUBLIC" }}',
            "[export]",
            'key = { file = "own.key" }',
            'carry = ["legacy_customer_id"]',
            "[export.columns]",
            'customer = "legacy_customer_id"',
            "[flow]",
            f"chunk_rows = {self.size.chunk}",
            f"in_flight_max = {self.size.in_flight}",
            "rate_per_s = 100000",
            "[attach]",
            f'url = "{self.vault.base_url}"',
            f'secret_key = {{ env = "{side}_SECRET" }}',
            "rate_per_s = 100000",
            "[ledger]",
            f'url = {{ env = "{side}_LEDGER" }}',
            f"session_s = {self.term_s}",
            *lines,
        ]
        path = folder / f"{side.lower()}.toml"
        path.write_text("\n".join(text), "utf-8")
        return path

    def cluster(self, *lines, workers=2):
        """Give the cluster; its workers know nothing of the run's side."""
        config = self.settings_of("WORKER", self.of_workers, *lines)
        words = f"-c {config} {self.of_workers}"
        environment = {WORDS_NAME: words, **self.environment("WORKER")}
        return cluster(self.folder / "cluster", environment, workers)

    def words(self, made, *more):
        config = self.settings_of("RUN", self.folder, *made.settings, f"carriers = {self.carriers}")
        return ("run", self.export, "-c", config, "-o", self.out, *more)

    def carry(self, made, *more, code=0):
        """Run to the end."""
        return cardferry(*self.words(made, *more), code=code)

    def start(self, made):
        """Start the run and go on at once."""
        said = (self.folder / "run.txt").open("ab")
        with said:
            self.run = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *map(str, self.words(made))],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def status(self):
        return status_of(self.out, SystemClock())

    def pids(self, state="live"):
        """Give the process numbers of the carriers in a state."""
        told = self.status()["carriers"]["sessions"]
        return [int(s["origin"].rpartition(":")[2]) for s in told if s["state"] == state]

    def assert_every_row_once(self, doubled_max=0):
        """By the vault's own journal, by what was published, and by what the vault holds."""
        made, status = self.made(), self.status()
        mapped = pq.read_table(self.out / "mapping.parquet").to_pylist()
        assert [(row["legacy_id"], row["last_digits"]) for row in mapped] == [
            (card[0], card[2][-4:]) for card in self.cards
        ]
        assert len({row["token_id"] for row in mapped}) == len(made) == self.rows
        assert len({row["card_id"] for row in mapped}) == self.rows
        assert len({row["customer_id"] for row in mapped}) == self.customers
        assert self.rows <= made.total() <= self.rows + doubled_max
        assert made.total() - self.rows <= status["unseen_tokens_max"] <= doubled_max
        cardferry("verify", self.out, timeout=120 + self.rows // 50)


def parent(pid):
    """Give the process number of a process's parent; None if that is gone."""
    try:
        return int(Path("/proc", str(pid), "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return None


@pytest.fixture
def clustered(tmp_path, monkeypatch, request):
    size = getattr(request, "param", SMALL)
    with running(journal=tmp_path / "journal", latency_s=size.latency_s) as vault:
        made = Clustered(tmp_path, vault, size)
        for name, value in made.environment("RUN").items():
            # Only this side is told; the cluster's processes begin with an environment of their own.
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.parametrize("workers", [1, slow(2)])
def test_a_cluster_carries_every_row_once_with_keys_of_its_own(clustered, workers):
    """Nothing of the run's keys, paths or settings is known to a worker, and its log holds no number.

    One worker by default: `test_carriers` has several carriers over one ledger.
    """
    clustered.carriers = workers
    with clustered.cluster(workers=workers) as made:
        done = clustered.carry(made, "--json")
        clustered.assert_every_row_once()
        logs = list(made.folder.rglob(LOG_NAME))
        told = "".join(path.read_text("utf-8") for path in logs)
        cardferry("scan", made.folder)
    status = clustered.status()

    assert done.json["this_run"]["sent"] >= clustered.rows
    assert {s["state"] for s in status["carriers"]["sessions"]} == {"left"}
    assert sum(s["sent"] for s in status["carriers"]["sessions"]) == clustered.rows
    assert told.count("carrier joined") == len(status["carriers"]["sessions"])
    assert clustered.secrets["SECRET"] not in told


@pytest.mark.slow
def test_a_run_whose_carriers_are_refused_says_what_their_machines_lack(clustered):
    """A worker of other settings carries nothing; the run ends and repeats what the carrier said."""
    with clustered.cluster("[rules]", 'expired = "tokenize"', workers=1) as made:
        done = clustered.carry(made, code=5)

    assert "vault, export columns, rules or attach differ from those of the run" in done.err
    assert not clustered.made()


@pytest.mark.slow
def test_a_scheduler_of_another_authority_or_none_is_refused_before_a_card_is_sent(clustered):
    """Certificates are settings (7); a scheduler that does not answer is trouble that may pass (5)."""
    with clustered.cluster(workers=0) as made:
        ours = made.files
        made.files = certify(trustme.CA(), clustered.folder / "other", "other")
        refused = clustered.carry(made, code=7)
        told = cardferry(
            "doctor",
            *clustered.words(made)[2:4],
            "-o",
            clustered.out,
            code=7,
        )
        made.files = ours
        made.scheduler.kill()
        made.scheduler.wait()
        missed = clustered.carry(made, code=5)

    assert "do not trust one another's certificates" in refused.err
    assert "do not trust one another's certificates" in told.out
    assert "the Dask scheduler that cluster.address names does not answer" in missed.err
    assert not clustered.made()


@pytest.mark.slow
@pytest.mark.timeout(3 * STRUCK.patience_s)
@pytest.mark.parametrize("clustered", [STRUCK], indirect=True)
@pytest.mark.parametrize("fate", ["worker", "worker and carrier", "scheduler", "run"])
def test_whoever_is_killed_again_and_again_every_row_is_sent_once(clustered, fate):
    """The same command goes on, and no more than C tokens a lost carrier are doubled.

    CARDFERRY_INSTANTS (2) says how often, CARDFERRY_FAULT_ROWS (600) over how many rows.
    """
    if fate == "worker and carrier":
        clustered.term_s = SHORT_TERM_S
    with clustered.cluster() as made:
        clustered.start(made)
        for random in clustered.instants(INSTANTS):
            _FATES[fate](clustered, made, random)
        ended(clustered.run, 0, timeout=STRUCK.patience_s)
    reaped = len(clustered.pids("reaped"))
    assert reaped >= (INSTANTS if fate == "worker and carrier" else 0)
    # Whoever only lost what started it finishes its chunk and leaves.
    clustered.assert_every_row_once(0 if fate == "run" else STRUCK.in_flight * reaped)


def _kill_worker(clustered, made, random):
    """Kill one of the workers that are there; its carrier lives on until its chunk is done."""
    del clustered
    _replaced(made, random.choice([one for one in made.workers if one.poll() is None]))


def _kill_worker_and_carrier(clustered, made, random):
    """Kill a carrier that nothing befell yet, together with the worker that started it."""
    while not (pairs := _carriers_of(made, clustered.pids())):
        clustered.assert_goes_on()
        time.sleep(0.1)
    pid, worker = random.choice(pairs)
    os.kill(pid, signal.SIGKILL)
    _replaced(made, worker)


def _kill_scheduler(clustered, made, random):
    """Kill the scheduler; the run ends, the workers leave, and a new cluster takes their place."""
    del random
    made.scheduler.kill()
    made.scheduler.wait()
    ended(clustered.run, 5)
    for worker in made.workers:
        worker.wait(120)
    made.start()
    clustered.start(made)


def _kill_run(clustered, made, random):
    """Kill the run; its carriers finish their chunks and leave, and the same command goes on."""
    del random
    clustered.run.kill()
    clustered.run.wait()
    clustered.start(made)


_FATES = {
    "worker": _kill_worker,
    "worker and carrier": _kill_worker_and_carrier,
    "scheduler": _kill_scheduler,
    "run": _kill_run,
}


def _carriers_of(made, pids):
    """Give each carrier that a worker of now started, with that worker."""
    workers = {worker.pid: worker for worker in made.workers if worker.poll() is None}
    return [(pid, workers[up]) for pid in pids if (up := parent(pid)) in workers]


def _replaced(made, worker):
    worker.kill()
    worker.wait()
    made.start_worker()


@pytest.mark.slow
@slow_vault
def test_a_stopping_signal_drains_the_carriers_of_a_cluster(clustered):
    """The run ends with 143, nothing is in doubt, and the cluster is free for the same command."""
    with clustered.cluster() as made:
        clustered.start(made)
        clustered.wait_for_tokens(40)
        clustered.run.send_signal(signal.SIGTERM)
        ended(clustered.run, 143)
        told = clustered.status()
        clustered.carry(made)
        clustered.assert_every_row_once()

    assert (told["states"]["sent"], told["states"]["ambiguous"]) == (0, 0)
    assert told["states"]["planned"] > 0


@pytest.mark.slow
@slow_vault
def test_a_worker_that_is_stopped_in_order_leaves_nothing_in_doubt(clustered):
    """The worker ends after its carrier, as all ends with it in a container; the other carries the rest."""
    with clustered.cluster() as made:
        clustered.start(made)
        wait_until(
            lambda: (
                clustered.run.poll() is not None
                or (clustered.made() and len(clustered.pids()) == 2)
            )
        )
        (carrier,) = [pid for pid in clustered.pids() if parent(pid) == made.workers[0].pid]
        made.workers[0].terminate()
        made.workers[0].wait(120)
        assert not Path("/proc", str(carrier)).exists()
        ended(clustered.run, 0)
        clustered.assert_every_row_once()


@pytest.mark.slow
def test_a_worker_that_comes_late_is_waited_for(clustered):
    """`doctor` and a run that find no worker tell so, and the run goes on once there is one."""
    with clustered.cluster(workers=0) as made:
        asked = ("doctor", *clustered.words(made)[2:4], "-o", clustered.out)
        before = cardferry(*asked).out
        clustered.start(made)
        said = clustered.folder / "run.txt"
        wait_until(
            lambda: (
                "no worker offers" in said.read_text("utf-8") or clustered.run.poll() is not None
            )
        )
        made.start_worker()
        ended(clustered.run, 0)
        after = cardferry(*asked).out
        clustered.assert_every_row_once()

    assert "its scheduler answers, and no worker offers to start a carrier now" in before
    assert "its workers offer to start 1 carrier at once" in after
