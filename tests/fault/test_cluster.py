"""Carriers that a Dask cluster starts: over TLS, with keys of their own, whoever is killed, every row once."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
import trustme

from pipeline.clock import SystemClock
from pipeline.cluster.carrier_task import LOG_NAME, WORDS_NAME
from pipeline.migration.status import status_of
from tests.support import postgres
from tests.support.commands import ROOT, cardferry, rows_csv, sealed
from tests.support.crash import wait_until
from tests.support.dask_cluster import certify, cluster
from tests.support.exports import keyring
from tests.support.sampled import slow
from tests.support.sandbox import running

ROWS, IN_FLIGHT, CHUNK, CUSTOMERS = 160, 8, 10, 40
TERM_S, SHORT_TERM_S = 60, 8
"""Nobody is given up on a machine that stands still for a while, unless that is what is tried."""

LATENCY_S, LONG_LATENCY_S = 0.05, 0.3
slow_vault = pytest.mark.parametrize("clustered", [LONG_LATENCY_S], indirect=True)
"""Leaves time to stop somebody in the middle."""

INSTANTS = range(int(os.environ.get("CARDFERRY_INSTANTS", "20")))


class Clustered:
    """A migration whose run has its own settings, and whose workers have others that mean the same.

    The keys, the export and the ledger's URL are named by other variables and paths on each side.
    """

    def __init__(self, folder, vault):
        self.folder, self.vault, self.out = folder, vault, folder / "out"
        self.term_s, self.carriers = TERM_S, 2
        self.secrets = {
            "LEDGER": postgres.server().database("cluster"),
            "PUBLIC": vault.public_key,
            "SECRET": vault.secret_key,
        }
        lines = rows_csv(ROWS).decode().splitlines()
        plain = [lines[0]]
        plain += [
            f"{line.rpartition(',')[0]},cus-{n % CUSTOMERS}" for n, line in enumerate(lines[1:])
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
            f"chunk_rows = {CHUNK}",
            f"in_flight_max = {IN_FLIGHT}",
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

    def run(self, made, *more, code=0):
        return cardferry(*self.words(made, *more), code=code)

    def started(self, made):
        """Start the run and go on at once."""
        said = (self.folder / "run.txt").open("ab")
        with said:
            return subprocess.Popen(
                [sys.executable, "-m", "pipeline", *map(str, self.words(made))],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def made(self):
        """Count the tokens that the vault made for each row."""
        return Counter(e["name_sha256"] for e in self.vault.entries() if "name_sha256" in e)

    def status(self):
        return status_of(self.out, SystemClock())

    def pids(self, state="live"):
        """Give the process numbers of the carriers in a state."""
        told = self.status()["carriers"]["sessions"]
        return [int(s["origin"].rpartition(":")[2]) for s in told if s["state"] == state]

    def wait_for_tokens(self, count, process):
        while self.made().total() < count and process.poll() is None:
            time.sleep(0.02)

    def assert_every_row_once(self, doubled_max=0):
        """By the vault's own journal, by what was published, and by what the vault holds."""
        made, status = self.made(), self.status()
        mapped = pq.read_table(self.out / "mapping.parquet").to_pylist()
        assert [(row["legacy_id"], row["last_digits"]) for row in mapped] == [
            (card[0], card[2][-4:]) for card in self.cards
        ]
        assert len({row["token_id"] for row in mapped}) == len(made) == ROWS
        assert len({row["card_id"] for row in mapped}) == ROWS
        assert len({row["customer_id"] for row in mapped}) == CUSTOMERS
        assert ROWS <= made.total() <= ROWS + doubled_max
        assert made.total() - ROWS <= status["unseen_tokens_max"] <= doubled_max
        cardferry("verify", self.out)


def parent(pid):
    """Give the process number of a process's parent."""
    return int(Path("/proc", str(pid), "stat").read_text("utf-8").rpartition(")")[2].split()[1])


def ended(process, *codes, timeout=240):
    try:
        assert process.wait(timeout) in codes
    finally:
        process.kill()


@pytest.fixture
def clustered(tmp_path, monkeypatch, request):
    latency_s = getattr(request, "param", LATENCY_S)
    with running(journal=tmp_path / "journal", latency_s=latency_s) as vault:
        made = Clustered(tmp_path, vault)
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
        done = clustered.run(made, "--json")
        clustered.assert_every_row_once()
        logs = list(made.folder.rglob(LOG_NAME))
        told = "".join(path.read_text("utf-8") for path in logs)
        cardferry("scan", made.folder)
    status = clustered.status()

    assert done.json["this_run"]["sent"] >= ROWS
    assert {s["state"] for s in status["carriers"]["sessions"]} == {"left"}
    assert sum(s["sent"] for s in status["carriers"]["sessions"]) == ROWS
    assert told.count("carrier joined") == len(status["carriers"]["sessions"])
    assert clustered.secrets["SECRET"] not in told


@pytest.mark.slow
def test_a_run_whose_carriers_are_refused_says_what_their_machines_lack(clustered):
    """A worker of other settings carries nothing; the run ends and repeats what the carrier said."""
    with clustered.cluster("[rules]", 'expired = "tokenize"', workers=1) as made:
        done = clustered.run(made, code=5)

    assert "vault, export columns, rules or attach differ from those of the run" in done.err
    assert not clustered.made()


@pytest.mark.slow
def test_a_scheduler_of_another_authority_or_none_is_refused_before_a_card_is_sent(clustered):
    """Certificates are settings (7); a scheduler that does not answer is trouble that may pass (5)."""
    with clustered.cluster(workers=0) as made:
        ours = made.files
        made.files = certify(trustme.CA(), clustered.folder / "other", "other")
        refused = clustered.run(made, code=7)
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
        missed = clustered.run(made, code=5)

    assert "do not trust one another's certificates" in refused.err
    assert "do not trust one another's certificates" in told.out
    assert "the Dask scheduler that cluster.address names does not answer" in missed.err
    assert not clustered.made()


@pytest.mark.slow
@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("fate", ["worker", "worker and carrier", "scheduler", "run"])
def test_whoever_is_killed_every_row_is_sent_once(clustered, fate, instant):
    """At a random instant: the same command goes on, and no more than C tokens a lost carrier are doubled."""
    at = Random(f"{fate} {instant}").randrange(1, ROWS - CHUNK)
    if fate == "worker and carrier":
        clustered.term_s = SHORT_TERM_S
    with clustered.cluster() as made:
        run = clustered.started(made)
        clustered.wait_for_tokens(at, run)
        if fate == "run":
            run.kill()
            run.wait()
        elif fate == "scheduler":
            made.scheduler.kill()
            # It may have been done before anybody was missed.
            ended(run, 0, 5)
            made.start()
        else:
            carriers = clustered.pids() if fate == "worker and carrier" else []
            made.workers[0].kill()
            for pid in carriers[:1]:
                os.kill(pid, signal.SIGKILL)
            made.start_worker()
            ended(run, 0)
        if fate in {"run", "scheduler"}:
            clustered.run(made)
        reaped = 0 if fate == "run" else len(clustered.pids("reaped"))
        clustered.assert_every_row_once(IN_FLIGHT * reaped)


@pytest.mark.slow
@slow_vault
def test_a_stopping_signal_drains_the_carriers_of_a_cluster(clustered):
    """The run ends with 143, nothing is in doubt, and the cluster is free for the same command."""
    with clustered.cluster() as made:
        run = clustered.started(made)
        clustered.wait_for_tokens(40, run)
        run.send_signal(signal.SIGTERM)
        ended(run, 143)
        told = clustered.status()
        clustered.run(made)
        clustered.assert_every_row_once()

    assert (told["states"]["sent"], told["states"]["ambiguous"]) == (0, 0)
    assert told["states"]["planned"] > 0


@pytest.mark.slow
@slow_vault
def test_a_worker_that_is_stopped_in_order_leaves_nothing_in_doubt(clustered):
    """The worker ends after its carrier, as all ends with it in a container; the other carries the rest."""
    with clustered.cluster() as made:
        run = clustered.started(made)
        wait_until(
            lambda: run.poll() is not None or (clustered.made() and len(clustered.pids()) == 2)
        )
        (carrier,) = [pid for pid in clustered.pids() if parent(pid) == made.workers[0].pid]
        made.workers[0].terminate()
        made.workers[0].wait(120)
        assert not Path("/proc", str(carrier)).exists()
        ended(run, 0)
        clustered.assert_every_row_once()


@pytest.mark.slow
def test_a_worker_that_comes_late_is_waited_for(clustered):
    """`doctor` and a run that find no worker tell so, and the run goes on once there is one."""
    with clustered.cluster(workers=0) as made:
        asked = ("doctor", *clustered.words(made)[2:4], "-o", clustered.out)
        before = cardferry(*asked).out
        run = clustered.started(made)
        said = clustered.folder / "run.txt"
        wait_until(lambda: "no worker offers" in said.read_text("utf-8") or run.poll() is not None)
        made.start_worker()
        ended(run, 0)
        after = cardferry(*asked).out
        clustered.assert_every_row_once()

    assert "its scheduler answers, and no worker offers to start a carrier now" in before
    assert "its workers offer to start 1 carrier at once" in after
