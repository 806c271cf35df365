"""A ledger in PostgreSQL that nobody wrote to is not read again; whoever did write shows."""

import shutil
from contextlib import closing, contextmanager

import orjson
import psycopg
import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.last_close import NOTE_NAME
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url, pointer_of
from pipeline.ledger.sections import SECTIONED
from pipeline.outputs.publisher import publish
from tests.support import postgres
from tests.support.folders import VERSION, signer
from tests.support.ledgers import FACTS, URL_NAME, StepClock, settled_builder
from tests.support.sampled import sampled

TOKENS = "UPDATE tokens SET country = 'xx' WHERE row_id % 7 = 0"
OFF, ON = "ALTER TABLE tokens DISABLE TRIGGER ALL", "ALTER TABLE tokens ENABLE TRIGGER ALL"
TELLS, REFUSES = "tell_writer_of_tokens", "refuse_change_of_tokens"
ALWAYS = f"ALTER TABLE tokens ENABLE ALWAYS TRIGGER {TELLS}"
PASSES = "AS $$ BEGIN RETURN NEW; END $$"
REPLAYS = "SET session_replication_role = replica"
NOTHING = "UPDATE rows SET hint = hint WHERE false"
CHANGED = {
    "rules switched off and on again": (OFF, TOKENS, ON, ALWAYS),
    "rules not fired in a session": (REPLAYS, TOKENS),
    "its trace taken away as well": (
        *(REPLAYS, TOKENS, "ALTER TABLE changes DISABLE TRIGGER ALL"),
        "DELETE FROM changes WHERE writer = pg_backend_pid()::text",
        "ALTER TABLE changes ENABLE ALWAYS TRIGGER refuse_loss_of_changes",
        "ALTER TABLE changes ENABLE ALWAYS TRIGGER refuse_end_of_changes",
    ),
    "its trace under a carrier's name": (REPLAYS, "SET cardferry.session = '1'", TOKENS),
    "the rule itself made another": (
        "BEGIN",
        f"CREATE TEMP TABLE was AS SELECT pg_get_functiondef('{TELLS}'::regproc) AS words",
        f"ALTER TABLE was ADD others text DEFAULT pg_get_functiondef('{REFUSES}'::regproc)",
        f"CREATE OR REPLACE FUNCTION {TELLS}() RETURNS trigger LANGUAGE plpgsql {PASSES}",
        f"CREATE OR REPLACE FUNCTION {REFUSES}() RETURNS trigger LANGUAGE plpgsql {PASSES}",
        TOKENS,
        "DO $$ BEGIN EXECUTE (SELECT words FROM was); EXECUTE (SELECT others FROM was); END $$",
        "COMMIT",
    ),
    "a table written anew": (
        """ALTER TABLE tokens ALTER country TYPE text COLLATE "C" USING 'xx'""",
    ),
}
WRITTEN = {
    "a statement that changes no row": (NOTHING,),
    "a table that grew": ("ANALYZE", "INSERT INTO meta VALUES ('here', 'too')"),
    "a right given": ("GRANT SELECT ON rows TO PUBLIC",),
}
LOOKED_AT = ("SELECT count(*) FROM rows", "ANALYZE", "VACUUM FREEZE rows, tokens, changes")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A migration that was published and closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_NAME, postgres.server().database("changes"))
        folder = tmp_path_factory.mktemp("changes") / "out"
        builder = settled_builder(folder, 60, top_up=False)
        builder.ledger.signer = signer()
        publish(builder.ledger, folder, VERSION, signer())
        builder.ledger.close()
        yield folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of its folder, and of its database, row by row as the server wrote them."""
    monkeypatch.setenv(URL_NAME, postgres.server().database("changed", template="changes"))
    copy = tmp_path / "out"
    shutil.copytree(made, copy)
    return copy


def meddle(folder, *statements):
    """Change a ledger as its owner does, who is the server's superuser besides."""
    with psycopg.connect(postgres.server().url("changed"), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{pointer_of(folder).schema}"')
        for statement in statements:
            connection.execute(statement)


@contextmanager
def opened(folder):
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.signer = signer()
        yield ledger


def is_as_left(folder):
    with opened(folder) as ledger, ledger.reading() as connection:
        return ledger.is_as_left(connection)


def rows_read(folder):
    """Open a ledger, prove it, and give how many rows of the large tables that read."""
    counts = """
        SELECT sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid))
        FROM pg_class WHERE relkind = 'r' AND relname = ANY(%(names)s)
        AND relnamespace = current_schema()::regnamespace"""
    names = {"names": [table.name for table in SECTIONED]}
    read = []
    with opened(folder) as ledger, pytest.MonkeyPatch.context() as patch:
        real = ledger.store.changes_seen

        def last_asked(_, connection):
            """Count in the transaction of the proof, at whose end this is asked."""
            read.append(connection.exec_driver_sql(counts, names).scalar())
            return real(connection)

        patch.setattr(type(ledger.store), "changes_seen", last_asked)
        ledger.verify()
        return int(read[-1])


def test_a_ledger_that_nobody_wrote_to_is_not_read_again(folder):
    """Neither closing, nor looking, nor the server's own housekeeping makes it anybody else's."""
    assert not rows_read(folder)
    meddle(folder, *LOOKED_AT)
    assert not rows_read(folder)


def test_a_folder_without_its_note_has_the_ledger_read_whole(folder):
    """As on another machine; from then on there is a note."""
    (folder / NOTE_NAME).unlink()

    assert rows_read(folder) >= 60
    assert not rows_read(folder)


@pytest.mark.parametrize("how", sampled(CHANGED, 4))
def test_a_change_by_hand_is_found_whatever_rules_were_off_meanwhile(folder, how):
    """Every row is read then, and the digests are not those that were published."""
    meddle(folder, *CHANGED[how])

    with (
        opened(folder) as ledger,
        pytest.raises(VerificationFailed, match="changed by another program since"),
    ):
        ledger.verify()


@pytest.mark.parametrize("what", sampled(WRITTEN, 3))
def test_whatever_else_was_written_has_the_ledger_read_whole(folder, what):
    """Also where nothing of the rows is another now."""
    meddle(folder, *WRITTEN[what])

    assert not is_as_left(folder)


def test_a_note_that_the_signer_did_not_sign_is_none(folder):
    """Whoever may write to the folder could write one, and the server's records are no secret."""
    note = folder / NOTE_NAME
    words, signature = orjson.loads(note.read_bytes())
    note.write_bytes(orjson.dumps([words, signature[::-1]]))

    assert not is_as_left(folder)


@pytest.mark.parametrize("statement", sampled((NOTHING, f"{OFF}; {ON}; {ALWAYS}"), 2))
def test_a_run_beside_which_somebody_else_wrote_leaves_no_note(folder, statement):
    """What was written in the meantime was never proved."""
    with opened(folder) as ledger:
        ledger.begin_run("run-9", FACTS, FACTS["settings_digest"])
        meddle(folder, statement)
        ledger.end_run(0, {})

    assert not is_as_left(folder)


def test_a_run_that_lost_its_connection_and_went_on_leaves_a_note(folder):
    """Both server processes that worked for it are its own."""
    with opened(folder) as ledger:
        ledger.bear_outages(60)
        ledger.begin_run("run-9", FACTS, FACTS["settings_digest"])
        meddle(
            folder,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        ledger.end_run(0, {})

    assert is_as_left(folder)
