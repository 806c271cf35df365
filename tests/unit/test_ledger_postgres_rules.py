"""The rules that PostgreSQL keeps in place of foreign keys, and the steps it allows, by hand and at once."""

# ruff: noqa: S608 - the words are the tests' own.

import itertools
from contextlib import closing, contextmanager
from datetime import date

import psycopg
import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url, pointer_of
from pipeline.ledger.plan_records import PlannedCard, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import ROW_SPAN
from pipeline.model import RowState
from tests.support import postgres
from tests.support.ledgers import FACTS, URL_NAME, StepClock, new_builder
from tests.unit.test_ledger_schema import ALLOWED

PLANNED, PROVING = ROW_SPAN + 1, 2 * ROW_SPAN + 1
"""A row of an export that is planned and was settled, and one of an export that is still read."""
NEW_TOKEN = (
    "INSERT INTO tokens (row_id, token_id, card_id, brand, livemode, created_s, epoch) "
    "VALUES ({row}, 'tokn_test_{row}', 'card_test_1', 'Visa', 0, 1, 1)"
)
NEW_ATTEMPT = (
    "INSERT INTO attempts (id, row_id, number, epoch, at_ms) VALUES (9999, {row}, 9, 1, 1)"
)
NEW_OUTCOME = (
    "INSERT INTO outcomes (attempt_id, kind, evidence, latency_us, at_ms) "
    "VALUES ({attempt}, 'ok', 'x', 1, 1)"
)
LOSS = f"DELETE FROM rows WHERE id = {PROVING}"
OTHERS_OPERATORS = """
    CREATE FUNCTION others.yes({kind}, {kind}) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE FUNCTION others.no({kind}, {kind}) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE OPERATOR others.= (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = others.yes);
    CREATE OPERATOR others.<> (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = others.no);
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A ledger with a settled export and one that is still read; each test leaves it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_NAME, postgres.server().database("rules"))
        folder = tmp_path_factory.mktemp("rules")
        builder = new_builder(folder)
        builder.begin("run-1")
        builder.settle(builder.plan("cards.csv", 3))
        planning = Planning(builder.ledger)
        facts = SealedFacts("late.csv", 10, "ab" * 32, bytes(32), "plain")
        export = planning.begin(facts, date(2026, 11, 20))
        assert export.first_id <= PROVING <= export.last_id
        cards = [PlannedCard(row, f"late-{row}", "4242", "Visa", 12, 2031) for row in (1, 2)]
        planning.add(export, cards, [])
        builder.end(4)
        builder.ledger.close()
        yield folder


@contextmanager
def by_hand(folder):
    """Give a transaction of somebody with plain SQL; it is undone at the end."""
    url = postgres.server().url("rules")
    with psycopg.connect(url) as connection:
        connection.execute(f'SET search_path = "{pointer_of(folder).schema}"')
        connection.execute("SET lock_timeout = '200ms'")
        connection.commit()
        # Begun here, so that what `is_refused` begins is a part of it.
        connection.execute("SELECT")
        try:
            yield connection
        finally:
            connection.rollback()


def is_refused(connection, statement):
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.IntegrityError:
        return True
    return False


def test_every_step_of_a_row_that_is_not_listed_is_refused(folder):
    """The same table of nine states against nine as in SQLite."""
    possible = set()
    with by_hand(folder) as database:
        pairs = itertools.permutations([state.value for state in RowState], 2)
        for number, (old, new) in enumerate(pairs):
            row = 7 * ROW_SPAN + number
            code = {"rejected": "vault_rejected", "skipped": "filtered"}.get(old)
            database.execute(
                "INSERT INTO rows (id, state, code) VALUES (%s, %s, %s)", (row, old, code)
            )
            if not is_refused(database, f"UPDATE rows SET state = '{new}' WHERE id = {row}"):
                possible.add((old, new))

    assert possible == ALLOWED


def test_a_row_goes_back_only_where_that_was_proved(folder):
    """Not what this house rejected, nor what is no card, nor a row that has its token still."""
    with by_hand(folder) as database:
        for row, state, code in (
            (1, "rejected", "number_checksum"),
            (2, "rejected", None),
            (3, "skipped", "no_card"),
            (4, "rejected", "vault_rejected"),
            (5, "skipped", "filtered"),
        ):
            database.execute(
                "INSERT INTO rows (id, state, code) VALUES (%s, %s, %s)", (row, state, code)
            )
        again = "UPDATE rows SET state = 'planned' WHERE id = {}"
        refused = [is_refused(database, again.format(row)) for row in (1, 2, 3, 4, 5, PLANNED)]

    assert refused == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    "statement",
    [
        NEW_ATTEMPT.format(row=7),
        NEW_ATTEMPT.format(row=PROVING),
        f"{NEW_ATTEMPT.format(row=PLANNED)}, (9998, 7, 1, 1, 1)",
        NEW_OUTCOME.format(attempt=9999),
        NEW_TOKEN.format(row=7),
        NEW_TOKEN.format(row=PROVING),
        f"DELETE FROM tokens; DELETE FROM rows WHERE id = {PLANNED}",
        f"DELETE FROM rows WHERE id = {PLANNED}",
        f"UPDATE rows SET id = 77 WHERE id = {PROVING}",
        f"UPDATE rows SET id = 77, state = 'sent' WHERE id = {PROVING}",
        "UPDATE exports SET id = id + 5",
        "UPDATE exports SET id = id + 5 WHERE state = 'proving'",
        "UPDATE exports SET state = 'gone' WHERE state = 'proving'",
        "DELETE FROM exports WHERE state = 'planned'",
        "INSERT INTO rows (id, state) VALUES (7, 'planned'), (8, 'lost')",
        f"UPDATE rows SET state = 'lost' WHERE id = {PROVING}",
        "DELETE FROM row_states WHERE state = 'ambiguous'",
        "DELETE FROM row_steps; DELETE FROM row_states",
        "UPDATE row_states SET state = state",
        "TRUNCATE row_states CASCADE",
    ],
)
def test_nothing_refers_to_what_is_not_there(folder, statement):
    """Attempts and tokens are of rows that stay, outcomes of attempts, states of those that are listed."""
    with by_hand(folder) as database:
        assert is_refused(database, statement)


def test_what_refers_to_something_may_be_written(folder):
    """And rows of an export that is still read may go; else the rules would refuse everything."""
    with by_hand(folder) as database:
        for statement in (
            NEW_ATTEMPT.format(row=PLANNED),
            NEW_OUTCOME.format(attempt=9999),
            f"INSERT INTO rows (id, state) VALUES ({ROW_SPAN + 9}, 'sent')",
            NEW_TOKEN.format(row=ROW_SPAN + 9),
            LOSS,
        ):
            assert not is_refused(database, statement)


def test_what_a_rule_looks_up_is_found_by_keys_though_it_was_asked_while_tables_were_empty(
    tmp_path, monkeypatch
):
    """A run that begins asks so; the server keeps its way to look, and every card looked at all."""
    monkeypatch.setenv(URL_NAME, postgres.server().database("rules_first"))
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.ledger.close()
    told = "INSERT INTO outcomes SELECT id, 'ok', 'x', NULL, NULL, 1, 1 FROM attempts"
    scans = "SELECT pg_stat_get_xact_numscans(%s::regclass)"
    with psycopg.connect(postgres.server().url("rules_first")) as database:
        database.execute(f'SET search_path = "{pointer_of(tmp_path).schema}"')
        database.execute("ANALYZE")
        database.execute(told)
        database.execute("INSERT INTO attempts SELECT id, id, 'tokenize', 1, 1, 1 FROM rows")
        database.execute(
            "INSERT INTO exports (id, name, size, sha256, block_digests, kind, as_of, state, epoch) "
            "VALUES (1, 'x', 1, 'x', '', 'plain', '2026-11-20', 'planned', 1)"
        )
        database.execute(f"INSERT INTO rows (id, state) VALUES ({PLANNED}, 'planned')")
        before = [database.execute(scans, (name,)).fetchone() for name in ("rows", "attempts")]
        database.execute(NEW_ATTEMPT.format(row=PLANNED))
        database.execute(NEW_OUTCOME.format(attempt=9999))
        after = [database.execute(scans, (name,)).fetchone() for name in ("rows", "attempts")]

    assert before == after


def test_operators_of_somebodys_own_lead_around_no_rule(folder):
    """A session may look for operators elsewhere first, where equal means anything."""
    with by_hand(folder) as database:
        database.execute("CREATE SCHEMA others")
        for kind in ("bigint", "text"):
            database.execute(OTHERS_OPERATORS.format(kind=kind))
        database.execute(
            "SELECT set_config('search_path', %s || current_setting('search_path'), true)",
            ("others, pg_catalog, ",),
        )
        assert database.execute("SELECT 1::bigint = 2::bigint").fetchone() == (True,)
        refused = [
            is_refused(database, statement)
            for statement in (
                NEW_ATTEMPT.format(row=7),
                NEW_ATTEMPT.format(row=PROVING),
                NEW_OUTCOME.format(attempt=9999),
                NEW_TOKEN.format(row=7),
                "DELETE FROM rows WHERE state OPERATOR(pg_catalog.=) 'tokenized'",
                "DELETE FROM exports WHERE state OPERATOR(pg_catalog.=) 'planned'",
                "UPDATE rows SET state = 'lost'",
            )
        ]

    assert refused == [True] * 7


def test_an_export_is_not_planned_while_somebody_deletes_rows_of_it(folder):
    """Else an attempt could be made for a row that is gone a moment later."""
    planned = "UPDATE exports SET state = 'planned' WHERE state = 'proving'"
    with by_hand(folder) as deletes, by_hand(folder) as plans:
        deletes.execute(LOSS)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            plans.execute(planned)
        plans.rollback()
        deletes.rollback()
        plans.execute(planned)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            deletes.execute(LOSS)


def test_who_still_sees_an_export_read_cannot_delete_rows_of_one_that_is_planned(
    tmp_path, monkeypatch
):
    """A transaction that sees an older state has to begin anew."""
    monkeypatch.setenv(URL_NAME, postgres.server().database("rules_at_once"))
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    Planning(builder.ledger).begin(
        SealedFacts("late.csv", 10, "ab" * 32, bytes(32), "plain"), date(2026, 11, 20)
    )
    path = f'SET search_path = "{pointer_of(tmp_path).schema}"'
    url = postgres.server().url("rules_at_once")
    with psycopg.connect(url, autocommit=True) as others, psycopg.connect(url) as late:
        for session in (others, late):
            session.execute(path)
        row = f"{ROW_SPAN + 1}"
        others.execute(f"INSERT INTO rows (id, state) VALUES ({row}, 'planned')")
        late.commit()
        late.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        late.execute("SELECT FROM rows")
        others.execute("UPDATE exports SET state = 'planned'")
        others.execute(NEW_ATTEMPT.format(row=row))
        with pytest.raises(psycopg.errors.SerializationFailure):
            late.execute("DELETE FROM rows")
    builder.ledger.close()


@pytest.mark.parametrize(
    "statement",
    [
        NEW_ATTEMPT.format(row=7),
        NEW_OUTCOME.format(attempt=9999),
        NEW_TOKEN.format(row=7),
        "INSERT INTO rows (id, state) VALUES (7, 'lost')",
    ],
)
def test_what_was_written_while_rules_were_off_is_found(folder, statement, monkeypatch):
    """Whoever may switch rules off in a session could else leave what refers to nothing."""
    monkeypatch.setenv(URL_NAME, postgres.server().database("rules_off", template="rules"))
    with psycopg.connect(postgres.server().url("rules_off"), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{pointer_of(folder).schema}"')
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)
    with (
        closing(Ledger(ledger_url(folder), StepClock(), read_only=True)) as ledger,
        ledger.look() as look,
    ):
        assert not look.is_sound()


CHANGES = {
    "another condition": (
        "DROP TRIGGER refuse_step_of_rows ON rows; CREATE TRIGGER refuse_step_of_rows AFTER UPDATE "
        "ON rows FOR EACH ROW WHEN (old.id <> new.id) EXECUTE FUNCTION refuse_step_of_rows()"
    ),
    "one more step in it": (
        "DROP TRIGGER refuse_unknown_state_of_rows ON rows; CREATE TRIGGER "
        "refuse_unknown_state_of_rows AFTER INSERT ON rows FOR EACH ROW WHEN (new.state <> 'lost') "
        "EXECUTE FUNCTION refuse_unknown_state_of_rows()"
    ),
    "at the end of the transaction": (
        "DROP TRIGGER refuse_loss_of_exports ON exports; CREATE CONSTRAINT TRIGGER "
        "refuse_loss_of_exports AFTER DELETE ON exports DEFERRABLE FOR EACH ROW WHEN "
        "(old.state <> 'proving') EXECUTE FUNCTION refuse_loss_of_exports()"
    ),
    "another way to look": "ALTER FUNCTION refuse_tokens_of_nothing() RESET ALL",
    "the rows under another name": (
        "DROP TRIGGER refuse_tokens_of_nothing ON tokens; CREATE TRIGGER refuse_tokens_of_nothing "
        "AFTER INSERT ON tokens REFERENCING NEW TABLE AS others FOR EACH STATEMENT "
        "EXECUTE FUNCTION refuse_tokens_of_nothing()"
    ),
    "tables of another schema": (
        "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('refuse_loss_of_tokens'::regproc), "
        "chr(34) || current_schema() || chr(34), 'SCHEMA'); END $$"
    ),
    "a reference that lets go of rows": (
        "ALTER TABLE attachments DROP CONSTRAINT attachments_customer_fkey, "
        "ADD FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE"
    ),
    "a reference that is asked about late": (
        "ALTER TABLE attachments ALTER CONSTRAINT attachments_customer_fkey DEFERRABLE"
    ),
    "an index in another order": (
        "DROP INDEX one_token_in_force; CREATE UNIQUE INDEX one_token_in_force ON rows "
        "(legacy_id COLLATE \"POSIX\") WHERE state = 'tokenized' AND superseded_by IS NULL"
    ),
    "an index of other comparisons": (
        "DROP INDEX one_token_in_force; CREATE UNIQUE INDEX one_token_in_force ON rows "
        "(legacy_id text_pattern_ops) WHERE state = 'tokenized' AND superseded_by IS NULL"
    ),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_rule_with_the_same_name_that_is_another_is_refused(folder, how, monkeypatch):
    """Its condition, its moment, what it sees and what it compares or lets go belong to it."""
    monkeypatch.setenv(URL_NAME, postgres.server().database("rules_other", template="rules"))
    with psycopg.connect(postgres.server().url("rules_other"), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{pointer_of(folder).schema}"')
        connection.execute(CHANGES[how])
    with pytest.raises(VerificationFailed, match="not those of this build"):
        Ledger(ledger_url(folder), StepClock())


def test_rules_that_are_made_anew_are_those_of_a_new_ledger(folder, monkeypatch):
    """As after an upgrade, the rules in place of foreign keys included."""
    monkeypatch.setenv(URL_NAME, postgres.server().database("rules_anew", template="rules"))
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        with ledger.engine.begin() as connection:
            ledger.store.create_rules(connection)
        with ledger.engine.connect() as connection:
            assert ledger.store.parts_of(connection) == ledger.store.own_parts(connection)
        ledger.begin_run("run-2", FACTS, FACTS["settings_digest"])
