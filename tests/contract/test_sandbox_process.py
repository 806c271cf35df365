"""The process: how it starts, stops, is killed, goes on, and what it leaves on disk."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
from contextlib import closing

import httpx
import pytest

from tests.bench.sandbox import measure
from tests.support.sandbox import ROOT, card, command, read_journal, spawned

CODE = "security-code-7391"


def run(*arguments, before=""):
    """Run the command to its end; gives the finished process."""
    words = command(*arguments)
    words[2] = before + words[2]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_sandbox_cleanly(number):
    """Exit status 0, also with an open connection and a hanging request."""
    with spawned("--faults", ".H") as sandbox, httpx.Client(trust_env=False) as client:
        client.get(sandbox.base_url + "/tokens/x")
        with pytest.raises(httpx.ReadTimeout):
            client.get(sandbox.base_url + "/tokens/x", timeout=0.2)
        with socket.create_connection(sandbox.address) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\n\r\n")
            status = sandbox.stop(number)

    assert status == 0


def test_the_ready_line_is_all_that_stdout_gets(tmp_path):
    """`listening on http://H:P`, and nothing for requests."""
    with (tmp_path / "errors").open("w+") as errors, spawned(errors=errors) as sandbox:
        sandbox.token()
        sandbox.stop()
        out = sandbox.process.stdout.read()
        errors.seek(0)

        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", sandbox.base_url)
        assert (out, errors.read()) == ("", "")


def test_an_ipv6_address_is_written_with_brackets():
    """So that the line is a URL."""
    with spawned("--host", "::1") as sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        assert sandbox.token()["object"] == "token"


def test_a_taken_port_is_said_with_what_to_do():
    """Exit status 5, and the next step in a second line."""
    with spawned() as sandbox:
        finished = run("--port", sandbox.address[1])

    assert finished.returncode == 5
    assert "address already in use\nChoose another with --port" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--faults", "..x"), "none of the letters"),
        (("--assume", "nothing=1"), "none of"),
        (("--public-key", "skey_test_x"), "a public key starts with pkey_"),
        (("--rate", "0"), "0"),
        (("--port", "70000"), "65535"),
    ],
)
def test_a_wrong_option_is_a_wrong_command_line(arguments, words):
    """Exit status 2 and a word on what is wrong."""
    finished = run(*arguments)

    assert (finished.returncode, words in finished.stderr) == (2, True)


def test_help_and_description_name_every_letter_and_object():
    """`--help` explains faults and assumptions, `--describe` the objects."""
    described = run("--describe").stdout
    help_text = run("-h").stdout

    assert "R  reset the connection" in help_text
    assert "card_after_use=null|kept" in help_text
    assert "## charge" in described


def test_a_state_file_outlives_a_kill(tmp_path):
    """Tokens, their use, customers and fingerprints; ids and journal go on and never repeat."""
    options = ("--db", tmp_path / "state")
    journal = tmp_path / "journal"
    with spawned(*options, journal=journal) as sandbox:
        tokens = [sandbox.token() for _ in range(3)]
        customer = sandbox.request("POST", "/customers", json={"card": tokens[0]["id"]}).json()
        sandbox.stop(signal.SIGKILL)
    with spawned(*options, journal=journal) as sandbox:
        again = [sandbox.request("GET", f"/tokens/{token['id']}").json() for token in tokens]
        shown = sandbox.request("GET", f"/customers/{customer['id']}").json()
        new = sandbox.token()
        spent = sandbox.request("POST", "/customers", json={"card": tokens[0]["id"]}).json()

    assert again == [{**tokens[0], "used": True, "card": None}, *tokens[1:]]
    assert shown["cards"]["data"] == customer["cards"]["data"]
    assert new["card"]["fingerprint"] == tokens[0]["card"]["fingerprint"]
    assert spent["code"] == "used_token"
    assert new["id"] > max(token["id"] for token in tokens)
    assert [entry["seq"] for entry in read_journal(journal)] == [1, 2, 3, 4, 5]


def test_every_answered_token_is_in_journal_and_state_when_killed_under_load(tmp_path):
    """Killed in the middle of many requests; what a client was told is true afterwards."""
    told = []

    def post(base_url):
        with httpx.Client(base_url=base_url, auth=("pkey_test_x", ""), trust_env=False) as client:
            try:
                while True:
                    told.append(client.post("/tokens", json={"card": card()}).json()["id"])
            except httpx.TransportError:
                pass

    options = ("--db", tmp_path / "state")
    with spawned(*options, journal=tmp_path / "journal") as sandbox:
        threads = [threading.Thread(target=post, args=(sandbox.base_url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(told) < 100:
            threads[0].join(0.01)
        sandbox.stop(signal.SIGKILL)
        for thread in threads:
            thread.join()
    made = [entry["token"] for entry in read_journal(tmp_path / "journal")]
    with spawned(*options) as sandbox:
        known = [sandbox.request("GET", f"/tokens/{ident}").status_code for ident in told[-20:]]

    assert set(told) <= set(made)
    assert len(set(made)) == len(made)
    assert known == [200] * 20


def test_one_state_file_serves_one_sandbox(tmp_path):
    """The second one ends with exit status 5 and says why."""
    with spawned("--db", tmp_path / "state"):
        finished = run("--port", 0, "--db", tmp_path / "state")

    assert finished.returncode == 5
    assert "held by another sandbox" in finished.stderr


@pytest.mark.parametrize("option", ["--db", "--journal"])
def test_a_file_that_cannot_be_opened_is_said(tmp_path, option):
    """Exit status 5; the other sandbox options are fine."""
    finished = run("--port", 0, option, tmp_path / "missing" / "file")

    assert finished.returncode == 5
    assert "Traceback" not in finished.stderr


def test_no_number_and_no_code_is_left_anywhere(tmp_path):
    """Not in state, journal or output, after good, bad, faulty and charged cards."""
    number, spaced = "5555555555554444", "5555 5555 5555 4444"
    with (tmp_path / "errors").open("w") as errors:
        options = ("--db", tmp_path / "state", "--faults", "...DTWLJ5.")
        with spawned(*options, journal=tmp_path / "journal", errors=errors) as sandbox:
            token = sandbox.token(number=number, security_code=CODE, name=f"Holder {spaced}")
            sandbox.token(number=spaced, security_code=CODE, expiration_year=2001)
            sandbox.request("POST", "/customers", json={"card": token["id"]})
            for _ in range(7):
                with_form = {"card[number]": number, "card[security_code]": CODE, "card[name]": "x"}
                with_form |= {"card[expiration_month]": "1", "card[expiration_year]": "31"}
                try:
                    sandbox.request("POST", "/tokens", data=with_form)
                except httpx.TransportError:
                    continue
            sandbox.stop(signal.SIGKILL)
            out = sandbox.process.stdout.read().encode()
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert {"state", "journal", "errors"} <= set(left)
    assert b"4444" in left["journal"]
    for content in (out, *left.values()):
        for secret in (number, spaced, CODE, number[:-4]):
            assert secret.encode() not in content


def test_the_journal_is_for_its_owner_only(tmp_path):
    """Mode 0600 whatever the umask."""
    umask = os.umask(0)
    try:
        with spawned(journal=tmp_path / "journal") as sandbox:
            sandbox.token()
    finally:
        os.umask(umask)

    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_a_bug_is_confessed_without_what_the_request_held(tmp_path):
    """500 internal_error for the client, a type and a place on stderr, no token, and on it goes."""
    state = tmp_path / "state"
    with (tmp_path / "errors").open("w+") as errors:
        with spawned("--db", state, journal="/dev/full", errors=errors) as sandbox:
            answer = sandbox.request("POST", "/tokens", json={"card": card()})
            after = sandbox.request("GET", "/tokens/x").status_code
            sandbox.stop()
        errors.seek(0)
        confession = errors.read()

    assert (answer.status_code, answer.json()["code"], after) == (500, "internal_error", 404)
    assert re.fullmatch(r"sandbox: OSError in _append, line \d+\n", confession)
    with closing(sqlite3.connect(state)) as kept:
        assert kept.execute("SELECT count(*) FROM tokens").fetchone() == (0,)


@pytest.mark.slow
def test_speed_and_memory_stay_as_promised():
    """2,500 tokens a second of its processor time at least, and no more memory for ten times the tokens."""
    bounded = ["--tokens-max", "20000"]
    *_, small = measure(20_000, 32, bounded)
    ok, _, rate, large = measure(200_000, 32, bounded)

    assert ok == 200_000
    assert rate > 2_500
    assert large < 1.25 * small
