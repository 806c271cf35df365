"""A vault that cannot be reached is told within seconds, with address and cause."""

import ssl
import threading
import time

import pytest
import trustme

from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.errors import VaultRefusedSettings
from pipeline.migration.vault_reachability import reach_vault
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.exports import keyring
from tests.support.raw_server import PATIENCE_S, Conversation, RawServer
from tests.support.sandbox import running

HURRY = "tests.support.hooks:hurry"


def _told(tmp_path, url, *lines, code, hook=HURRY):
    config = settings(tmp_path, url, *lines)
    started = time.monotonic()
    words = ("run", sealed(tmp_path, rows_csv(3)), "-c", config, "-o", tmp_path / "out")
    done = cardferry(*words, code=code, hook=hook)
    assert time.monotonic() - started < 240, "an outage was waited for"
    return done


def test_a_vault_that_refuses_connections_is_named(tmp_path):
    """Exit code 4, address and cause, and no card was sent; the same command goes on later.

    This one waits as long as it does for an operator.
    """
    done = _told(tmp_path, "http://127.0.0.1:9", code=4, hook=None)

    assert "the vault at 127.0.0.1:9 cannot be reached: it refuses connections" in done.err
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        shown = cardferry("status", tmp_path / "out", "--json").json
    assert 3 == shown["pending"]
    assert config.exists()


def test_a_name_that_does_not_exist_is_named(tmp_path):
    """The cause is the name, not the vault."""
    config = tmp_path / "live.toml"
    key = tmp_path / "migration.key"
    key.write_bytes(keyring().secret("cv25519").read_bytes())
    key.chmod(0o600)
    config.write_text(
        '[vault]\nurl = "https://vault.invalid"\nmode = "live"\n'
        'public_key = { env = "KEY" }\n[export]\nkey = { file = "migration.key" }\n',
        "utf-8",
    )
    export, folder = sealed(tmp_path, rows_csv(3)), tmp_path / "out"
    words = ("run", export, "-c", config, "-o", folder)
    done = cardferry(*words, code=4, environment={"KEY": "pkey_live"}, hook=HURRY)

    assert "the vault at vault.invalid:443 cannot be reached: there is no such name" in done.err


def test_a_certificate_of_nobody_we_know_is_told_as_such(tmp_path):
    """TLS that proves nothing ends with 7, before a card is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with RawServer(Conversation.wait_until_client_leaves, tls=context) as server:
        address = f"localhost:{server.port}"
        done = _told(tmp_path, server.url, code=7)

    assert address in done.err
    assert "certificate" in done.err
    assert [] == server.requests


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"])
def test_nothing_is_sent_to_ask_whether_somebody_is_there(tmp_path, answer):
    """The question before the first card is a GET without a key and without a body."""

    def behave(talk):
        talk.read_request()
        talk.send(answer)

    with RawServer(behave) as server:
        config = settings(tmp_path, server.url, "outage_max_s = 1", "drain_s = 0")
        words = ("run", sealed(tmp_path, rows_csv(1)), "-c", config, "-o", tmp_path / "out")
        cardferry(*words, code=None, hook=HURRY)
        first = server.requests[0]

    assert first.startswith(b"GET / HTTP/1.1\r\n")
    assert b"authorization" not in first.lower()


def test_a_vault_behind_a_gateway_that_says_503_gets_no_card(tmp_path):
    """An outage for everybody holds no row: exit code 4, the status by name, and nothing was sent."""

    def behave(talk):
        talk.read_request()
        talk.send(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")

    with RawServer(behave) as server:
        done = _told(tmp_path, server.url, code=4)

    assert "is out of order: it answers a harmless request with status 503" in done.err
    assert "no card was sent" in done.err
    assert "cannot be reached" not in done.err
    assert "again when the vault is well" in done.err
    assert {b"GET / HTTP/1.1"} == {request.splitlines()[0] for request in server.requests}


def test_what_a_vault_out_of_order_answers_is_named(tmp_path):
    """Cards that meet nothing but 503 say so in words and in the JSON of the run."""
    with running(faults="5553") as vault:
        config = settings(tmp_path, vault.base_url, "in_flight_max = 1", "outage_max_s = 100")
        export, folder = sealed(tmp_path, rows_csv(9)), tmp_path / "out"
        done = cardferry("run", export, "-c", config, "-o", folder, "--json", code=4, hook=HURRY)

    assert 3 == done.json["this_run"]["troubles"]["status 500"]
    assert done.json["this_run"]["troubles"]["status 503"] > 3
    assert "longer than flow.outage_max_s; what most requests met: status 503" in done.err


def test_check_needs_no_vault(tmp_path):
    """Pass 1 opens no connection."""
    config = settings(tmp_path, "http://127.0.0.1:9")

    done = cardferry("check", sealed(tmp_path, rows_csv(3)), "-c", config)

    assert "3" in done.out


def _both(vault_url, api_url):
    """Give settings and secrets of a migration that attaches its cards."""
    return load_settings(
        None,
        {},
        [
            f'vault.url="{vault_url}"',
            "vault.public_key=pkey_test_x",
            "export.allow_plaintext=true",
            "export.columns.customer=owner",
            f'attach.url="{api_url}"',
            "attach.secret_key=skey_test_x",
        ],
    )


def test_both_hosts_are_asked_at_once():
    """The vault may take its time: the API host is asked meanwhile."""
    asked = threading.Event()

    def slow(talk):
        talk.read_request()
        talk.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n" * asked.wait(PATIENCE_S))

    def refusing(talk):
        talk.read_request()
        asked.set()
        talk.send(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")

    with RawServer(slow) as vault, RawServer(refusing) as api:
        with pytest.raises(VaultRefusedSettings, match=r"attach\."):
            reach_vault(*_both(vault.url, api.url), SystemClock(), is_attaching=True)

        assert [b"GET / HTTP/1.1"] == [one.splitlines()[0] for one in vault.requests]


def test_what_both_hosts_refuse_is_told_at_once():
    """Two certificates that prove nothing are one list of problems, each by its own setting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with (
        RawServer(Conversation.wait_until_client_leaves, tls=context) as host,
        pytest.raises(VaultRefusedSettings) as refused,
    ):
        reach_vault(*_both(host.url, host.url), SystemClock(), is_attaching=True)

    assert {"vault.url", "attach.url"} == {told.split()[0] for told in refused.value.problems}
