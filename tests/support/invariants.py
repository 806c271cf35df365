"""The offline checker: what a crash, a disk or a vault may never do to a migration.

It trusts nobody: the exports' rows as the test made them, the vault's own journal of every
token it made (rows told apart by the cardholder's name), the ledger read with plain SQL, and the
published files. The marks are those of SAFETY.md, section 3.4: I1 to I10.
"""

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from pipeline.cards.scan import scan
from pipeline.clock import SystemClock
from pipeline.hashing import hash_total, shown
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url

ROW_SPAN = 10_000_000_000
FINAL = {"tokenized", "rejected", "failed", "held", "already_tokenized"}
OPEN = {"planned", "sent", "ambiguous"}


@dataclass(frozen=True)
class Row:
    """A row of an export as the test wrote it; its name is nobody else's."""

    legacy_id: str
    name: str
    number: str

    @property
    def last_digits(self):
        return self.number[-4:]

    @property
    def name_sha256(self):
        return hashlib.sha256(self.name.encode()).hexdigest()


@dataclass(frozen=True)
class LedgerRow:
    """A row as the ledger has it."""

    id: int
    legacy_id: str | None
    state: str
    code: str | None
    last_digits: str | None
    attempts: int
    unknowns: int
    superseded_by: int | None


@dataclass
class Facts:
    """What the checker found, for a test's own questions."""

    rows: dict = field(default_factory=dict)
    states: Counter = field(default_factory=Counter)
    tokens: dict = field(default_factory=dict)
    open_intents: int = 0
    unseen_max: int = 0
    creates: Counter = field(default_factory=Counter)
    attempts: Counter = field(default_factory=Counter)

    @property
    def settled(self):
        return not any(self.states[state] for state in OPEN)


def read_ledger(path):
    """Read a ledger with plain SQL; what an unfinished commit left is rolled back first."""
    facts = Facts()
    with closing(sqlite3.connect(path)) as database:
        assert [("ok",)] == database.execute("PRAGMA integrity_check").fetchall()
        assert [] == database.execute("PRAGMA foreign_key_check").fetchall()
        columns = "id, legacy_id, state, code, last_digits, attempts, unknowns, superseded_by"
        planned = database.execute("SELECT id FROM exports WHERE state = 'planned'").fetchall()
        exports = {number for (number,) in planned}
        for values in database.execute(f"SELECT {columns} FROM rows"):  # noqa: S608 - ours.
            row = LedgerRow(*values)
            if row.id // ROW_SPAN in exports:
                facts.rows[row.id] = row
        facts.states = Counter(row.state for row in facts.rows.values())
        facts.tokens = dict(database.execute("SELECT row_id, token_id FROM tokens"))
        numbers = defaultdict(list)
        for row, number in database.execute("SELECT row_id, number FROM attempts"):
            numbers[row].append(number)
        for row, given in numbers.items():
            assert sorted(given) == list(range(1, len(given) + 1))
            facts.attempts[row] = len(given)
        unanswered = "SELECT row_id FROM attempts WHERE id NOT IN (SELECT attempt_id FROM outcomes)"
        still_sent = sorted(row for (row,) in database.execute(unanswered))
        assert sorted(r.id for r in facts.rows.values() if r.state == "sent") == still_sent
        facts.open_intents = len(still_sent)
    facts.unseen_max = sum(row.unknowns + (row.state == "sent") for row in facts.rows.values())
    return facts


def check(folder, exports, journal, *, in_flight_max=8, before=None, published=True, scanned=True):
    """Check a migration folder against everything that is known from elsewhere.

    Args:
        folder: The migration folder; no run is alive in it.
        exports: The rows of each export, in the order in which the ledger met them.
        journal: The vault's journal: a list of its lines.
        in_flight_max: C.
        before: The facts of an earlier check; what was tokenized then has not changed.
        published: Whether the last run reached its end, so that the outputs show the ledger.
        scanned: Whether every byte is searched for card numbers (I10).
    """
    facts = read_ledger(folder / LEDGER_NAME)
    _chain_holds(folder)
    _every_row_once(facts, exports)
    _creates_are_accounted_for(facts, exports, journal)
    _newest_card_is_in_force(facts)
    assert facts.open_intents <= in_flight_max
    if before is not None:
        _tokens_stay(before, facts)
    if published:
        _outputs_show_the_ledger(folder, facts, exports, journal)
        assert [] == [entry.name for entry in folder.iterdir() if entry.name.endswith(".tmp")]
    if scanned:
        assert [] == [(found.path, found.place) for found in scan([folder])]
    return facts


def _chain_holds(folder):
    ledger = Ledger(ledger_url(folder), SystemClock(), read_only=True)
    try:
        ledger.verify()
    finally:
        ledger.close()


def _every_row_once(facts, exports):
    """I1, I8: each row of each planned export is there once, in one state, as it was written."""
    assert set(facts.states) <= FINAL | OPEN
    planned = {row // ROW_SPAN for row in facts.rows}
    wanted = {
        number * ROW_SPAN + place: row
        for number, rows in enumerate(exports, 1)
        if number in planned
        for place, row in enumerate(rows, 1)
    }
    assert wanted.keys() == facts.rows.keys()
    for row_id, row in wanted.items():
        assert facts.rows[row_id].legacy_id == row.legacy_id
        assert facts.rows[row_id].last_digits == row.last_digits
        assert facts.rows[row_id].attempts == facts.attempts[row_id]


def _creates_are_accounted_for(facts, exports, journal):
    """I4, I5, I6, and that every token we keep is one the vault made for that very row."""
    lines = defaultdict(list)
    for line in journal:
        lines[line["name_sha256"]].append(line)
    for number, rows in enumerate(exports, 1):
        for place, row in enumerate(rows, 1):
            row_id = number * ROW_SPAN + place
            made = lines.pop(row.name_sha256, [])
            facts.creates[row_id] = len(made)
            assert len(made) <= facts.attempts[row_id], "sent without a durable intent"
            token = facts.tokens.get(row_id)
            if token is not None:
                assert (token, row.last_digits) in [(m["token"], m["last_digits"]) for m in made]
            known = facts.rows.get(row_id)
            unseen = len(made) - (token is not None)
            doubted = 0 if known is None else known.unknowns + (known.state == "sent")
            assert unseen <= doubted, "a token nobody counted"
    assert {} == lines, "a token for a row that no export has"
    assert len(set(facts.tokens.values())) == len(facts.tokens)
    assert sum(facts.creates.values()) - len(facts.tokens) <= facts.unseen_max


def _newest_card_is_in_force(facts):
    """I3: an id has one token in force, and it is the card's that the latest export told."""
    latest, in_force = {}, {}
    for row in sorted(facts.rows.values(), key=lambda row: row.id):
        if row.state in {"tokenized", "already_tokenized"}:
            latest[row.legacy_id] = row
        if row.state == "tokenized" and row.superseded_by is None:
            assert row.legacy_id not in in_force
            in_force[row.legacy_id] = row
    for legacy_id, row in in_force.items():
        assert row.last_digits == latest[legacy_id].last_digits, "an older card is in force"


def _tokens_stay(before, facts):
    """I7: a token that was written down stays, and so does the row's end unless it was frozen."""
    assert before.tokens.items() <= facts.tokens.items()
    for row_id, row in before.rows.items():
        if row.state in FINAL - {"failed", "held"}:
            now = facts.rows[row_id]
            frozen = (now.state, now.code) == ("held", "answer_mismatch")
            assert row.state == now.state or (row.state == "tokenized" and frozen)


def _open(facts):
    """Count the rows by state that failed, and whose legacy id no later row moved."""
    moved = {}
    for row in facts.rows.values():
        if row.state in {"tokenized", "already_tokenized"}:
            moved[row.legacy_id] = max(row.id, moved.get(row.legacy_id, 0))
    failed = (row for row in facts.rows.values() if row.state in {"rejected", "failed", "held"})
    return Counter(row.state for row in failed if moved.get(row.legacy_id, 0) < row.id)


def _outputs_show_the_ledger(folder, facts, exports, journal):
    """I2, I3, I9 and a balance of zero."""
    mapping = pq.read_table(folder / "mapping.parquet").to_pylist()
    wanted = {
        row.legacy_id: (facts.tokens[row.id], row.last_digits)
        for row in facts.rows.values()
        if row.state == "tokenized" and row.superseded_by is None
    }
    assert len(mapping) == len(wanted)
    assert {m["legacy_id"]: (m["token_id"], m["last_digits"]) for m in mapping} == wanted
    made = {(line["token"], line["last_digits"]) for line in journal}
    assert {(m["token_id"], m["last_digits"]) for m in mapping} <= made
    failures = pq.read_table(folder / "failures.parquet").to_pylist()
    failed = Counter(row["state"] for row in failures)
    assert failed == _open(facts)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["balance"]["difference"] == 0
    assert report["unseen_tokens_max"] == facts.unseen_max
    assert {s: n for s, n in report["states"].items() if n} == dict(facts.states)
    seen = {row_id // ROW_SPAN for row_id in facts.rows}
    ids = [row.legacy_id for n, rows in enumerate(exports, 1) if n in seen for row in rows]
    assert shown(hash_total(0, ids)) == report["hash_totals"]["read"]
