"""Ledgers of other versions: refused in words, or brought up to date all at once."""

import shutil
import sqlite3
from contextlib import closing, contextmanager

import pytest

from pipeline.errors import CardferryError, VerificationFailed
from pipeline.ledger import open_ledger, upgrades
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.sqlite import tables
from tests.support.ledgers import StepClock, settled_builder

STEPS = {
    2: (
        "INSERT INTO row_states VALUES ('parked')",
        "INSERT INTO row_steps VALUES ('planned', 'parked')",
        "CREATE TABLE chunks (id INTEGER NOT NULL, PRIMARY KEY (id)) STRICT",
        "ALTER TABLE exports ADD COLUMN offsets BLOB",
    )
}


def opened(folder, **options):
    return Ledger(ledger_url(folder), StepClock(), **options)


@contextmanager
def raw(folder):
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        yield database


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a ledger, closed; nobody changes it."""
    folder = tmp_path_factory.mktemp("made")
    settled_builder(folder, 40).ledger.close()
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def version_3(monkeypatch):
    """Let this be a program of version 3, whose new ledgers have what the step leads to."""

    def create(driver):
        tables._create_tables(driver)
        for statement in STEPS[2]:
            driver.execute(statement)

    newest = tables._made_by(create)
    monkeypatch.setattr(upgrades, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(tables, "own_parts", lambda: newest)
    monkeypatch.setattr(
        open_ledger,
        "bring_up_to_date",
        lambda connection: upgrades.bring_up_to_date(connection, STEPS, 3),
    )


@pytest.mark.usefixtures("version_3")
def test_a_ledger_of_version_2_becomes_one_of_version_3(folder):
    """A new state, a new step, a new table and a new column; the trail tells, the rows stay."""
    with raw(folder) as database:
        before = database.execute("SELECT * FROM rows ORDER BY id").fetchall()
    upgraded = opened(folder)
    upgraded.begin_run("run-3", {}, "5e" * 32)
    upgraded.close()
    with raw(folder) as database:
        bodies = [body for (body,) in database.execute("SELECT body FROM events ORDER BY seq")]
        (row,) = database.execute("SELECT min(id) FROM rows WHERE state = 'planned'").fetchone()
        row = row or 7
        database.execute("INSERT OR IGNORE INTO rows (id, state) VALUES (?, 'planned')", (row,))
        assert before == database.execute("SELECT * FROM rows WHERE id <> 7 ORDER BY id").fetchall()
        parked = database.execute("UPDATE rows SET state = 'parked' WHERE id = ?", (row,))
        with pytest.raises(sqlite3.IntegrityError):
            database.execute("UPDATE rows SET state = 'planned' WHERE id = ?", (row,))

    assert parked.rowcount == 1
    assert any('"event":"ledger_upgraded"' in body and '"after":3' in body for body in bodies)
    opened(folder).close()


def test_a_step_that_fails_leaves_the_older_ledger_as_it_was(folder, monkeypatch):
    """All steps or none."""
    steps = {2: (*STEPS[2], "ALTER TABLE nowhere ADD COLUMN b TEXT")}
    with monkeypatch.context() as patched:
        patched.setattr(
            open_ledger,
            "bring_up_to_date",
            lambda connection: upgrades.bring_up_to_date(connection, steps, 3),
        )
        with pytest.raises(CardferryError):
            opened(folder)

    opened(folder).close()


def test_a_ledger_of_version_1_is_refused_in_words(folder):
    """Nobody released a program that wrote it; the words say where to begin."""
    with raw(folder) as database:
        database.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    for options in ({}, {"read_only": True}):
        with pytest.raises(VerificationFailed, match="no released Cardferry") as caught:
            opened(folder, **options)
        assert "new folder" in caught.value.next_step


def test_a_ledger_that_nothing_leads_on_from_is_refused(folder):
    """Too old is said as such."""
    ours = opened(folder)
    with (
        pytest.raises(VerificationFailed, match="too old"),
        ours.engine.begin() as connection,
    ):
        upgrades.bring_up_to_date(connection, {}, 3)
    ours.close()


def test_a_newer_ledger_is_refused(folder):
    """The program that wrote it knows more."""
    with raw(folder) as database:
        database.execute("UPDATE meta SET value = '3' WHERE key = 'schema_version'")

    with pytest.raises(VerificationFailed, match="newer Cardferry"):
        opened(folder)


SWAP = "UPDATE tokens SET card_id = card_id"


@pytest.mark.parametrize(
    "change",
    [
        # In LIKE the underscore of `sqlite_` is a wildcard, so this name once hid from the digest.
        f"CREATE TRIGGER sqliteevil AFTER INSERT ON runs BEGIN {SWAP}; END",
        f"CREATE TRIGGER harmless AFTER INSERT ON events BEGIN {SWAP}; END",
        "DROP TRIGGER refuse_delete_on_tokens",
        "DROP INDEX rows_by_legacy_id",
        "CREATE INDEX sqlitefast ON rows (code)",
        "CREATE TABLE sqlitenotes (note TEXT)",
        "CREATE VIEW sqlitelook AS SELECT 1",
        "ALTER TABLE rows ADD COLUMN note TEXT",
        "INSERT INTO row_steps VALUES ('tokenized', 'rejected')",
        "INSERT INTO row_states VALUES ('gone')",
        "DELETE FROM row_steps WHERE to_state = 'held'",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_schema_that_is_not_ours_to_the_last_statement_is_refused(folder, change, read_only):
    """Whatever was added, taken away or loosened, whatever its name: 8 at the opening, blaming nobody."""
    with raw(folder) as database:
        database.execute(change)

    with pytest.raises(VerificationFailed, match="not those of this build") as refused:
        opened(folder, read_only=read_only)
    assert "another build made it, or somebody changed it by hand" in refused.value.message
    assert "go on with that one, or begin a new folder" in refused.value.next_step


def reworded(folder, name, words, others):
    """Put other words into the statement that a part was made by, as it is kept in the file."""
    with raw(folder) as database:
        query = "SELECT sql FROM sqlite_schema WHERE name = ?"
        (statement,) = database.execute(query, (name,)).fetchone()
        assert words in statement
        database.execute("PRAGMA writable_schema = ON")
        changed = (statement.replace(words, others), name)
        database.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", changed)


@pytest.mark.parametrize(
    ("name", "words", "others"),
    [
        # A word in quotes that names nothing is a text: never NULL, and more than every number.
        ("refuse_second_row_in_force", "superseded_by IS NULL", 'superseded_by IS "NULL"'),
        ("rows", "<= 4", '<= "4"'),
        # What stands in a text belongs to it.
        ("forget_section_at_update_on_rows", "'row sums'", "'row  sums'"),
        ("forget_section_at_update_on_rows", "'row sums'", "'row\tsums'"),
        ("forget_section_at_update_on_rows", "'row sums'", "'row\u00a0sums'"),
        ("forget_section_at_update_on_rows", "'rows'", "'\"rows\"'"),
        ("rows_with_other_details", "'other details'", "'other\ndetails'"),
        # Not every sign that Unicode takes for a blank parts two words.
        ("refuse_delete_on_tokens", "1 FROM", "1\u00a0FROM"),
        # Quotes within a name part it in two.
        ("refuse_delete_on_tokens", "retired_tokens WHERE", 'retired_"tokens" WHERE'),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_statement_that_says_something_else_is_not_ours(folder, name, words, others, read_only):
    """A quote or a blank that changes what a table or a rule means is as good as another word."""
    reworded(folder, name, words, others)

    with pytest.raises(VerificationFailed):
        opened(folder, read_only=read_only)


@pytest.mark.parametrize(
    ("name", "words", "others"),
    [
        ("tokens", "\n\tfingerprint TEXT", "\n\rfingerprint TEXT"),
        ("tokens", ", \n\tfingerprint TEXT", ", fingerprint TEXT"),
        ("refuse_update_on_events", "BEGIN SELECT", "BEGIN \f\n SELECT"),
        ("outcomes", "TABLE outcomes", 'TABLE "outcomes"'),
        ("outcomes", "REFERENCES attempts (id)", 'REFERENCES "attempts" ("id")'),
    ],
)
def test_a_statement_that_says_the_same_is_ours(folder, name, words, others):
    """SQLite writes them so when it alters a table, and takes one blank between two words for another."""
    reworded(folder, name, words, others)

    opened(folder).close()
