"""Runs whole migrations that attach, in this process, against a sandbox in a thread of it."""

import asyncio
import json
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

import pyarrow.parquet as pq

from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.errors import LocalStorageFailed
from pipeline.ledger.settling import Settling
from pipeline.migration.run import Run
from pipeline.migration.run_request import RunRequest, Tools
from tests.support.cards import card_number
from tests.support.crash import zygote
from tests.support.sandbox import running

HEADER = "id,owner,given,flag,name,number,exp_month,exp_year,email"


def cards(*owners, first=1, seed=1, year=2031):
    """Make rows, one for each owner: a legacy customer, or (customer, given id, flag)."""
    dice = random.Random(f"{seed}-{first}")
    rows = []
    for place, owner in enumerate(owners, first):
        who, given, flag = (owner, "", "") if isinstance(owner, str) else owner
        rows.append(
            f"id-{place},{who},{given},{flag},Name {place},{card_number(dice)},12,{year},"
            f"p{place}@example.com"
        )
    return rows


@dataclass
class AttachRun:
    """A migration folder, its exports, and the vault that its cards go to."""

    base: object
    sandbox: object
    settings: list = field(default_factory=list)
    exports: list = field(default_factory=list)

    @property
    def out(self):
        return self.base / "out"

    def export(self, rows, name=None):
        """Write an export that the next runs are given."""
        path = self.base / (name or f"export-{len(self.exports) + 1}.csv")
        path.write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")
        self.exports.append(path)
        return path

    def overrides(self, *more, attach=True):
        """Give the settings in force, as the command line would."""
        usual = [
            f'vault.url="{self.sandbox.base_url}"',
            f"vault.public_key={self.sandbox.public_key}",
            "vault.read_timeout_s=2",
            "export.allow_plaintext=true",
            "export.columns.legacy_id=id",
            "export.columns.customer=owner",
            "export.columns.customer_id=given",
            "export.columns.is_default=flag",
            "export.columns.expiration_month=exp_month",
            "export.columns.expiration_year=exp_year",
            "export.columns.email=email",
            "flow.rate_per_s=1000",
        ]
        if attach:
            usual += [
                f'attach.url="{self.sandbox.base_url}"',
                f"attach.secret_key={self.sandbox.secret_key}",
                "attach.rate_per_s=1000",
            ]
        return [*usual, *self.settings, *more]

    def run(self, *more, attach=True, exports=None, clock=None, asked=None, **request):
        """Run once; give how it ended. The plan that it shows is added to `asked`."""
        settings, credentials = load_settings(None, {}, self.overrides(*more, attach=attach))
        tools = Tools(
            clock or SystemClock(),
            random.Random(time.monotonic_ns()),
            confirm=lambda plan: asked is None or not asked.append(plan),
        )
        given = self.exports if exports is None else exports
        return Run(RunRequest(given, self.out, **request), settings, credentials, tools).perform()

    def start(self, *options, command="run", attach=True, **how):
        """Start a command of its own process, which can be killed; `how` as for the zygote."""
        if command == "status":
            return zygote().start("status", self.out, "--json", **how)
        settings = [word for rule in self.overrides(attach=attach) for word in ("--set", rule)]
        words = {
            "run": [*self.exports, "-o", self.out, "--yes"],
            "retry": [self.out, *self.exports, "--yes"],
            "readback": [self.out],
        }[command]
        return zygote().start(command, *words, *settings, "-q", *options, **how)

    def made(self):
        """Give, by the vault's journal alone, place in the exports, customer and card of each."""
        lines = self.sandbox.entries()
        names = {sha256(f"Name {n}".encode()).hexdigest(): n for n in range(1, 1 + len(lines))}
        places = {line["token"]: names[line["name_sha256"]] for line in lines if "made" not in line}
        put = [line for line in lines if "made" in line and line["token"]]
        return [(places[line["token"]], line["on"], line["made"]) for line in put]

    def mapping(self):
        """The mapping's rows."""
        return pq.read_table(self.out / "mapping.parquet").to_pylist()

    def failures(self):
        """Code by legacy id of what is open."""
        table = pq.read_table(self.out / "failures.parquet").to_pylist()
        return {row["legacy_id"]: row["code"] for row in table}

    def report(self):
        """The report's figures."""
        return json.loads((self.out / "report.json").read_text("utf-8"))

    def at_the_vault(self):
        """Pairs of customer and card that the vault's journal says it made."""
        lines = [line for line in self.sandbox.entries() if line.get("token") and "made" in line]
        assert len({line["made"] for line in lines}) == len(lines)
        return {(line["on"], line["made"]) for line in lines}

    def mapped(self):
        """Pairs of customer and card that the mapping names."""
        return {(row["customer_id"], row["card_id"]) for row in self.mapping()}

    def customer(self, ident):
        """Give a customer as the vault shows it."""
        return self.sandbox.request("GET", f"/customers/{ident}").json()


class HastyClock:
    """A clock whose waits are a hundred times shorter than they say, and count in full."""

    SPEED = 100.0

    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic() * self.SPEED

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / self.SPEED)


@contextmanager
def attaching(folder, *settings, **options):
    """Give a migration against a sandbox of its own."""
    with running(journal=folder / "journal", **options) as sandbox:
        yield AttachRun(folder, sandbox, list(settings))


@contextmanager
def killed_after(batches):
    """Let a run write so many batches and then no more, as if it had died at that moment."""
    whole, left = Settling.apply, [batches]

    def apply(self, batch):
        if left[0] == 0:
            raise LocalStorageFailed("killed", next_step="Begin again.")
        frozen = whole(self, batch)
        left[0] -= 1
        return frozen

    Settling.apply = apply
    try:
        yield
    finally:
        Settling.apply = whole
