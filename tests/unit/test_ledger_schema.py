"""The rules that the database keeps by itself, whatever the program does."""

import hashlib
import itertools
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from itertools import groupby

import pyarrow as pa
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from pipeline.ledger.ledger_url import LEDGER_NAME
from pipeline.ledger.plan_records import PlannedCard, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.schema import metadata, tell_conditions
from pipeline.migration.transitions import FREE_ATTEMPTS_MAX
from pipeline.model import RowState
from pipeline.outputs import columns
from pipeline.outputs.columns import PublishedTable
from tests.support.independent_check import CANONICAL
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
    # A customer that takes no cards fails its rows before any token is made for them.
    ("planned", "failed"),
    ("planned", "skipped"),
    ("skipped", "planned"),
    # These two under a condition only, which the next tests are about.
    ("tokenized", "planned"),
    ("rejected", "planned"),
}


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """A finished migration's ledger; nobody changes it."""
    folder = tmp_path_factory.mktemp("settled")
    settled_builder(folder, 60).ledger.close()
    return folder / LEDGER_NAME


@pytest.fixture
def database(settled, tmp_path):
    """A copy of it, opened by somebody with plain SQL."""
    with closing(sqlite3.connect(shutil.copy(settled, tmp_path / LEDGER_NAME))) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def refused(database, statement, *values):
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(statement, values)


def test_every_step_of_a_row_that_is_not_listed_is_refused(database):
    """The whole table of nine states against nine, as an independent list has it."""
    states = [state.value for state in RowState]
    possible = set()
    for number, (old, new) in enumerate(itertools.permutations(states, 2)):
        row = 7 * ROW_SPAN + number
        code = {"rejected": "vault_rejected", "skipped": "filtered"}.get(old)
        database.execute("INSERT INTO rows (id, state, code) VALUES (?, ?, ?)", (row, old, code))
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
    others = {state.value for state in RowState} - {"tokenized", "held"}
    for state in others:
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
        "UPDATE exports SET state = 'proving'",
        "INSERT INTO rows (id, state) VALUES (1, 'lost')",
        "DELETE FROM row_states",
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


def test_no_change_brings_a_second_row_of_a_legacy_id_in_force(database):
    """Neither a row that was replaced comes back, nor one of another id under this one."""
    current = "SELECT id, legacy_id FROM rows WHERE state = 'tokenized' AND superseded_by IS NULL"
    (row, legacy_id), (other, _), *_ = database.execute(current).fetchall()
    replaced = (
        "INSERT INTO rows (id, legacy_id, state, superseded_by) VALUES (?, ?, 'tokenized', 1)"
    )
    new = 9 * ROW_SPAN
    database.execute(replaced, (new, legacy_id))
    refused(database, "UPDATE rows SET superseded_by = NULL WHERE id = ?", new)
    refused(database, "UPDATE rows SET legacy_id = ? WHERE id = ?", legacy_id, other)
    database.execute("UPDATE rows SET superseded_by = ? WHERE id = ?", (new, row))

    back = "UPDATE rows SET superseded_by = NULL WHERE id = ?"
    assert database.execute(back, (new,)).rowcount == 1


def test_an_attempt_needs_its_row_and_an_outcome_its_attempt(database):
    """Foreign keys are on."""
    refused(database, "INSERT INTO attempts VALUES (99999, 1, 'tokenize', 1, 1, 1)")
    refused(database, "INSERT INTO outcomes VALUES (99999, 'ok', 'x', NULL, NULL, 1, 1)")


def test_rows_of_an_export_that_was_not_proved_may_be_thrown_away(tmp_path):
    """Only those: what was planned stays."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.plan("cards.csv", 3)
    planning = Planning(builder.ledger)
    facts = SealedFacts("late.csv", 10, "ab" * 32, bytes(32), "plain")
    export = planning.begin(facts, date(2026, 11, 20))
    planning.add(
        export, [PlannedCard(row, f"late-{row}", "4242", "Visa", 12, 2031) for row in (1, 2)], []
    )
    builder.ledger.close()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as database:
        refused(database, "DELETE FROM rows")
        refused(database, "UPDATE exports SET state = 'proving'")

        first, last = export.first_id, export.last_id
        thrown = database.execute("DELETE FROM rows WHERE id BETWEEN ? AND ?", (first, last))
        assert thrown.rowcount == 2


def test_a_tokenized_row_is_planned_again_only_without_its_token(database):
    """The token has to be among the retired ones first, and those stay."""
    (row,) = database.execute("SELECT min(id) FROM rows WHERE state = 'tokenized'").fetchone()
    again = "UPDATE rows SET state = 'planned' WHERE id = ?"
    refused(database, again, row)
    refused(database, "DELETE FROM tokens WHERE row_id = ?", row)
    columns = "token_id, row_id, card_id, brand, fingerprint, country, livemode, created_s, epoch"
    database.execute(
        f"INSERT INTO retired_tokens ({columns}, reason, retired_ms, retired_epoch) "  # noqa: S608
        f"SELECT {columns}, 'gone', 1, 1 FROM tokens WHERE row_id = ?",
        (row,),
    )
    refused(database, "UPDATE retired_tokens SET reason = 'other'")
    refused(database, "DELETE FROM retired_tokens")
    database.execute("DELETE FROM tokens WHERE row_id = ?", (row,))

    assert database.execute(again, (row,)).rowcount == 1


def test_a_rejected_row_is_planned_again_only_when_the_vault_had_rejected_it(database):
    """What never left this house stays rejected."""
    insert = "INSERT INTO rows (id, state, code) VALUES (?, 'rejected', ?)"
    for row, code in ((1, "vault_rejected"), (2, "number_checksum"), (3, None)):
        database.execute(insert, (row, code))
    again = "UPDATE rows SET state = 'planned' WHERE id = ?"
    refused(database, again, 2)
    refused(database, again, 3)

    assert database.execute(again, (1,)).rowcount == 1


def test_more_attempts_than_two_bytes_hold_fit_every_store():
    """Counts are at least four bytes wide, ids and moments eight."""
    types = {
        (table.name, column.name): str(column.type.compile(dialect=postgresql.dialect()))
        for table in metadata.sorted_tables
        for column in table.columns
        if "INT" in str(column.type.compile(dialect=postgresql.dialect()))
    }

    assert "SMALLINT" not in types.values()
    assert types["rows", "attempts"] == types["attempts", "number"] == "INTEGER"
    wide = [name for name in types if name[1].endswith(("id", "_ms", "_us", "_s"))]
    assert {types[name] for name in wide} == {"BIGINT"}


def test_more_attempts_than_two_bytes_hold_fit_every_output():
    """A row whose free attempts were many once made every file unwritable."""
    tables = {n: one for n, one in vars(columns).items() if isinstance(one, PublishedTable)}
    counts = {
        (name, column.name): column.type
        for name, table in tables.items()
        for column in table.columns
        if column.name in {"attempts", "source_row"}
    }

    assert {"MAPPING", "FAILURES"} <= {name for name, column in counts if column == "attempts"}
    for kind in counts.values():
        assert [1 << 15, FREE_ATTEMPTS_MAX * 10_000] == pa.array(
            [1 << 15, FREE_ATTEMPTS_MAX * 10_000], kind
        ).to_pylist()


def test_an_index_of_some_rows_is_one_in_postgresql_too():
    """Its condition is told where tables are made, word by word the one that SQLite has."""
    tell_conditions("postgresql")
    partial = {
        index.name: str(CreateIndex(index).compile(dialect=postgresql.dialect()))
        for table in metadata.sorted_tables
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }

    assert "attempts_about_cards" in partial
    assert all(" WHERE " in statement for statement in partial.values())


def test_tables_can_be_written_for_postgresql_too():
    """The schema uses nothing that only SQLite knows, triggers aside."""
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_a_tables_digest_is_over_bytes_that_any_store_can_write(tmp_path):
    """Canonical JSON of what a driver gives: awkward texts, bytes and nothing included."""
    names = [
        "tab\there",
        "back\\slash",
        "\\N",
        "line\nfeed",
        "bell\b\v\f\r",
        "nul\0l\tate",
        "ชื่อ",
        "''",
    ]
    builder = new_builder(tmp_path, names=names)
    builder.begin("run-1")
    builder.plan("cards.csv", len(names))
    with builder.ledger.look() as look:
        digests = look.table_digests()
    builder.ledger.close()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as database:
        for table in ("rows", "exports", "meta", "customers"):
            found = database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608
            wanted = digest_of(found)
            if table in ("rows", "customers"):
                cut = groupby(found, lambda row: row[0] // 1_000)
                wanted = digest_of([[number, digest_of(list(part))] for number, part in cut])
            assert digests[table] == {"rows": len(found), "sha256": wanted}


def digest_of(found):
    return hashlib.sha256(CANONICAL.encode(found).encode()).hexdigest()
