"""A migration under test: exports with unique names, settings, commands, and the checker at hand."""

import itertools
import json
import sqlite3
from contextlib import closing
from random import Random

from tests.support.cards import card_number
from tests.support.crash import traced, zygote
from tests.support.invariants import Row, check
from tests.support.sandbox import read_journal

HEADER = "legacy_id,name,number,expiration_month,expiration_year"
_serial = itertools.count(1)


def new_rows(count, *, first=1, seed=1, tag=None):
    """Make rows with valid generated numbers; every name in this process is its own."""
    tag = f"H{next(_serial)}" if tag is None else tag
    random = Random(seed)
    return [
        Row(f"id-{place}", f"{tag} row {place}", card_number(random))
        for place in range(first, first + count)
    ]


def write_export(path, rows):
    """Write rows as a plain export; a test that wants it sealed seals it."""
    lines = [HEADER, *(f"{row.legacy_id},{row.name},{row.number},12,2031" for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


class Migration:
    """One migration folder, the exports it was given, and the vault's journal of all of them.

    Args:
        folder: A test's own folder; the migration folder is made inside it.
        sandbox: The vault, with a journal.
        flow: Lines for the settings' `[flow]` table.
    """

    def __init__(self, folder, sandbox, *flow, in_flight_max=8):
        self.base = folder
        self.base.mkdir(parents=True, exist_ok=True)
        self.out = folder / "out"
        self.in_flight_max = in_flight_max
        self.exports = []
        self.paths = []
        self._sandbox = sandbox
        self.facts = None
        self.settings = folder / "settings.toml"
        self.configure(*flow)

    def configure(self, *flow, vault=(), pace=1_000_000):
        """Write the settings anew."""
        text = [
            "[vault]",
            f'url = "{self._sandbox.base_url}"',
            f'public_key = "{self._sandbox.public_key}"',
            *(vault or ("read_timeout_s = 30",)),
            "[export]",
            "allow_plaintext = true",
            "[flow]",
            f"rate_per_s = {pace}",
            f"in_flight_max = {self.in_flight_max}",
            *flow,
        ]
        self.settings.write_text("\n".join(text) + "\n", "utf-8")

    def add(self, rows, name=None):
        """Add an export; the ledger will number exports in this order."""
        path = self.base / (name or f"export-{len(self.exports) + 1}.csv")
        self.exports.append(rows)
        self.paths.append(write_export(path, rows))
        return path

    def words(self, *options, command="run", paths=None):
        """Give the words of a command line."""
        files = self.paths if paths is None else paths
        if command == "retry":
            return ["retry", self.out, *files, "-c", self.settings, "-q", *options]
        return [command, *files, "-c", self.settings, "-o", self.out, "-q", *options]

    def run(self, *options, command="run", paths=None, **how):
        """Run a command to its end, or to its death."""
        return zygote().run(*self.words(*options, command=command, paths=paths), **how)

    def start(self, *options, command="run", paths=None, **how):
        """Start a command."""
        return zygote().start(*self.words(*options, command=command, paths=paths), **how)

    def traced(self, *options, command="run", paths=None, **how):
        """Run a command under strace; give its end and the trace."""
        return traced(*self.words(*options, command=command, paths=paths), **how)

    def status(self):
        """Give `cardferry status --json`."""
        ended = zygote().run("status", self.out, "--json")
        assert ended.code == 0, ended.said
        return json.loads(ended.said)

    def status_of(self, state):
        """Count the rows of one state, by looking at a folder that a run may hold."""
        ended = zygote().run("status", self.out, "--json")
        return json.loads(ended.said)["states"][state] if ended.code == 0 else None

    @property
    def journal(self):
        """The lines of the vault's journal that speak of this migration's rows."""
        names = {row.name_sha256 for rows in self.exports for row in rows}
        return [
            line for line in read_journal(self._sandbox.journal) if line["name_sha256"] in names
        ]

    def check(self, *, published=True, scanned=True):
        """Check every invariant; what was tokenized at the last check must still be."""
        self.facts = check(
            self.out,
            self.exports,
            self.journal,
            in_flight_max=self.in_flight_max,
            before=self.facts,
            published=published,
            scanned=scanned,
        )
        return self.facts

    def check_after_death(self, *, scanned=True):
        """Check after a kill: nothing may be there yet, or everything up to some commit."""
        ledger = self.out / "ledger.sqlite"
        if not ledger.exists() or not _has_tables(ledger):
            assert [] == self.journal
            return None
        return self.check(published=False, scanned=scanned)


def _has_tables(ledger):
    with closing(sqlite3.connect(ledger)) as database:
        found = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return found != (0,)
