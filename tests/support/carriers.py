"""A migration that several carriers carry, and the vault whose journal says what they made."""

import os
import subprocess
import sys
import time
from collections import Counter

import orjson
import pyarrow.parquet as pq

from pipeline.clock import SystemClock
from pipeline.migration.status import status_of
from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings, started

IN_FLIGHT, CHUNK, TERM_S = 8, 20, 8

CUSTOMERS = 40
"""Each has cards in many chunks, so that carriers meet at every one of them."""


class Shared:
    """A migration that carriers carry, and the vault that keeps a journal of what they made."""

    def __init__(self, folder, vault, rows=200, outage_max_s=60):
        self.out, self.vault, self.rows = folder / "out", vault, rows
        config = settings(
            folder,
            vault.base_url,
            f"chunk_rows = {CHUNK}",
            f"in_flight_max = {IN_FLIGHT}",
            f"outage_max_s = {outage_max_s}",
            "[ledger]",
            f"session_s = {TERM_S}",
            "[attach]",
            f'url = "{vault.base_url}"',
            f'secret_key = "{vault.secret_key}"',
            "rate_per_s = 100000",
        )
        plain = rows_csv(rows).decode().splitlines()
        of_customers = [
            f"{line.rpartition(',')[0]},cus-{n % CUSTOMERS}" for n, line in enumerate(plain[1:])
        ]
        export = sealed(folder, "\n".join([plain[0], *of_customers, ""]).encode())
        self.given = ("-c", config, "--set", "export.columns.customer=legacy_customer_id")
        self.words = ("run", export, *self.given, "-o", self.out)

    def started(self, carriers=2):
        return started(*self.words, "--carriers", carriers, "-q")

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

    def made(self):
        """Count the tokens that the vault made for each row."""
        return Counter(e["name_sha256"] for e in self.vault.entries() if "name_sha256" in e)

    def wait_for_tokens(self, count, process):
        while self.made().total() < count:
            assert process.poll() is None
            time.sleep(0.02)

    def status(self):
        return status_of(self.out, SystemClock())

    def carriers(self, state):
        """Give the process numbers of the carriers in a state."""
        told = self.status()["carriers"]["sessions"]
        return [int(s["origin"].rpartition(":")[2]) for s in told if s["state"] == state]

    def told(self, *kinds):
        lines = map(orjson.loads, (self.out / "trail.jsonl").read_bytes().splitlines())
        return Counter(line["event"] for line in lines if line["event"] in kinds)

    def assert_every_row_once(self, doubled_max):
        """By the vault's own journal, by what was published, and by what the vault holds."""
        made, status = self.made(), self.status()
        mapped = pq.read_table(self.out / "mapping.parquet").to_pylist()
        assert len({row["token_id"] for row in mapped}) == len(made) == self.rows
        assert len({row["card_id"] for row in mapped}) == self.rows
        assert len({row["customer_id"] for row in mapped}) == CUSTOMERS
        assert self.rows <= made.total() <= self.rows + doubled_max
        assert made.total() - self.rows <= status["unseen_tokens_max"] <= doubled_max
        cardferry("verify", self.out)
        cardferry("readback", self.out, *self.given, "--all")


def ended(process, *codes, timeout=240):
    try:
        assert process.wait(timeout) in codes
    finally:
        process.kill()
