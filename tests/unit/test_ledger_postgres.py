"""A ledger in PostgreSQL: the same history gives the same files, and the server's own rules hold."""

import shutil
import threading
from contextlib import closing

import psycopg
import pytest
from pydantic import SecretStr

from pipeline.config.addresses import SecretSource
from pipeline.config.credentials import Credentials
from pipeline.config.ledger import LedgerSettings
from pipeline.config.loading import read_settings
from pipeline.config.models import Settings
from pipeline.errors import (
    LocalStorageFailed,
    MigrationLocked,
    SettingsRefused,
    VerificationFailed,
)
from pipeline.ledger.bearing import Waits
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import (
    LEDGER_NAME,
    POINTER_NAME,
    LedgerUrl,
    ledger_url,
    ledger_url_of_run,
    pointer_of,
)
from pipeline.ledger.lock import is_locked
from pipeline.ledger.postgres.address import parameters_of
from pipeline.ledger.recovery import settle_open_intents
from pipeline.ledger.settling import Settling
from pipeline.migration.doctor_ledger import ledger_findings
from pipeline.migration.export_ledger import export_ledger
from pipeline.migration.status import status_of
from pipeline.outputs.publisher import publish
from pipeline.outputs.verify import verify
from tests.support import postgres
from tests.support.folders import VERSION, signer
from tests.support.ledgers import (
    URL_NAME,
    Builder,
    StepClock,
    new_builder,
    settled_builder,
    tokenized,
)
from tests.support.sampled import slow

NAMES = ["b", "A", "Ä", "a", "ไทย", "Z", "é", "10", "9", "it's", "100%", "back\\slash", '"quoted"']


@pytest.fixture
def url(monkeypatch):
    """The server's URL, where the environment names it as the ledger's."""
    monkeypatch.setenv(URL_NAME, postgres.server().url())
    return postgres.server().url()


@pytest.fixture
def builder(tmp_path, url):  # noqa: ARG001 - it names the server.
    builder = new_builder(tmp_path / "out")
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


def begun(folder):
    """Give a ledger of one small export, closed again, and its schema."""
    builder = new_builder(folder)
    builder.begin("run-1")
    builder.plan("cards.csv", 10)
    builder.end(4)
    builder.ledger.close()
    return pointer_of(folder).schema


def meddle(schema, *statements):
    """Change a ledger as somebody does who is let in by the server, and cares for nothing."""
    with psycopg.connect(postgres.server().url(), autocommit=True) as connection:
        connection.execute(f'SET search_path = "{schema}"')
        for statement in statements:
            connection.execute(statement)


def sent(builder, export, count):
    settling = Settling(builder.ledger, 8)
    claims = settling.claimable(export.first_id, export.last_id)[:count]
    intents = [settling.intent(claim.id, claim.attempts + 1) for claim in claims]
    settling.apply(intents)
    answers = [
        tokenized(intent, builder._token(claim))
        for intent, claim in zip(intents, claims, strict=True)
    ]
    return settling, answers


def states(builder):
    with builder.ledger.look() as look:
        return {state.value: n for state, n in look.by_state().items() if n}


def test_the_same_history_gives_the_same_bytes_as_in_sqlite_and_verifies_offline(
    tmp_path, monkeypatch
):
    """Every published file, the trail and its digests of tables included, twice in each store."""
    monkeypatch.setenv(URL_NAME, postgres.server().url())
    told = {}
    for name in ("postgresql", "sqlite"):
        folder = tmp_path / name
        builder = settled_builder(folder, 120, names=NAMES, top_up=False)
        for more in (False, True):
            if more:
                builder.clock.step(86_400)
                builder.begin("run-2", pid=4812)
                builder.settle(builder.plan("top-up.csv.pgp", 20, changed_every=4))
                builder.end(3)
            publish(builder.ledger, folder, VERSION, signer())
        with builder.ledger.look() as look:
            endings = [tuple(row) for block in look.legacy_ids_by_ending() for row in block]
            told[name] = (builder.ledger.chain_head, look.table_digests(), sorted(endings))
        builder.ledger.close()
        if name == "postgresql":
            head = export_ledger(folder, StepClock(), tmp_path / "copy.sqlite")
            assert [] == verify(folder, StepClock(), VERSION).differences
            monkeypatch.delenv(URL_NAME)
    written = {
        folder: {
            path.name: path.read_bytes()
            for path in (tmp_path / folder).iterdir()
            if not path.name.startswith((".", "ledger."))
        }
        for folder in ("postgresql", "sqlite")
    }
    copied = tmp_path / "copied"
    shutil.copytree(tmp_path / "postgresql", copied)
    shutil.move(tmp_path / "copy.sqlite", copied / LEDGER_NAME)

    assert told["postgresql"] == told["sqlite"]
    assert head == told["sqlite"][0]
    assert "superseded.parquet" in written["sqlite"]
    assert written["postgresql"] == written["sqlite"]
    assert [] == verify(copied, StepClock(), VERSION).differences


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
        "DELETE FROM rows WHERE state = 'tokenized'",
        "DELETE FROM exports",
        "TRUNCATE events",
        "TRUNCATE rows CASCADE",
        "UPDATE rows SET last_digits = '12345' WHERE state = 'tokenized'",
        "UPDATE rows SET state = 'lost'",
        "UPDATE rows SET state = 'planned' WHERE state = 'tokenized'",
        "UPDATE rows SET state = 'held', code = 'outcome_unknown' WHERE state = 'tokenized'",
        "UPDATE exports SET state = 'proving'",
        "INSERT INTO rows (id, state) VALUES (1, 'lost')",
        (
            "INSERT INTO rows (id, legacy_id, state) SELECT 1, legacy_id, state FROM rows "
            "WHERE state = 'tokenized' AND superseded_by IS NULL LIMIT 1"
        ),
        "DELETE FROM row_states",
    ],
)
def test_what_was_written_cannot_be_lost_or_bent(settled, statement):
    """The server keeps the rules by itself, for whoever it lets in."""
    with pytest.raises(psycopg.errors.IntegrityError):
        meddle(settled, statement)


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """The schema of a finished migration's ledger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_NAME, postgres.server().url())
        folder = tmp_path_factory.mktemp("settled")
        settled_builder(folder, 60).ledger.close()
    return pointer_of(folder).schema


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE rows DISABLE TRIGGER refuse_step_of_rows",
        slow("DROP TRIGGER refuse_change_of_events ON events"),
        (
            "CREATE OR REPLACE FUNCTION refuse_change_of_events() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN RETURN NEW; END'"
        ),
        "ALTER TABLE rows ADD COLUMN more text",
        slow("CREATE TABLE more (id bigint)"),
        slow("DROP INDEX one_token_in_force"),
        slow("ALTER TABLE retired_tokens DROP CONSTRAINT retired_tokens_row_id_fkey"),
        "INSERT INTO row_steps VALUES ('tokenized', 'sent')",
        slow("CREATE RULE more AS ON UPDATE TO meta DO INSTEAD NOTHING"),
        slow("ALTER TABLE rows ENABLE ROW LEVEL SECURITY"),
    ],
)
@pytest.mark.usefixtures("url")
def test_a_ledger_with_other_tables_or_rules_is_refused(tmp_path, change):
    """A rule that somebody took away or added could change rows behind every later write."""
    meddle(begun(tmp_path), change)

    with pytest.raises(VerificationFailed, match="not those of this build"):
        Ledger(ledger_url(tmp_path), StepClock())


@pytest.mark.usefixtures("builder")
def test_one_writer_at_a_time_whatever_folder_or_machine_it_writes_from(tmp_path):
    """The server has the lock; who only looks is told that a run holds the migration."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "out" / POINTER_NAME, elsewhere)

    with pytest.raises(MigrationLocked):
        Ledger(ledger_url(elsewhere), StepClock())
    assert not is_locked(elsewhere)
    assert status_of(elsewhere, StepClock())["running"]


def test_a_standby_on_another_machine_goes_on_once_the_first_is_gone(tmp_path, builder):
    """It waits for the lock, and finds the rows that the first left in doubt."""
    export = builder.plan("cards.csv", 10)
    sent(builder, export, 3)
    standby = tmp_path / "standby"
    standby.mkdir()
    shutil.copy(tmp_path / "out" / POINTER_NAME, standby)
    took = []

    def wait():
        with closing(Ledger(ledger_url(standby), StepClock(), waits=Waits(60))) as ledger:
            other = Builder(ledger, StepClock())
            other.begin("run-2")
            took.append((settle_open_intents(ledger, 1).in_doubt, states(other)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    # As a machine does that is gone: without a word, its transaction undone.
    builder.ledger._driver.close()
    waiting.join()

    assert took == [(3, {"planned": 7, "ambiguous": 3})]


@pytest.mark.parametrize(
    "meddling",
    [
        "INSERT INTO runs (epoch, run_id, started_ms, facts) VALUES (2, 'run-2', 0, '{}')",
        "UPDATE runs SET epoch = 5",
    ],
    ids=["by a later run", "by somebody who changed the table"],
)
def test_a_batch_of_a_run_that_was_overtaken_is_refused_as_a_whole(builder, tmp_path, meddling):
    """The fence stands inside the one call that makes a batch durable."""
    export = builder.plan("cards.csv", 10)
    settling, answers = sent(builder, export, 2)
    meddle(
        pointer_of(tmp_path / "out").schema,
        "ALTER TABLE exports DROP CONSTRAINT exports_epoch_fkey",
        meddling,
    )
    with pytest.raises(VerificationFailed, match="a later run has taken this ledger over"):
        settling.apply(answers)
    with (
        pytest.raises(VerificationFailed, match="a later run has taken"),
        builder.ledger.transaction(),
    ):
        pass

    assert {"planned": 8, "sent": 2} == states(builder)


def test_a_later_run_waits_for_the_batch_that_is_under_way(builder, tmp_path):
    """Else that batch would become durable after the other had looked for what is in doubt."""
    schema = pointer_of(tmp_path / "out").schema
    lock = "SELECT epoch FROM runs ORDER BY epoch DESC LIMIT 1 FOR UPDATE NOWAIT"
    with builder.ledger.transaction(), pytest.raises(psycopg.errors.LockNotAvailable):
        meddle(schema, lock)
    meddle(schema, lock)


def test_a_lost_connection_stops_all_writing_and_nothing_is_lost(builder, tmp_path, url):
    """It is never replaced in the same run; the next one finds every row where it was."""
    export = builder.plan("cards.csv", 10)
    settling, answers = sent(builder, export, 3)
    settling.apply(answers[:1])
    pid = builder.ledger._driver.info.backend_pid
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    for _ in range(2):
        with pytest.raises(LocalStorageFailed):
            settling.apply(answers[1:])
    with pytest.raises(LocalStorageFailed):
        builder.ledger.note("anything", resource="x")
    with closing(Ledger(ledger_url(tmp_path / "out"), builder.clock)) as ledger:
        after = Builder(ledger, builder.clock)
        after.begin("run-2")

        assert {"planned": 7, "sent": 2, "tokenized": 1} == states(after)


def test_what_tables_hold_is_known_before_all_of_it_is_read(builder, tmp_path, url):
    """Else the server would plan as for empty tables, and compare each row with every other."""
    builder.settle(builder.plan("cards.csv", 60))
    builder.ledger.renew_sections()
    schema = pointer_of(tmp_path / "out").schema
    asked = """
        SELECT reltuples, most_common_vals::text FROM pg_class
        JOIN pg_stats ON tablename = relname AND schemaname = relnamespace::regnamespace::text
        WHERE relname = 'rows' AND attname = 'state' AND schemaname = %s"""
    with psycopg.connect(url) as connection:
        found = connection.execute(asked, (schema,)).fetchone()

    assert found == (60, "{tokenized}")


@pytest.mark.usefixtures("url")
def test_the_ledger_that_a_folder_names_is_never_made_anew(tmp_path):
    """In another database, or once its schema is gone, a new one would send every card again."""
    schema = begun(tmp_path)
    meddle(schema, f'DROP SCHEMA "{schema}" CASCADE')

    with pytest.raises(VerificationFailed, match=r"names is not in this database"):
        Ledger(ledger_url(tmp_path), StepClock())


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'{"version":1,"url":{"env":"X"},"schema":"public"}', b"\xff"],
)
def test_a_pointer_that_says_nothing_sensible_is_refused(tmp_path, content):
    """Nobody guesses where a ledger is."""
    (tmp_path / POINTER_NAME).write_bytes(content)
    (tmp_path / POINTER_NAME).chmod(0o600)

    with pytest.raises(VerificationFailed, match=POINTER_NAME):
        ledger_url(tmp_path)


def test_a_folder_keeps_the_kind_of_ledger_that_it_was_begun_with(tmp_path, url, monkeypatch):
    """Settings that say another are refused, whichever way round."""
    source = SecretSource(env=URL_NAME)
    begun(tmp_path / "elsewhere")
    monkeypatch.delenv(URL_NAME)
    begun_here = new_builder(tmp_path / "here")
    begun_here.ledger.close()

    with pytest.raises(SettingsRefused, match="is in PostgreSQL"):
        ledger_url_of_run(tmp_path / "elsewhere", None, None)
    with pytest.raises(SettingsRefused, match="is in SQLite"):
        ledger_url_of_run(tmp_path / "here", source, url)
    with pytest.raises(SettingsRefused, match=URL_NAME):
        ledger_url(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("postgresql://u:hidden@db.example.com/x?sslmode=require", "verify-full"),
        ("postgresql://u:hidden@127.0.0.1,db.example.com/x?sslmode=prefer", "verify-full"),
        ("postgresql://u:hidden@localhost/x?hostaddr=192.0.2.1&sslmode=disable", "verify-full"),
        ("postgresql://u:hidden@/x", "names no host"),
        ("postgresql://u:hidden@localhost/x?service=other", "service"),
        ("postgresql://u:hidden@localhost/x?hidden=1", "no URL of PostgreSQL"),
    ],
)
def test_a_url_whose_connection_would_not_be_private_is_refused(text, wrong):
    """Beyond this machine the server proves who it is; no message holds a part of the URL."""
    with pytest.raises(SettingsRefused, match=wrong) as refused:
        parameters_of(text)

    assert "hidden" not in str(refused.value)
    assert "example.com" not in str(refused.value)


def test_beyond_this_machine_the_server_always_has_to_prove_who_it_is():
    """Without a word in the URL, too, whatever the environment says; on a socket nothing is asked."""
    assert parameters_of("postgresql://u@db.example.com/x")["sslmode"] == "verify-full"
    assert "sslmode" not in parameters_of("postgresql://u@/x?host=/run/postgresql")
    assert "sslmode" not in parameters_of("postgresql://u@[::1]:5433/x")


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("postgresql://hidden:hidden@127.0.0.1:1/hidden", LocalStorageFailed),
        ("postgresql://hidden:hidden@/hidden?host=/hidden", LocalStorageFailed),
        ("postgresql://nobody_hidden@/postgres?host={folder}", SettingsRefused),
        ("postgresql://postgres@/no_hidden?host={folder}", SettingsRefused),
        ("mysql://hidden@localhost/x", SettingsRefused),
    ],
)
def test_a_server_that_is_not_there_and_one_that_refuses_are_told_apart(tmp_path, place, kind):
    """The first passes (5), the second is for somebody to set right (7); neither text is repeated."""
    text = place.format(folder=postgres.server().folder)
    source = SecretSource(env=URL_NAME)
    with pytest.raises(kind) as refused:
        Ledger(ledger_url_of_run(tmp_path, source, text), StepClock())

    assert "hidden" not in f"{refused.value} {refused.value.next_step}"
    assert refused.value.__cause__ is None
    assert "hidden" not in repr(LedgerUrl(text))


def test_a_user_without_the_rights_is_told_which_to_grant(tmp_path, url):
    """The doctor says so the day before; a run makes nothing, not even a part."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS rights WITH (FORCE)")
        connection.execute("CREATE DATABASE rights")
        connection.execute("REVOKE ALL ON DATABASE rights FROM PUBLIC")
        connection.execute("DROP ROLE IF EXISTS clerk")
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("GRANT CONNECT ON DATABASE rights TO clerk")
        text = postgres.server().url("rights", "clerk")
        place = ledger_url_of_run(tmp_path, SecretSource(env=URL_NAME), text)
        settings = Settings(ledger=LedgerSettings(url=SecretSource(env=URL_NAME)))
        secrets = Credentials(SecretStr(""), ledger_url=SecretStr(text))
        with pytest.raises(SettingsRefused, match="CREATE and TEMPORARY"):
            Ledger(place, StepClock())
        (before,) = ledger_findings(settings, secrets, tmp_path)
        connection.execute("GRANT CREATE, TEMPORARY ON DATABASE rights TO clerk")
        (after,) = ledger_findings(settings, secrets, tmp_path)
        Ledger(place, StepClock()).close()

    assert (7, 0) == (before.exit_code, after.exit_code)
    assert "TEMPORARY" in before.remedy


def test_a_server_that_may_lose_what_it_acknowledged_is_refused(tmp_path, url):
    """With fsync off a power cut would make every token after it a second one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        try:
            # The server takes a moment to read its settings.
            for _ in range(100):
                if connection.execute("SHOW fsync").fetchone() == ("off",):
                    break
                threading.Event().wait(0.05)
            with pytest.raises(SettingsRefused, match="fsync"):
                new_builder(tmp_path)
        finally:
            connection.execute("ALTER SYSTEM RESET fsync")
            connection.execute("SELECT pg_reload_conf()")
            for _ in range(100):
                if connection.execute("SHOW fsync").fetchone() == ("on",):
                    break
                threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ('ledger.url="postgresql://u:hidden@localhost/x"', "sqlite"),
        ("ledger.url={ fd = 3 }", "env or a file"),
        ('ledger.url={ env = "NOT_SET_ANYWHERE" }', "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_the_url_never_stands_in_the_settings_and_is_named_where_it_lasts(setting, wrong):
    """It holds a password, and later commands have to find it, too."""
    found = read_settings(None, {"OMISE_PUBLIC_KEY": "pkey_test_x"}, [setting])

    assert [wrong in problem for problem in found.problems] == [True]
    assert "hidden" not in str(found.problems)


def test_the_urls_own_variable_is_where_the_url_is_not_what_it_is():
    """`CARDFERRY_LEDGER_URL` alone is enough, and its text comes into no settings."""
    environ = {"OMISE_PUBLIC_KEY": "pkey_test_x", URL_NAME: "postgresql://u:hidden@localhost/x"}
    found = read_settings(None, environ)

    assert found.settings.ledger.url == SecretSource(env=URL_NAME)
    assert found.credentials.ledger_url.get_secret_value() == environ[URL_NAME]
    assert "hidden" not in repr(found)
