"""A migration that several carriers carry, and the vault whose journal says what they made."""

import os
import subprocess
import sys
import time
from collections import Counter
from random import Random
from typing import NamedTuple

import orjson
import psycopg
import pyarrow.parquet as pq

from pipeline.clock import SystemClock
from pipeline.ledger.ledger_url import pointer_of
from pipeline.migration.status import status_of
from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings, started
from tests.support.ledgers import URL_NAME

IN_FLIGHT, CHUNK = 8, 20
TERM_S, SHORT_TERM_S = 60, 8
"""Nobody is given up on a machine that stands still for a while, unless that is what is tried."""

CUSTOMERS = 40
"""Each has cards in many chunks, so that carriers meet at every one of them."""


INSTANTS = int(os.environ.get("CARDFERRY_INSTANTS", "2"))
"""How often something befalls a migration that is struck again and again."""


class Size(NamedTuple):
    """How large such a migration is; from 10,000 rows on with more in flight."""

    rows: int
    in_flight: int
    chunk: int
    latency_s: float

    @property
    def patience_s(self):
        """How long to wait for its end."""
        return 300 + self.rows // 10 + INSTANTS * 60


def struck_size(rows):
    """Give the size of a migration that is struck: of CARDFERRY_FAULT_ROWS, or of so many rows."""
    rows = int(os.environ.get("CARDFERRY_FAULT_ROWS", rows))
    if rows < 10_000:
        return Size(rows, 8, 20, 0.1)
    # The others go on while a carrier joins and is waited for, for a term or two each time: a vault
    # that is quick would leave no rows for the last times. A card takes three requests.
    in_flight, lasts_s = 32, 6 * INSTANTS * SHORT_TERM_S
    return Size(rows, in_flight, 100, max(0.05, lasts_s * in_flight / (3 * rows)))


class Struck:
    """A migration that something befalls at random instants, told by its vault's journal.

    Attributes:
        run: The process of the run that is under way, if there is one.
    """

    def __init__(self, vault, rows):
        self.vault, self.rows = vault, rows
        self.run = None
        self._read = self._counted = 0

    def made(self):
        """Count the tokens that the vault made for each row."""
        return Counter(e["name_sha256"] for e in self.vault.entries() if "name_sha256" in e)

    def count_made(self):
        """Count the tokens that the vault has made; the journal is read on from where it was."""
        with self.vault.journal.open("rb") as journal:
            journal.seek(self._read)
            whole = journal.read().rpartition(b"\n")[0]
        self._read += len(whole) + bool(whole)
        self._counted += whole.count(b'"name_sha256"')
        return self._counted

    def wait_for_tokens(self, count, process=None):
        while self.count_made() < count:
            self.assert_goes_on(process or self.run)
            time.sleep(0.02)

    def assert_goes_on(self, process=None):
        """Fail, with the end of what the run said, if it is over."""
        code = (process or self.run).poll()
        assert code is None, (code, self.last_said())

    def last_said(self):
        """Give the end of what runs have written into their log, if they write one."""
        return []

    def instants(self, count, seed=0):
        """Wait so many times for a random number of tokens, from soon after the start to near the end.

        Gives the source of randomness each time.
        """
        random = Random(seed)
        for left in range(count, 0, -1):
            made = self.count_made()
            span = max(2, (self.rows * 9 // 10 - made) // left)
            self.wait_for_tokens(min(made + random.randrange(1, span + 1), self.rows - 1))
            yield random


class Shared(Struck):
    """A migration that carriers carry, and the vault that keeps a journal of what they made."""

    def __init__(
        self,
        folder,
        vault,
        rows=200,
        *,
        outage_max_s=60,
        in_flight=IN_FLIGHT,
        chunk=CHUNK,
        term_s=TERM_S,
    ):
        super().__init__(vault, rows)
        self.out, self._log = folder / "out", folder / "run.log"
        self.in_flight = in_flight
        self.customers = max(CUSTOMERS, rows // 25)
        self._struck = []
        config = settings(
            folder,
            vault.base_url,
            f"chunk_rows = {chunk}",
            f"in_flight_max = {in_flight}",
            f"outage_max_s = {outage_max_s}",
            "[ledger]",
            f"session_s = {term_s}",
            "[attach]",
            f'url = "{vault.base_url}"',
            f'secret_key = "{vault.secret_key}"',
            "rate_per_s = 100000",
        )
        plain = rows_csv(rows).decode().splitlines()
        of_customers = [
            f"{line.rpartition(',')[0]},cus-{n % self.customers}"
            for n, line in enumerate(plain[1:])
        ]
        export = sealed(folder, "\n".join([plain[0], *of_customers, ""]).encode())
        self.given = ("-c", config, "--set", "export.columns.customer=legacy_customer_id")
        self.words = ("run", export, *self.given, "-o", self.out)

    def started(self, carriers=2):
        return started(*self.words, "--carriers", carriers, "-q", "--log-file", self._log)

    def last_said(self):
        return self._log.read_text("utf-8").splitlines()[-12:] if self._log.exists() else []

    def start(self, carriers=2):
        """Start a run, and look after it."""
        self.run = self.started(carriers)

    def joining(self, environment=None):
        """Start a carrier as another machine would: it knows the database and the settings only."""
        return started("carry", *self.given, "-q", environment=environment)

    def joining_apart(self, vault_line, environment):
        """Start a carrier on a machine of its own: a network in which it reaches the vault by a line."""
        port = self.vault.base_url.rpartition(":")[2]
        forward = [sys.executable, "-m", "tests.support.forwarder", port, str(vault_line)]
        carry = [sys.executable, "-m", "pipeline", "carry", *map(str, self.given), "-q"]
        script = f'ip link set lo up; {" ".join(forward)} & exec "$@"'
        return subprocess.Popen(
            ["unshare", "-n", "sh", "-c", script, "sh", *carry],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    def status(self):
        return status_of(self.out, SystemClock())

    def carriers(self, state):
        """Give the process numbers of the carriers in a state."""
        with psycopg.connect(os.environ[URL_NAME]) as connection:
            connection.execute(f'SET search_path = "{pointer_of(self.out).schema}"')
            asked = "SELECT origin FROM sessions WHERE state = %s ORDER BY id"
            found = connection.execute(asked, (state,)).fetchall()
        return [int(origin.rpartition(":")[2]) for (origin,) in found]

    def wait_for_carrier(self, random):
        """Give the process number of a carrier that nothing befell yet, as soon as there is one."""
        while not (live := [pid for pid in self.carriers("live") if pid not in self._struck]):
            self.assert_goes_on()
            time.sleep(0.1)
        self._struck.append(random.choice(live))
        return self._struck[-1]

    def wait_until(self, pid, state):
        """Wait until a carrier is in a state."""
        while pid not in self.carriers(state):
            self.assert_goes_on()
            time.sleep(0.1)

    def told(self, *kinds):
        lines = map(orjson.loads, (self.out / "trail.jsonl").read_bytes().splitlines())
        return Counter(line["event"] for line in lines if line["event"] in kinds)

    def assert_every_row_once(self, doubled_max, unseen_max=None):
        """By the vault's own journal, by what was published, and by what the vault holds.

        So many second tokens may there be at most, and so many, if that is more, may the ledger say.
        """
        made, status = self.made(), self.status()
        mapped = pq.read_table(self.out / "mapping.parquet").to_pylist()
        assert len({row["token_id"] for row in mapped}) == len(made) == self.rows
        assert len({row["card_id"] for row in mapped}) == self.rows
        assert len({row["customer_id"] for row in mapped}) == self.customers
        assert self.rows <= made.total() <= self.rows + doubled_max
        unseen_max = doubled_max if unseen_max is None else unseen_max
        assert made.total() - self.rows <= status["unseen_tokens_max"] <= unseen_max
        cardferry("verify", self.out, timeout=120 + self.rows // 50)
        # The vault takes its time for this, too.
        cardferry("readback", self.out, *self.given, "--all", timeout=120 + self.rows // 10)


def ended(process, *codes, timeout=240):
    try:
        assert process.wait(timeout) in codes
    finally:
        process.kill()
