"""Sections: what is kept of old rows, when it goes, and that nobody's change passes for our own."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from pipeline import __version__
from pipeline.errors import VerificationFailed
from pipeline.ledger.last_close import NOTE_NAME, note_how_left
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.sections import MARKED, SECTIONED, digests_known, numbers, stretches
from pipeline.outputs.figures import gather
from pipeline.outputs.publisher import publish
from tests.support.folders import found_in, past_the_rules, settled_and_published
from tests.support.ledgers import FACTS, Builder, StepClock
from tests.support.sampled import slow

CHANGES = (
    "UPDATE rows SET hint = 'x' WHERE id = (SELECT min(id) FROM rows)",
    "UPDATE tokens SET country = 'xx' WHERE row_id = (SELECT min(row_id) FROM tokens)",
    "INSERT INTO attempts SELECT 1 + max(id), 10000000001, 'tokenize', 99, 1, 1 FROM attempts",
    "INSERT INTO customers (id, legacy_customer_id, state) VALUES (7, 'k', 'wanted')",
    "DELETE FROM rows WHERE id = (SELECT max(id) FROM rows)",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A published migration of some sections, closed as a run closes it."""
    return settled_and_published(tmp_path_factory.mktemp("made") / "migration", 2_500)


@pytest.fixture
def folder(made, tmp_path):
    """A copy of it, whose ledger was opened and closed once, so that it is known how it was left."""
    copy = tmp_path / "migration"
    shutil.copytree(made, copy)
    with closing(Ledger(ledger_url(copy), StepClock())) as ledger:
        ledger.verify()
    return copy


def opened(folder):
    ledger = Ledger(ledger_url(folder), StepClock())
    try:
        ledger.verify()
    except BaseException:
        ledger.close()
        raise
    return ledger


def went_by_sections(folder):
    with closing(opened(folder)) as ledger:
        return ledger.goes_by_sections


def forge_note(folder):
    """Say of a changed ledger that it was left as it is now."""
    note_how_left(folder / LEDGER_NAME)


def test_what_is_kept_of_sections_is_what_their_rows_give(folder):
    """Digests by sections are those of all rows, and nothing is kept of a section that is not there."""
    with closing(opened(folder)) as ledger, ledger.reading() as connection:
        kept = {table.name: set(digests_known(connection, table)) for table in SECTIONED}
        there = {table.name: set(numbers(connection, table)) for table in SECTIONED}
    with closing(opened(folder)) as ledger, ledger.look() as look:
        by_sections = look.table_digests()
    copy = Ledger(ledger_url(folder), StepClock(), read_only=True, apart=True)
    with closing(copy), copy.look() as look:
        assert look.table_digests() == by_sections
    assert kept == there
    assert len(there["rows"]) > 3


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_kept_of_a_section_goes_when_one_of_its_rows_is_written(folder, change):
    """Whatever program writes, the database itself forgets that section, and no other of the table."""
    count = "SELECT of, count(*) FROM sections GROUP BY of"
    with closing(sqlite3.connect(folder / LEDGER_NAME, isolation_level=None)) as other:
        refusals = "SELECT name FROM sqlite_schema WHERE name GLOB 'refuse*'"
        for (name,) in other.execute(refusals).fetchall():
            other.execute(f"DROP TRIGGER {name}")
        before = dict(other.execute(count))
        other.execute(change)
        after = dict(other.execute(count))
    gone = {name for name in before if before[name] != after.get(name, 0)}

    table = change.split()[1 if change.startswith("UPDATE") else 2]

    assert gone == set(MARKED[table]) & before.keys()
    assert all(before[name] - after.get(name, 0) == 1 for name in gone)


def test_what_is_kept_of_both_sections_goes_when_a_row_gets_another_number(folder):
    """Whoever does that: of neither section it is what its rows give."""
    kept = "SELECT number FROM sections WHERE of = 'rows' ORDER BY number"
    with closing(sqlite3.connect(folder / LEDGER_NAME, isolation_level=None)) as other:
        before = [number for (number,) in other.execute(kept)]
        other.execute("UPDATE rows SET rowid = 10000002999 WHERE id = 10000000007")
        after = [number for (number,) in other.execute(kept)]

    assert set(before) - set(after) == {10_000_000, 10_000_002}


def test_a_ledger_that_nobody_wrote_to_is_not_read_again(folder):
    """Neither its own closing, nor a second look, nor a reader makes it anybody else's."""
    assert went_by_sections(folder)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as other:
        other.execute("SELECT count(*) FROM rows").fetchall()
    assert went_by_sections(folder)


@pytest.mark.parametrize("what", ["written", "touched", "copied", "noted", "died"])
def test_a_ledger_that_may_have_been_written_to_is_read_whole(folder, what):
    """Another program's commit, a new moment, a copy, another note, a run that died: proved anew."""
    ledger, note = folder / LEDGER_NAME, folder / NOTE_NAME
    if what == "written":
        with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
            other.execute("PRAGMA user_version = 1")
    elif what == "touched":
        facts = ledger.stat()
        os.utime(ledger, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    elif what == "copied":
        shutil.copy2(ledger, ledger.with_suffix(".copy"))
        ledger.with_suffix(".copy").replace(ledger)
    elif what == "noted":
        note.write_bytes(b"[1, 2, 3, 4]")
    else:
        with closing(Ledger(ledger_url(folder), StepClock())) as died:
            died.begin_run("died", FACTS, FACTS["settings_digest"])

    assert not went_by_sections(folder)


def test_a_change_beside_the_rules_is_refused_as_long_as_nobody_forges_the_note(folder):
    """The file was written to, so every row is read, and the digests are not those published."""
    past_the_rules(folder, "UPDATE tokens SET country = 'xx' WHERE rowid % 7 = 0")

    with pytest.raises(VerificationFailed, match="changed by another program"):
        opened(folder)


def test_a_change_by_the_rules_is_refused_even_with_a_forged_note(folder):
    """The section is forgotten, so its rows are read, and are not those that were published."""
    with closing(sqlite3.connect(folder / LEDGER_NAME, isolation_level=None)) as other:
        other.execute("UPDATE rows SET hint = 'x' WHERE id = (SELECT min(id) FROM rows)")
    forge_note(folder)

    with pytest.raises(VerificationFailed, match="changed by another program"):
        opened(folder)


def test_a_change_beside_the_rules_with_a_forged_note_is_never_published_as_ours(folder):
    """The next publication stands on the digest from before the change, and `verify` finds it."""
    past_the_rules(folder, "UPDATE tokens SET country = 'xx' WHERE rowid % 7 = 0")
    forge_note(folder)
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.begin_run("run-3", FACTS, FACTS["settings_digest"])
        ledger.end_run(0, {})
        publish(ledger, folder, __version__)

    assert {d.file for d in found_in(folder)} >= {"ledger.sqlite"}


@pytest.mark.parametrize(
    "change",
    [
        "sha256 = replace(sha256, substr(sha256, 1, 1), 'x') WHERE of = 'tokens'",
        slow("rows = rows + 1 WHERE of = 'attempts'"),
        "rows = rows + 1 WHERE of = 'row sums'",
        slow("figures = '{}' WHERE of = 'outcomes'"),
        "figures = replace(figures, '2030', '2020') WHERE of = 'row sums'",
        "packed = zeroblob(length(packed)) WHERE of = 'answer figures'",
        slow("packed = NULL, sha256 = NULL WHERE of = 'answer figures'"),
        slow("number = number + 90000000000 WHERE of = 'rows'"),
        "of = 'rowt' WHERE of = 'rows'",
    ],
)
def test_verify_finds_a_section_of_which_something_else_is_kept(folder, change):
    """Any column of it, also a number or a kind of which there are no rows."""
    with closing(sqlite3.connect(folder / LEDGER_NAME, isolation_level=None)) as other:
        changed = other.execute(f"UPDATE sections SET {change}").rowcount  # noqa: S608

    assert changed
    assert [(d.file, d.place) for d in found_in(folder)] == [(LEDGER_NAME, "table sections")]


def test_verify_misses_no_section_of_which_nothing_is_kept(folder):
    """What is not there is worked out when it is asked for, so it is no difference."""
    with closing(sqlite3.connect(folder / LEDGER_NAME, isolation_level=None)) as other:
        other.execute("DELETE FROM sections WHERE number % 2 = 0")

    assert found_in(folder) == []


def test_numbers_are_given_as_unbroken_stretches():
    """First and last of each."""
    assert list(stretches([1, 2, 3, 7, 9, 10])) == [(1, 3), (7, 7), (9, 10)]
    assert list(stretches([])) == []


def figures_of(folder, *, apart):
    """Give the report's figures: by what is kept of sections, or `apart` by all rows."""
    with (
        closing(Ledger(ledger_url(folder), StepClock(), read_only=True, apart=apart)) as ledger,
        ledger.look() as look,
    ):
        return gather(look, __version__, [], None)


def test_figures_by_sections_are_those_of_all_rows(folder):
    """After one publication, after more rows and changed cards, and with a row of another state."""
    assert figures_of(folder, apart=False) == figures_of(folder, apart=True)
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        builder = Builder(ledger, ledger.clock, tokens_made=9_000_000)
        builder.begin("run-3")
        builder.settle(builder.plan("more.csv", 150, first=1, changed_every=3, reject_every=7))
        assert ledger.goes_by_sections
        with ledger.look() as look:
            by_sections = gather(look, __version__, [], None)
        builder.end(0)
    whole = figures_of(folder, apart=True)

    assert by_sections["changes"]["rows"] > 0
    assert {**whole, "runs": 0, "trail": 0} == {**by_sections, "runs": 0, "trail": 0}


def test_failures_that_a_later_row_resolves_are_counted_again_wherever_they_stand(folder):
    """Nobody wrote to their section, so what is kept of it stays, and is known to be no longer right."""
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        builder = Builder(ledger, ledger.clock, tokens_made=9_000_000)
        builder.begin("run-3")
        builder.settle(builder.plan("more.csv", 60, first=1_201))
        with ledger.look() as look:
            resolved = look.resolved()
    met = figures_of(folder, apart=True)["resolved"]
    assert met == {state.value: count for state, count in resolved.items()}
    assert sum(met.values()) > 10
    assert [d.file for d in found_in(folder)].count(LEDGER_NAME) == 0

    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.begin_run("run-4", FACTS, FACTS["settings_digest"])
        ledger.end_run(0, {})
        publish(ledger, folder, __version__)
        with ledger.look() as look:
            assert resolved == look.resolved()
    assert found_in(folder) == []


@pytest.mark.parametrize("change", ["packed = zeroblob(length(packed))", "figures = '{}'"])
def test_damage_to_what_is_kept_of_sections_is_refused(folder, change):
    """A number of a row that was packed, and a sum: the database itself looks at neither."""
    with closing(sqlite3.connect(folder / LEDGER_NAME, isolation_level=None)) as other:
        other.execute(f"UPDATE sections SET {change} WHERE of = 'row sums'")  # noqa: S608

    with pytest.raises(VerificationFailed, match="keeps of its rows is damaged"):
        opened(folder)
