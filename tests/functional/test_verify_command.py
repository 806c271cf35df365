"""`cardferry verify` and `cardferry publish` from the outside: exit codes, words, exports again."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.ledger.lock import migration_lock
from tests.support import independent_check
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.folders import (
    found_in,
    past_that_fits,
    private_pem,
    public_pem,
    publish_as_forger,
    published,
    without_rules,
)
from tests.support.programs import require
from tests.support.sampled import sampled, slow
from tests.support.sandbox import running

OWN = ("ledger.sqlite", ".lock", ".proved")
"""What is the ledger's own affair, and none of what was published."""
BAD_ROWS = (
    "x-1,Ann,12,1,2031,Bangkok,c\n"
    "x-2,Ann,4242424242424242,13,2031,Bangkok,c\n"
    "id-3,Again,4242424242424242,1,2031,Bangkok,c\n"
    "x-5,too,few\n"
)


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """A real run over a real export: good rows, bad rows, a doubled id."""
    work = tmp_path_factory.mktemp("carried")
    export = sealed(work, rows_csv(40) + BAD_ROWS.encode())
    (work / "audit.pem").write_text(private_pem())
    (work / "audit.pem").chmod(0o600)
    (work / "audit.pub.pem").write_bytes(public_pem())
    with running() as vault:
        audit = ("[audit]", 'signing_key = { file = "audit.pem" }')
        config = settings(work, vault.base_url, *audit)
        cardferry("run", export, "-c", config, "-o", work / "out", code=3)
    cardferry("publish", work / "out", "-c", config)
    return work


def copied(carried, tmp_path):
    shutil.copytree(carried / "out", tmp_path / "out")
    return tmp_path / "out"


def change(folder, *statements):
    """Change the ledger past its triggers, and leave them as they were."""
    with without_rules(folder) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_real_run_verifies_with_the_public_key(carried):
    """What a run and a publish leave verifies, and the answer says that the signature is valid."""
    answer = cardferry(
        "verify", carried / "out", "--public-key", carried / "audit.pub.pem", "--json"
    ).json

    assert (True, "valid", []) == (answer["verified"], answer["signature"], answer["differences"])


def test_without_the_key_verify_says_what_it_did_not_check(carried):
    """A signature that was not checked is never passed over in silence."""
    done = cardferry("verify", carried / "out")

    assert "the signature was not checked" in done.out


def test_the_export_is_compared_row_by_row(carried):
    """With the export itself, every row's id, last digits and expiration are read again."""
    export, config = carried / "cards.csv.pgp", carried / "settings.toml"
    done = cardferry("verify", carried / "out", "--export", export, "-c", config)

    assert "cards.csv.pgp: every row compared with the export" in done.out


@pytest.mark.parametrize(
    ("column", "value", "row"),
    [
        ("last_digits", "'0001'", 7),
        slow("expiration_year", "2033", 8),
        slow("legacy_id", "'id-x'", 9),
    ],
)
def test_a_ledger_and_files_changed_together_are_caught_by_the_export(
    carried, tmp_path, column, value, row
):
    """Even a forger who writes the past anew and publishes with our own writer cannot change the export."""
    folder = copied(carried, tmp_path)
    change(folder, f"UPDATE rows SET {column} = {value} WHERE id = {10_000_000_000 + row}")  # noqa: S608
    past_that_fits(folder)
    publish_as_forger(folder)
    export, config = carried / "cards.csv.pgp", carried / "settings.toml"
    done = cardferry("verify", folder, "--export", export, "-c", config, "--json", code=8)
    places = [difference["place"] for difference in done.json["differences"]]

    assert f"export cards.csv.pgp, row {row}, column {column}" in places


def test_another_export_is_not_taken_for_one_of_this_migration(carried, tmp_path):
    """An export that this migration never read is named as such."""
    stranger = sealed(tmp_path, rows_csv(3, seed=9), name="stranger.csv.pgp")
    config = carried / "settings.toml"
    done = cardferry(
        "verify", carried / "out", "--export", stranger, "-c", config, "--json", code=8
    )

    assert [("stranger.csv.pgp", "is not an export of this migration")] == [
        (difference["file"], difference["problem"]) for difference in done.json["differences"]
    ]


def test_a_difference_is_told_with_file_and_place(tmp_path):
    """Exit code 8, and the first line names the file and where it differs."""
    folder = published(tmp_path / "migration")
    content = bytearray((folder / "report.json").read_bytes())
    content[10] ^= 4
    (folder / "report.json").write_bytes(content)
    done = cardferry("verify", folder, code=8)

    assert "report.json: byte 11, line 2: is not what was published" in done.err


def state(folder, *but):
    return {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.iterdir()
        if not p.name.startswith(but)
    }


def verifications(folder):
    connection = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)
    bodies = connection.execute("SELECT body FROM events ORDER BY seq").fetchall()
    connection.close()
    events = [json.loads(body) for (body,) in bodies]
    return [event for event in events if event["event"] == "outputs_verified"]


def test_a_key_that_is_a_pipe_is_refused_without_waiting(tmp_path):
    """Nobody may ever write to it."""
    folder = published(tmp_path / "migration")
    os.mkfifo(tmp_path / "key.pem")

    done = cardferry("verify", folder, "--public-key", tmp_path / "key.pem", code=7)

    assert "not a regular file" in done.err


def test_a_folder_that_published_nothing_is_told_so_once(tmp_path):
    """A run that was refused leaves a ledger and no outputs: one sentence, not seven files."""
    export, config = tmp_path / "cards.csv.pgp", settings(tmp_path, "http://127.0.0.1:9")
    export.write_bytes(b"damaged")
    cardferry("run", export, "-c", config, "-o", tmp_path / "out", code=6)

    done = cardferry("verify", tmp_path / "out", "--json", code=8)

    assert ["manifest.json"] == [one["file"] for one in done.json["differences"]]


def test_verify_touches_no_published_file(tmp_path):
    """Whatever it finds, every output has the same bytes and times afterwards: it is evidence."""
    folder = published(tmp_path / "migration")
    before = state(folder, *OWN)
    cardferry("verify", folder)

    assert before == state(folder, *OWN)


def test_a_verification_is_an_event_that_changes_no_verdict_and_no_output(tmp_path):
    """Who looked, when and at what is in the chain; folder and publishing are as before."""
    folder = published(tmp_path / "migration")
    before = state(folder, *OWN)
    first = cardferry("verify", folder, "--json").json
    second = cardferry("verify", folder, "--json").json
    cardferry("publish", folder)
    noted = verifications(folder)

    assert [True, True] == [answer["noted"] for answer in (first, second)]
    assert [True, True] == [event["success"] for event in noted]
    assert all(event["actor"] and event["origin"] for event in noted)
    assert found_in(folder, key=public_pem()) == []
    assert {name: content for name, (content, _) in before.items()} == {
        name: content for name, (content, _) in state(folder, *OWN).items()
    }


def test_a_verification_that_found_something_is_an_event_too(tmp_path):
    """The event says that it failed, and on which file."""
    folder = published(tmp_path / "migration")
    flip(folder / "report.html")
    cardferry("verify", folder, code=8)

    assert [(False, "report.html")] == [
        (event["success"], event["detail"]["first_file"]) for event in verifications(folder)
    ]


def test_a_ledger_that_does_not_verify_is_left_as_it_is(tmp_path):
    """What has been tampered with is evidence, to the last byte."""
    folder = published(tmp_path / "migration")
    change(folder, "UPDATE rows SET attempts = 9 WHERE id = 10000000002")
    before = state(folder)
    cardferry("verify", folder, code=8)

    assert before == state(folder)


def test_while_a_run_holds_the_migration_verify_says_that_it_noted_nothing(tmp_path):
    """Verifying never stands in the way of a run, nor a run in the way of verifying."""
    folder = published(tmp_path / "migration")
    with migration_lock(folder):
        done = cardferry("verify", folder)

    assert "not in the trail: another run holds this migration" in done.err
    assert [] == verifications(folder)


@pytest.mark.parametrize("option", ["absent.pem", "private"])
def test_a_public_key_that_is_none_is_refused(tmp_path, option):
    """A missing file is a wrong command line; a private key in its place is a wrong setting."""
    folder = published(tmp_path / "migration")
    path = tmp_path / option
    if option == "private":
        path.write_text(private_pem())

    cardferry("verify", folder, "--public-key", path, code=7 if option == "private" else 2)


@pytest.mark.parametrize("command", ["verify", "publish"])
def test_a_folder_without_a_ledger_is_refused(tmp_path, command):
    """Neither command invents a ledger where there is none."""
    done = cardferry(command, tmp_path, code=8)

    assert "ledger" in done.err
    assert not (tmp_path / "ledger.sqlite").exists()


def test_publish_answers_in_json(tmp_path):
    """The one JSON object holds the verdict, the balance and U."""
    answer = cardferry("publish", published(tmp_path / "migration"), "--json").json

    assert 0 == answer["balance"]["difference"]
    assert "held" == answer["verdict"]["outcome"]


def independent(folder, key):
    """Run the independent check as a program of its own, without Cardferry in reach."""
    require("openssl")
    script = Path(independent_check.__file__)
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(folder), str(key)],
        capture_output=True,
        check=False,
        cwd="/",
    )
    return done.returncode == 0


TAMPERINGS = {
    "nothing": lambda _folder: None,
    "looked at": lambda folder: cardferry("verify", folder),
    "mapping": lambda folder: flip(folder / "mapping.parquet"),
    "failures": lambda folder: flip(folder / "failures.csv"),
    "report": lambda folder: flip(folder / "report.html"),
    "trail": lambda folder: flip(folder / "trail.jsonl"),
    "signature": lambda folder: flip(folder / "manifest.json.sig"),
    "manifest": lambda folder: rewrite(folder / "manifest.json"),
    "row": lambda folder: change(folder, "UPDATE rows SET attempts = 9 WHERE id = 10000000002"),
    "token": lambda folder: change(
        folder, "UPDATE tokens SET token_id = 'tokn_test_x' WHERE row_id = 10000000050"
    ),
    "latency": lambda folder: change(
        folder, "UPDATE outcomes SET latency_us = 1 WHERE attempt_id = 9"
    ),
    "event": lambda folder: change(
        folder, "UPDATE events SET body = replace(body, 'somchai', 'nobody') WHERE seq = 2"
    ),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path):
    manifest = json.loads(path.read_bytes())
    manifest["unseen_tokens_max"] = 0
    path.write_text(json.dumps(manifest, indent=2) + "\n")


@pytest.mark.parametrize("tampering", sampled(TAMPERINGS, 4))
def test_the_independent_check_agrees_with_verify(tmp_path, tampering):
    """A hundred lines without Cardferry come to the same verdict on good and bad folders."""
    folder = published(tmp_path / "migration")
    key = tmp_path / "key.pub.pem"
    key.write_bytes(public_pem())
    TAMPERINGS[tampering](folder)
    ours = found_in(folder, key=public_pem()) == []

    assert (tampering in {"nothing", "looked at"}) == ours == independent(folder, key)


def test_the_independent_check_stays_under_a_hundred_lines():
    """An auditor reads it before trusting it."""
    assert len(Path(independent_check.__file__).read_text("utf-8").splitlines()) < 100


@pytest.mark.parametrize("name", ["\x1b[31mred.csv.pgp", "a\rb.csv.pgp", "x\u202egpg.csv"])
def test_a_name_of_an_export_changes_no_terminal(carried, tmp_path, name):
    """Signs that a terminal would obey are shown as escapes."""
    shutil.copy(carried / "cards.csv.pgp", tmp_path / name)
    config = carried / "settings.toml"
    done = cardferry("verify", carried / "out", "--export", tmp_path / name, "-c", config)

    assert "every row compared with the export" in done.out
    assert not {"\x1b", "\r", "\u202e"} & {*done.out, *done.err}
