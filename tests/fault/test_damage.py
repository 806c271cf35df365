"""Ledgers that were damaged, swapped, forged or written by another program: exit 8, nothing sent."""

import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from pipeline.clock import SystemClock
from pipeline.errors import VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import ledger_url
from tests.support.crash import zygote
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def begun(tmp_path_factory, vault):
    """A migration with half of its rows sent, and a copy of its folder."""
    migration = Migration(tmp_path_factory.mktemp("begun"), vault)
    migration.add(new_rows(300))
    assert migration.run("--limit", "150").code == 4
    shutil.copytree(migration.out, migration.base / "kept")
    return migration


@pytest.fixture
def migration(begun):
    """The half sent migration as it was."""
    shutil.rmtree(begun.out)
    shutil.copytree(begun.base / "kept", begun.out)
    sent = len(begun.journal)
    yield begun
    assert sent == len(begun.journal), "something was sent"


def refused(migration):
    ended = migration.run()
    assert ended.code == 8, ended.said
    steps = (
        "Keep the folder",
        "Install",
        "Name the folder",
        "Restore the ledger",
        "Put the newest",
        "Keep a copy of the folder as it is",
    )
    assert any(step in ended.said for step in steps), ended.said
    return ended.said


def change(ledger, *statements):
    with closing(sqlite3.connect(ledger)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize("share", [slow(0.1), 0.5, slow(0.9), 0.99])
def test_a_truncated_ledger_is_refused(migration, share):
    """A copy that was cut off is not gone on with."""
    ledger = migration.out / "ledger.sqlite"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: int(len(whole) * share)])

    assert "damaged" in refused(migration)


def test_an_empty_ledger_beside_outputs_is_refused(migration):
    """It would begin anew and send every card again."""
    (migration.out / "ledger.sqlite").write_bytes(b"")

    assert "gone or empty" in refused(migration)


@pytest.mark.parametrize("pages", [8, slow(20)])
def test_a_zeroed_page_anywhere_is_refused(migration, pages):
    """So many pages, one at a time; but for what is kept of sections, which is worked out anew."""
    ledger = migration.out / "ledger.sqlite"
    with closing(sqlite3.connect(ledger, isolation_level=None)) as database:
        database.execute("DELETE FROM sections")
        database.execute("VACUUM")
    whole = ledger.read_bytes()
    for page in random.Random(3).sample(range(len(whole) // 4096), pages):
        ledger.write_bytes(whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :])
        refused(migration)


@pytest.mark.parametrize("content", [b"%PDF-1.7 not a ledger", b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_no_database_is_refused(migration, content):
    """Something else of that name is left alone."""
    (migration.out / "ledger.sqlite").write_bytes(content * 100)
    refused(migration)

    assert (migration.out / "ledger.sqlite").read_bytes() == content * 100


def test_another_programs_database_is_refused_and_left_alone(migration):
    """Not a table is added to it."""
    ledger = migration.out / "ledger.sqlite"
    ledger.unlink()
    change(ledger, "CREATE TABLE photos (name TEXT)")

    assert "not a Cardferry ledger" in refused(migration)
    with closing(sqlite3.connect(ledger)) as database:
        assert [("photos",)] == database.execute("SELECT name FROM sqlite_master").fetchall()


def test_a_newer_programs_ledger_is_refused(migration):
    """Its tables may mean something else."""
    change(
        migration.out / "ledger.sqlite",
        "UPDATE meta SET value = '99' WHERE key = 'schema_version'",
    )

    assert "newer Cardferry" in refused(migration)


@pytest.mark.parametrize(
    "forgery",
    [
        ("UPDATE events SET body = replace(body, 'true', 'false') WHERE seq = 2",),
        ("DELETE FROM events WHERE seq = 3",),
        ("UPDATE events SET hash = (SELECT hash FROM events WHERE seq = 1) WHERE seq = 2",),
        ("UPDATE events SET seq = seq + 1000 WHERE seq > 2",),
    ],
    ids=["changed", "deleted", "hash copied", "renumbered"],
)
def test_a_forged_trail_is_refused(migration, forgery):
    """Even by someone who knows how to drop the rules first and puts them back."""
    ledger = migration.out / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as database:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        rules = database.execute(query).fetchall()
    dropped = [f"DROP TRIGGER {name}" for name, _ in rules]
    change(ledger, *dropped, *forgery, *(statement for _, statement in rules))

    assert "trail of events was changed" in refused(migration)


def test_an_older_ledger_beside_newer_outputs_is_refused(tmp_path, vault):
    """A backup put back would send again what was sent since; the manifest knows better."""
    migration = Migration(tmp_path, vault)
    migration.add(new_rows(20))
    assert migration.run("--limit", "5").code == 4
    ledger = migration.out / "ledger.sqlite"
    older = ledger.read_bytes()
    assert migration.run().code == 0
    newest = ledger.read_bytes()
    ledger.write_bytes(older)

    assert "older than the files beside it" in refused(migration)
    assert zygote().run("publish", migration.out).code == 8
    assert 20 == len(migration.journal)
    ledger.write_bytes(newest)
    assert migration.run().code == 0
    assert {"tokenized": 20} == dict(migration.check().states)


@pytest.mark.parametrize(
    "edit",
    [
        slow("UPDATE rows SET last_digits = '0000' WHERE state = 'tokenized'"),
        "UPDATE rows SET unknowns = 0, legacy_id = 'id-0' WHERE id % 1000 = 7",
        slow("UPDATE meta SET value = '[\"note\"]' WHERE key = 'carry'"),
    ],
)
def test_a_ledger_that_was_edited_by_hand_after_its_publication_is_refused(migration, edit):
    """The next run would publish the edit as its own, and so would `publish`."""
    change(migration.out / "ledger.sqlite", edit)

    assert "changed by another program" in refused(migration)
    assert zygote().run("publish", migration.out).code == 8


@pytest.mark.parametrize("content", [slow(b"{}"), b"\xff not one", None])
def test_a_damaged_manifest_stops_run_and_publish_until_somebody_says_restore(migration, content):
    """Also one that is gone: what the ledger published must be there as it was."""
    manifest = migration.out / "manifest.json"
    if content is None:
        manifest.unlink()
    else:
        manifest.write_bytes(content)

    told = "manifest.json is missing" if content is None else "manifest.json was changed"
    assert told in refused(migration)
    assert 8 == zygote().run("publish", migration.out).code
    restored = zygote().run("publish", migration.out, "--restore")
    assert 0 == restored.code, restored.said


@pytest.mark.parametrize("flips", [80, slow(200)])
def test_bit_flips_are_found_by_structure_or_chain_in_every_page_that_leads_to_others(
    migration, flips
):
    """SQLite keeps no checksums: a flip inside a text is for `verify`; here no structure breaks."""
    ledger = migration.out / "ledger.sqlite"
    whole = ledger.read_bytes()
    seeded = random.Random(4)
    found = 0
    for _ in range(flips):
        # The head of a page says what it is and where its cells are.
        place = seeded.randrange(len(whole) // 4096) * 4096 + seeded.randrange(8)
        flipped = whole[place] ^ (1 << seeded.randrange(8))
        ledger.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        found += is_refused(ledger)

    assert found >= flips * 3 // 4


def test_every_bit_flip_in_the_trail_is_found(migration):
    """Whatever an event says is chained to the next."""
    ledger = migration.out / "ledger.sqlite"
    whole = ledger.read_bytes()
    seeded = random.Random(5)
    start = whole.index(b'"event":"export_proved"')
    for _ in range(50):
        place = start + seeded.randrange(60)
        flipped = whole[place] ^ (1 << seeded.randrange(7))
        ledger.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])

        assert is_refused(ledger)


def is_refused(path):
    """Open a ledger as a run does and say whether that is refused with exit 8."""
    try:
        ledger = Ledger(ledger_url(path.parent), SystemClock())
    except VerificationFailed:
        return True
    try:
        ledger.verify()
    except VerificationFailed:
        return True
    finally:
        ledger.close()
    return False
