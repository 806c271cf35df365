"""The trail tells everything that PCI DSS 10.2 asks for: who, what, when, how it went, where, on what."""

import json
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing

import pytest

from pipeline.ledger.last_close import note_how_left
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until
from tests.support.folders import past_the_rules, private_pem, public_pem
from tests.support.migrations import Migration, new_rows
from tests.support.programs import require
from tests.support.sandbox import running

FIELDS = {"seq", "at", "run_id", "actor", "origin", "event", "resource", "success", "detail"}


def events_of(folder):
    """Read the events from the ledger, the last publications and verifications among them."""
    with closing(sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
        found = ledger.execute("SELECT body FROM events ORDER BY seq").fetchall()
    return [json.loads(body) for (body,) in found]


def told(folder, kind):
    return [event["detail"] for event in events_of(folder) if event["event"] == kind]


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A sealed export, run with a signing key, and run once more."""
    work = tmp_path_factory.mktemp("signed")
    export = sealed(work, rows_csv(30))
    (work / "audit.pem").write_text(private_pem())
    (work / "audit.pem").chmod(0o600)
    (work / "audit.pub.pem").write_bytes(public_pem())
    with running() as vault:
        audit = ("[audit]", 'signing_key = { file = "audit.pem" }', 'operator = "somchai"')
        config = settings(work, vault.base_url, *audit)
        cardferry("run", export, "-c", config, "-o", work / "out")
        cardferry("run", export, "-c", config, "-o", work / "out")
    return work


def test_every_event_says_who_what_when_how_it_went_where_and_on_what(signed):
    """No event lacks a field, and none of them is empty."""
    for event in events_of(signed / "out"):
        assert event.keys() == FIELDS
        assert "somchai" == event["actor"]
        assert event["origin"].rpartition(":")[2].isdigit()
        assert event["at"].endswith("Z")
        assert event["event"]
        assert event["resource"]


def test_a_run_tells_of_its_start_its_files_its_key_its_outcomes_and_its_end(signed):
    """In the order in which they happened, for the run that sends and for the one that has nothing."""
    kinds = [event["event"] for event in events_of(signed / "out")]
    first = ["run_started", "export_opened", "export_proved", "export_opened_to_send"]
    first += ["limits_changed", "outcomes_settled", "run_ended"]
    published = ["outputs_published", "outputs_in_place"]

    second = ["run_started", "export_known", "run_ended", "outputs_unchanged"]
    assert [*first, *published, *second] == kinds


def test_the_key_that_opened_the_export_is_named(signed):
    """Proving and sending each use it, and both say so."""
    keys = [*told(signed / "out", "export_proved"), *told(signed / "out", "export_opened_to_send")]

    assert 1 == len({event["key"] for event in keys})
    assert keys[0]["key"]


def test_a_run_signs_what_it_publishes(signed):
    """With `audit.signing_key` set, stock openssl checks the manifest as the run left it."""
    require("openssl")
    command = "openssl pkeyutl -verify -pubin -inkey {} -rawin -in manifest.json -sigfile {}"
    words = command.format(signed / "audit.pub.pem", "manifest.json.sig").split()
    done = subprocess.run(words, cwd=signed / "out", capture_output=True, check=False)

    assert 0 == done.returncode, done.stderr
    assert all(event["signing_key"] for event in told(signed / "out", "outputs_published"))


def test_a_run_that_signs_believes_no_forged_note_of_how_the_ledger_was_left(signed, tmp_path):
    """Rows that were changed by hand behind a note that nobody did are found, and nothing is signed."""
    out = tmp_path / "out"
    shutil.copytree(signed / "out", out)
    past_the_rules(out, "UPDATE tokens SET token_id = 'tokn_test_x' WHERE row_id = 10000000003")
    note_how_left(out / "ledger.sqlite")
    manifest = (out / "manifest.json").read_bytes()
    words = ("run", signed / "cards.csv.pgp", "-c", signed / "settings.toml", "-o", out)

    assert "changed by another program" in cardferry(*words, code=8).err
    assert manifest == (out / "manifest.json").read_bytes()


def test_a_signing_key_that_cannot_sign_is_refused_before_anything_is_read(tmp_path):
    """The run leaves with 7 and makes no folder: no card is sent that could not be vouched for."""
    export = sealed(tmp_path, rows_csv(2))
    (tmp_path / "audit.pem").write_text("no key")
    (tmp_path / "audit.pem").chmod(0o600)
    with running() as vault:
        audit = ("[audit]", 'signing_key = { file = "audit.pem" }')
        config = settings(tmp_path, vault.base_url, *audit)
        done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", code=7)

    assert "audit.signing_key" in done.err
    assert not (tmp_path / "out").exists()


def test_outcomes_are_told_by_the_thousand_and_at_the_end(tmp_path):
    """The counts of all batches together are the outcomes that the ledger holds."""
    with running(journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=64)
        migration.add(new_rows(1_300))
        assert 0 == migration.run().code
    batches = told(migration.out, "outcomes_settled")
    total = sum(map(Counter, batches), Counter())

    assert 2 == len(batches)
    assert 1_000 <= batches[0]["outcomes"] < 1_064
    assert {"outcomes": 1_300, "ok": 1_300} == dict(total)


def test_a_limit_that_changes_is_told(tmp_path):
    """After an answer of 429 the trail tells of a lower rate."""
    with running(journal=tmp_path / "journal", faults="8.") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.configure(pace=20)
        migration.add(new_rows(20))
        assert 0 == migration.run().code
    limits = told(migration.out, "limits_changed")

    assert "20.000" == limits[0]["rate_per_s"]
    assert float(limits[-1]["rate_per_s"]) < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_told_once_when_it_comes(tmp_path, number):
    """Before what was in flight is settled and the run ends."""
    with running(journal=tmp_path / "journal", latency_s=0.3) as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(40))
        started = migration.start()
        wait_until(lambda: migration.journal)
        started.signal(number)
        started.wait()
    kinds = [event["event"] for event in events_of(migration.out)]

    assert [{"signal": number.name}] == told(migration.out, "signal_received")
    assert kinds.index("signal_received") < kinds.index("outcomes_settled")


def test_a_trail_that_cannot_be_written_stops_the_run_before_the_next_send(tmp_path):
    """When the database takes no more events, what is in flight is the last that was sent."""
    with running(journal=tmp_path / "journal", latency_s=0.005) as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(1_500))
        ended = migration.run(hook="tests.support.hooks:refuse_events_of_outcomes", timeout=200)

    assert ended.code in {5, 8}, ended.said
    assert 1_000 <= len(migration.journal) <= 1_000 + 2 * migration.in_flight_max
