"""Coming to a ledger in PostgreSQL: who is let in, who is believed, and what is said where not."""

import contextlib
import socket
import threading

import psycopg
import pytest
import trustme
from psycopg.sql import SQL, Identifier

from pipeline.config.addresses import SecretSource
from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url_of_run
from tests.support import postgres
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.ledgers import URL_NAME, StepClock
from tests.support.postgres import GUARDED, PASSWORD
from tests.support.sandbox import running

HOST = "db.example.test"
"""The name in the server's certificate; hostaddr says that it is here, which the name does not."""


@pytest.fixture(scope="module")
def tls():
    """A server that listens beyond its socket, and the authority that vouches for it."""
    authority = trustme.CA()
    made = authority.issue_cert(HOST)
    server = postgres.new_server(
        postgres.new_folder(),
        (made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes()),
    )
    server.guard()
    yield server, authority
    server.remove()


@pytest.fixture
def trusted(tls, tmp_path):
    """The file of the authority's certificate."""
    tls[1].cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def opened(folder, text):
    folder = folder / "out"
    folder.mkdir(mode=0o700, exist_ok=True)
    return Ledger(ledger_url_of_run(folder, SecretSource(env=URL_NAME), text), StepClock())


def refused(folder, text, kind=SettingsRefused):
    """Give what is said of a URL that leads nowhere, once it is known to hold no part of it."""
    with pytest.raises(kind) as caught:
        opened(folder, text)
    said = f"{caught.value.message} {caught.value.next_step}"
    assert caught.value.__cause__ is None
    assert not any(word in said for word in ("hidden", HOST, "127.0.0.1", "nobody"))
    return said


def url_by_tls(server, user="postgres", host=HOST, more=""):
    return f"postgresql://{user}@{host}:{server.port}/postgres?hostaddr=127.0.0.1{more}"


def test_beyond_this_machine_the_line_is_encrypted_and_the_server_has_proved_who_it_is(
    tls, trusted, tmp_path
):
    """By its certificate, for the name in the URL; half an hour of silence is noticed in half a minute."""
    server, _ = tls
    ledger = opened(tmp_path, url_by_tls(server, more=f"&sslrootcert={trusted}"))
    is_encrypted, version = ledger._driver.execute(
        "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    ).fetchone()
    alive = ledger._driver.execute("SHOW tcp_keepalives_idle").fetchone()
    ledger.close()

    assert is_encrypted
    assert version in {"TLSv1.2", "TLSv1.3"}
    assert alive == ("10",)


@pytest.mark.parametrize(
    ("which", "wrong"),
    [
        ((HOST, ""), "no certificate to trust is here"),
        ((HOST, "&sslrootcert={other}"), "a certificate that is not to be trusted"),
        (("elsewhere.example.test", "&sslrootcert={trusted}"), "a certificate for another name"),
        ((HOST, "&sslmode=require&sslrootcert={trusted}"), "must have sslmode=verify-full"),
        ((HOST, "&sslmode=disable"), "must have sslmode=verify-full"),
    ],
)
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    tls, trusted, tmp_path, monkeypatch, which, wrong
):
    """Exit code 7 and the reason; neither password nor statement leaves this machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    host, more = which[0], which[1].format(trusted=trusted, other=other)
    said = refused(tmp_path, url_by_tls(tls[0], f"{GUARDED}:{PASSWORD}", host, more))

    assert wrong in said


def test_a_server_that_offers_no_tls_gets_nothing(tmp_path, trusted):
    """It answers with its one letter, and the connection ends there."""
    got = []
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer():
            line, _ = listener.accept()
            with line:
                got.append(line.recv(8))
                line.sendall(b"N")
                got.append(line.recv(1024))

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        text = f"postgresql://u:{PASSWORD}@{HOST}:{port}/x?hostaddr=127.0.0.1&sslrootcert={trusted}"
        said = refused(tmp_path, text)
        thread.join()

    assert "offers no TLS" in said
    assert got[1] == b""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"{GUARDED}:hidden@/postgres", "does not take this password"),
        (f"{GUARDED}@/postgres", "asks for a password, and the URL has none"),
        (f"{GUARDED}:{PASSWORD}@/no_hidden", "has no database of this name"),
        ("nobody_hidden@/postgres", "knows no such user"),
    ],
)
def test_whom_the_server_does_not_let_in_learns_why_and_what_to_do(tls, tmp_path, text, wrong):
    """Exit code 7; user, password and database are not repeated."""
    server, _ = tls

    assert wrong in refused(
        tmp_path, f"postgresql://{text}?host={server.folder}&port={server.port}"
    )


def test_whom_the_server_knows_but_not_from_there_learns_that(tls, tmp_path):
    """Its rules ask for TLS on an address, and this URL, which stays on this machine, gives it up."""
    port = tls[0].port
    text = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"

    assert "neither from this machine nor in this way" in refused(tmp_path, text)


def test_a_server_that_is_full_passes_and_says_so(tls, tmp_path):
    """Exit code 5: the same command goes on once somebody has left."""
    server, _ = tls
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(server.url()))
        said = refused(tmp_path, server.url(), LocalStorageFailed)

    assert "has no connection left" in said
    assert "max_connections" in said


def test_a_server_whose_name_is_not_to_be_found_passes_and_says_so(tmp_path):
    """Exit code 5, and what to look at."""
    said = refused(tmp_path, "postgresql://u@nowhere.invalid/x", LocalStorageFailed)

    assert "a name that cannot be looked up" in said


def test_the_password_is_nowhere_whatever_goes_well_or_wrong(tls, trusted, tmp_path):
    """Neither in what commands say and log, nor in the folder, nor in the ledger's own tables."""
    server, _ = tls
    right = url_by_tls(server, f"{GUARDED}:{PASSWORD}", more=f"&sslrootcert={trusted}")
    wrong = right.replace(PASSWORD, "other-hidden-word")
    out, log = tmp_path / "out", tmp_path / "log"
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        export = sealed(tmp_path, rows_csv(5))
        logged = ("-vv", "--log-file", log)
        said = [
            cardferry(*words, environment={URL_NAME: text}, code=code)
            for words, text, code in (
                (("config", "-c", config), right, 0),
                (("run", export, "-c", config, "-o", out, *logged), right, 0),
                (("doctor", "-c", config), wrong, None),
                (("run", export, "-c", config, "-o", out, *logged), wrong, 7),
                (("status", out), wrong, 7),
            )
        ]
    kept = [path.read_bytes() for path in (log, *out.iterdir())]
    kept += [(one.out + one.err).encode() for one in said]
    with psycopg.connect(server.url()) as connection:
        named = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema LIKE 'cardferry%'"
        ).fetchall()
        for schema, name in named:
            asked = SQL("SELECT t::text FROM {} t").format(Identifier(schema, name))
            kept.append(repr(connection.execute(asked).fetchall()).encode())

    assert len(named) > 20
    assert "does not take this password" in said[3].err
    for text in kept:
        assert PASSWORD.encode() not in text
        assert b"other-hidden-word" not in text
