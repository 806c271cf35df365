"""What a second command does with what the first one left: limits, settings, exports, status."""

import pytest

from tests.support.migrations import Migration, new_rows, write_export
from tests.support.sampled import slow
from tests.support.sandbox import running


@pytest.fixture
def vault(tmp_path):
    with running(journal=tmp_path / "journal") as sandbox:
        yield sandbox


@pytest.fixture
def migration(tmp_path, vault):
    migration = Migration(tmp_path / "m", vault)
    migration.add(new_rows(20))
    return migration


@pytest.mark.slow
def test_limit_sends_that_many_rows_a_run_until_none_is_left(migration):
    """Exit 4 while rows are pending, 0 at the end, and exactly one create a row."""
    seen = []
    for _ in range(4):
        ended = migration.run("--limit", "7")
        seen.append((ended.code, migration.check().states["tokenized"]))

    assert [(4, 7), (4, 14), (0, 20), (0, 20)] == seen
    assert 20 == len(migration.journal)


@pytest.mark.parametrize(
    "setting",
    [
        'rules.expired="tokenize"',
        slow('rules.brands=["Visa"]'),
        slow('vault.url="http://127.0.0.1:1"'),
        slow("export.columns.city=city"),
    ],
)
def test_settings_that_change_what_results_mean_are_refused_while_rows_are_pending(
    migration, setting
):
    """Exit 7, nothing sent; with the old settings it goes on; finished, it may change."""
    assert migration.run("--limit", "5").code == 4
    refused = migration.run("--set", setting)

    assert refused.code == 7, refused.said
    assert "differ from those this unfinished migration began with" in refused.said
    assert 5 == len(migration.journal)
    assert migration.run().code == 0
    assert migration.run("--set", setting).code == 0
    assert {"tokenized": 20} == dict(migration.check().states)


@pytest.mark.parametrize(
    "setting",
    [
        slow("flow.rate_per_s=500"),
        slow("flow.in_flight_max=2"),
        slow("flow.attempts_max=9"),
        "flow.chunk_rows=3",
    ],
)
def test_another_pace_goes_on_with_an_unfinished_migration(migration, setting):
    """Pace, slots, retries and chunks may change between runs."""
    assert migration.run("--limit", "5").code == 4

    assert migration.run("--set", setting).code == 0
    assert {"tokenized": 20} == dict(migration.check().states)


def test_another_on_ambiguous_judges_rows_in_doubt_by_the_new_word(tmp_path):
    """Rows that a `retry` run left in doubt are held once the operator says `hold`."""
    with running(journal=tmp_path / "journal", faults="H") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.configure("drain_s = 0.1", "outage_max_s = 0.5", vault=("read_timeout_s = 0.2",))
        migration.add(new_rows(8))
        assert migration.run().code == 4
        in_doubt = migration.check().states["ambiguous"]
        assert in_doubt > 0
        migration.configure('on_ambiguous = "hold"', "outage_max_s = 0.5", "drain_s = 0.1")
        migration.run("--set", "vault.read_timeout_s=0.2")

        assert migration.check().states["held"] >= in_doubt


def test_an_export_with_other_bytes_is_another_export(migration):
    """Changed rows under the old name are planned anew; the old plan waits for its own bytes."""
    assert migration.run("--limit", "5").code == 4
    path = migration.paths[0]
    old_bytes = path.read_bytes()
    later = new_rows(20, seed=3)
    migration.exports.append(later)
    write_export(path, later)
    ended = migration.run()
    # Every row of the export that was given is settled; the other one's wait by name.
    assert ended.code == 0, ended.said
    facts = migration.check()
    assert {"tokenized": 25, "planned": 15} == dict(facts.states)
    path.write_bytes(old_bytes)

    assert migration.run().code == 0
    assert {"tokenized": 25, "already_tokenized": 15} == dict(migration.check().states)


def test_a_finished_migration_run_again_sends_nothing_and_changes_no_output(migration):
    """The mapping of a second run is the first one's, byte for byte but for the run ids."""
    assert migration.run().code == 0
    facts = migration.check()

    assert migration.run().code == 0
    assert facts.tokens == migration.check().tokens
    assert 20 == len(migration.journal)


def test_an_empty_export_is_fine(tmp_path, vault):
    """No row is no trouble: exit 0 and empty outputs."""
    migration = Migration(tmp_path / "m", vault)
    migration.add([])

    assert migration.run().code == 0
    assert {} == dict(migration.check().states)
