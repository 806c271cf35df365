"""A night that brings nothing touches no output: not a byte, not a date; and what it says still holds."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from pipeline.outputs.publisher import publish
from tests.support import independent_check
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.folders import (
    SIGNED_NAMES,
    VERSION,
    found_in,
    private_pem,
    public_pem,
    signer,
    signer_of,
)
from tests.support.ledgers import reopened, settled_builder
from tests.support.monitor import metrics
from tests.support.programs import require
from tests.support.sampled import slow
from tests.support.sandbox import running

NOT_AN_OUTPUT = ("ledger.sqlite", "metrics.prom", ".proved", ".inbox", ".lock")
"""How the names of what a night may write begin."""


def standing(folder):
    """Give bytes and dates of every output that is there."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(NOT_AN_OUTPUT)
    }


def kinds(folder):
    with closing(sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
        found = ledger.execute("SELECT body FROM events ORDER BY seq").fetchall()
    return [json.loads(body)["event"] for (body,) in found]


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Runs of one sealed export, and what stood in the folder after each command."""
    work = tmp_path_factory.mktemp("nights")
    inbox, out = work / "drop", work / "out"
    inbox.mkdir()
    export = sealed(inbox, rows_csv(12))
    (work / "audit.pem").write_text(private_pem())
    (work / "audit.pem").chmod(0o600)
    (work / "key.pub.pem").write_bytes(public_pem())
    with running() as vault:
        config = settings(work, vault.base_url, "[audit]", 'signing_key = { file = "audit.pem" }')
        given = ("-c", config, "-o", out)
        seen = {"first": (cardferry("run", export, *given, "--json").json, standing(out))}
        look = ["inbox", inbox, *given, "--quiet-for", "0s", "--json"]
        for words in (
            ["run", export, *given, "--json"],
            look,
            look,
            ["publish", out, "--json"],
            ["verify", out, "--public-key", work / "key.pub.pem", "--json"],
            ["run", export, *given, "--json"],
        ):
            name = f"{len(seen)} {words[0]}"
            seen[name] = (cardferry(*words).json, standing(out))
    return out, work / "key.pub.pem", seen


def test_no_command_that_brings_nothing_touches_an_output(nights):
    """Same bytes, same inode, same date after each run, look into the inbox, and publication."""
    _, _, seen = nights
    (_, before), *later = seen.values()

    assert "trail.jsonl" in before
    for name, (_, files) in zip(list(seen)[1:], later, strict=True):
        assert (name, []) == (name, [n for n in before | files if before.get(n) != files.get(n)])


def test_each_run_is_in_the_chain_with_a_word_that_nothing_was_published(nights):
    """Whoever reads the ledger sees every night, and verification finds all of it in order."""
    require("openssl")
    folder, key, seen = nights

    assert 1 == kinds(folder).count("outputs_published")
    assert 3 == kinds(folder).count("outputs_unchanged")
    assert seen["5 verify"][0]["verified"]
    assert [] == independent_check.check(folder, key)


def test_status_and_metrics_know_the_last_run_although_the_report_does_not(nights):
    """The last success is that of the last run; the report stays with the run that moved cards."""
    folder, _, seen = nights
    last = [told["run_id"] for told, _ in seen.values() if "run_id" in told][-1]
    status = cardferry("status", folder, "--json").json
    shown = metrics((folder / "metrics.prom").read_text())
    with closing(sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
        (ended_ms,) = ledger.execute("SELECT max(ended_ms) FROM runs").fetchone()

    assert (last, 4) == (status["last_run"]["run_id"], status["runs"])
    assert 1 == len(json.loads((folder / "report.json").read_bytes())["runs"])
    assert ended_ms / 1000 == shown[("cardferry_last_success_timestamp_seconds",)]


def test_a_run_that_brings_nothing_still_tells_how_the_migration_stands(nights):
    """Its answer has the balance, the files and both heads; the chain went on, the trail did not."""
    _, _, seen = nights
    first, again = seen["first"][0], seen["1 run"][0]

    for name in ("all_time", "paths", "trail_head"):
        assert first[name] == again[name]
    assert first["chain_head"] != again["chain_head"]


def test_verification_gathers_the_events_of_such_nights(nights):
    """A year of them is a handful of lines, with the first and the last event of each kind."""
    folder, _, _ = nights
    said = cardferry("verify", folder).out

    assert "3 events from" in said
    assert 3 == sum("outputs_unchanged" in line or "run_" in line for line in said.splitlines())


def a_night(builder, folder, number, *, code=0, key=None, note=None):
    """Run once more, settle nothing and publish."""
    builder.clock.step(86_400)
    builder.begin(f"run-{number}")
    if note is not None:
        builder.ledger.note(note, resource="x", sha256="0" * 64, reason="damaged", why="x")
    builder.end(code)
    publish(builder.ledger, folder, VERSION, key or signer())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A migration of two runs, published and signed; nobody changes it."""
    folder = tmp_path_factory.mktemp("made") / "migration"
    builder = settled_builder(folder, 60)
    publish(builder.ledger, folder, VERSION, signer())
    builder.ledger.close()
    return builder, folder


@pytest.fixture
def settled(made, tmp_path):
    """A copy of it, opened as the next run opens it."""
    folder = tmp_path / "migration"
    builder, closed = made
    shutil.copytree(closed, folder)
    builder = reopened(builder, folder)
    yield builder, folder
    builder.ledger.close()


def test_what_comes_after_such_nights_is_published_with_them(settled):
    """The next trail has every event, the next report every run, and the manifest follows the last."""
    builder, folder = settled
    before = (folder / "manifest.json").read_bytes()
    a_night(builder, folder, 3)
    a_night(builder, folder, 4)
    builder.begin("run-5")
    builder.settle(builder.plan("third.csv", 3, first=1_000))
    builder.end(0)
    publish(builder.ledger, folder, VERSION, signer())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    lines = (folder / "trail.jsonl").read_bytes().splitlines()
    trail = [json.loads(line)["event"] for line in lines]

    assert [f"run-{n}" for n in range(1, 6)] == manifest["runs"]
    assert independent_check.sha256(before) == manifest["previous_manifest"]
    assert 2 == trail.count("outputs_unchanged")
    assert found_in(folder, key=public_pem()) == []


@pytest.mark.parametrize(
    "told",
    [
        *({"code": 4}, slow({"code": 143})),
        *({"note": "export_refused"}, slow({"note": "signal_received"})),
        slow({"note": "outputs_restored"}),
    ],
)
def test_a_run_that_did_not_end_well_or_told_of_anything_is_published(settled, told):
    """The report says so: only silence is left out of it."""
    builder, folder = settled
    a_night(builder, folder, 3, **told)
    report = json.loads((folder / "report.json").read_bytes())

    assert "run-3" == report["runs"][-1]["run_id"]
    assert found_in(folder, key=public_pem()) == []


def test_a_night_after_one_that_was_killed_publishes_both(settled):
    """A run that never ended is told of in the report of the next."""
    builder, folder = settled
    builder.begin("run-3")
    a_night(builder, folder, 4)
    report = json.loads((folder / "report.json").read_bytes())

    assert ["run-3", "run-4"] == [run["run_id"] for run in report["runs"][-2:]]
    assert report["runs"][-2]["ended_at"] is None
    assert found_in(folder, key=public_pem()) == []


def test_another_key_signs_the_same_files_after_such_a_night(settled):
    """Only report, page and manifest name the key; the trail and what is made of rows stay."""
    builder, folder = settled
    a_night(builder, folder, 3)
    before = standing(folder)
    other = signer_of(b"the key of somebody else entirely"[:32])
    a_night(builder, folder, 4, key=other)
    after = standing(folder)
    same = {name for name in before if before[name] == after[name]}

    assert {"mapping.parquet", "failures.parquet", "failures.csv"} <= same
    assert not {"manifest.json", "manifest.json.sig"} & same
    a_night(builder, folder, 5, key=other)
    assert after == standing(folder)
    assert found_in(folder) == []


def test_publishing_by_hand_after_such_a_night_with_another_key_is_no_change_of_rows(settled):
    """Publication, night, publication by another key, night: every statement holds beside the others."""
    builder, folder = settled
    other = signer_of(b"the key of somebody else entirely"[:32])
    a_night(builder, folder, 3)
    publish(builder.ledger, folder, VERSION, other, anew=True)
    assert found_in(folder) == []
    a_night(builder, folder, 4, key=other)

    assert found_in(folder) == []
    builder.ledger.verify()


def test_a_file_that_is_gone_after_such_a_night_is_written_again_as_it_was(settled):
    """The ledger still knows what stood there: the same bytes come back, signature included."""
    builder, folder = settled
    a_night(builder, folder, 3)
    before = {name: (folder / name).read_bytes() for name in SIGNED_NAMES}
    for name in SIGNED_NAMES:
        (folder / name).unlink()
        publish(builder.ledger, folder, VERSION, signer(), anew=True)

    assert before == {name: (folder / name).read_bytes() for name in before}
    assert found_in(folder, key=public_pem()) == []
