"""The rules that the database keeps by itself, whatever the program does."""

import itertools
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.schema import metadata
from pipeline.ledger.store import LEDGER_NAME
from pipeline.model import RowState
from tests.support.ledgers import new_builder, settled_builder

ALLOWED = {
    ("planned", "sent"),
    ("planned", "rejected"),
    ("planned", "already_tokenized"),
    ("planned", "held"),
    ("sent", "tokenized"),
    ("sent", "rejected"),
    ("sent", "failed"),
    ("sent", "planned"),
    ("sent", "ambiguous"),
    ("sent", "held"),
    ("ambiguous", "sent"),
    ("ambiguous", "held"),
    ("ambiguous", "already_tokenized"),
    ("failed", "planned"),
    ("held", "planned"),
}


@pytest.fixture
def database(tmp_path):
    """A finished migration's ledger, opened by somebody with plain SQL."""
    settled_builder(tmp_path, 60).ledger.close()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def refused(database, statement, *values):
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(statement, values)


def test_every_step_of_a_row_that_is_not_listed_is_refused(database):
    """The whole table of eight states against eight, as an independent list has it."""
    states = [state.value for state in RowState]
    possible = set()
    for number, (old, new) in enumerate(itertools.permutations(states, 2)):
        row = 7 * ROW_SPAN + number
        database.execute("INSERT INTO rows (id, state) VALUES (?, ?)", (row, old))
        try:
            database.execute("UPDATE rows SET state = ? WHERE id = ?", (new, row))
        except sqlite3.IntegrityError:
            continue
        possible.add((old, new))

    assert possible == ALLOWED


def test_there_is_no_way_back_from_tokenized_but_into_doubt(database):
    """Only an answer that spoke of another card may freeze a tokenized row."""
    (row,) = database.execute("SELECT min(id) FROM rows WHERE state = 'tokenized'").fetchone()
    change = "UPDATE rows SET state = ?, code = ? WHERE id = ?"
    for state in ("planned", "sent", "failed", "rejected", "ambiguous", "already_tokenized"):
        refused(database, change, state, "answer_mismatch", row)
    refused(database, change, "held", "outcome_unknown", row)
    refused(database, change, "held", None, row)

    assert database.execute(change, ("held", "answer_mismatch", row)).rowcount == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attempts",
        "DELETE FROM outcomes",
        "DELETE FROM events",
        "UPDATE attempts SET at_ms = at_ms",
        "UPDATE outcomes SET kind = 'not_sent'",
        "UPDATE events SET body = body",
        "DELETE FROM tokens",
        "UPDATE tokens SET token_id = token_id || 'x'",
        "UPDATE tokens SET row_id = row_id + 1",
        "DELETE FROM rows WHERE state = 'tokenized'",
        "DELETE FROM exports",
        "UPDATE rows SET last_digits = '12345' WHERE state = 'planned' OR 1",
        "UPDATE rows SET state = 'lost'",
        "UPDATE exports SET state = 'forgotten'",
    ],
)
def test_what_was_written_cannot_be_lost_or_bent(database, statement):
    """Attempts, outcomes and events only grow; tokens, rows and exports stay."""
    refused(database, statement)


def test_a_token_id_belongs_to_one_row(database):
    """The same id for a second row is refused by the database itself."""
    (row,) = database.execute("SELECT min(id) FROM rows WHERE state = 'rejected'").fetchone()
    (token_id,) = database.execute("SELECT min(token_id) FROM tokens").fetchone()
    columns = "row_id, token_id, card_id, brand, livemode, created_s, epoch"
    refused(
        database,
        f"INSERT INTO tokens ({columns}) VALUES (?, ?, 'card_test_1', 'Visa', 0, 1, 1)",  # noqa: S608
        row,
        token_id,
    )


def test_a_legacy_id_has_one_token_that_counts(database):
    """A second tokenized row of the same id is refused unless the first is superseded."""
    current = "SELECT legacy_id FROM rows WHERE state = 'tokenized' AND superseded_by IS NULL"
    (legacy_id,) = database.execute(current).fetchone()
    insert = "INSERT INTO rows (id, legacy_id, state) VALUES (?, ?, 'tokenized')"
    new = 9 * ROW_SPAN
    refused(database, insert, new, legacy_id)
    database.execute("UPDATE rows SET superseded_by = ? WHERE legacy_id = ?", (new, legacy_id))

    assert database.execute(insert, (new, legacy_id)).rowcount == 1


def test_an_attempt_needs_its_row_and_an_outcome_its_attempt(database):
    """Foreign keys are on."""
    refused(database, "INSERT INTO attempts VALUES (99999, 1, 1, 1, 1)")
    refused(database, "INSERT INTO outcomes VALUES (99999, 'ok', 'x', NULL, NULL, 1, 1)")


def test_rows_of_an_export_that_was_not_proved_may_be_thrown_away(tmp_path):
    """Only those: what was planned stays."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.plan("cards.csv", 3)
    builder.ledger.close()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as database:
        refused(database, "DELETE FROM rows")
        database.execute("UPDATE exports SET state = 'proving'")

        assert database.execute("DELETE FROM rows").rowcount == 3


def test_tables_can_be_written_for_postgresql_too():
    """The schema uses nothing that only SQLite knows, triggers aside."""
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
