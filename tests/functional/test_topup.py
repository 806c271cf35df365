"""Several exports in one migration folder: known cards, changed cards, duplicates, overlaps."""

import json
from dataclasses import replace
from random import Random

import pyarrow.parquet as pq
import pytest

from tests.support.cards import card_number
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.migrations import Migration, new_rows
from tests.support.sandbox import running


@pytest.fixture
def vault(tmp_path):
    with running(journal=tmp_path / "journal", latency_s=0.01) as sandbox:
        yield sandbox


@pytest.fixture
def migration(tmp_path, vault):
    return Migration(tmp_path / "m", vault)


def met_again(rows, *, changed=()):
    """Give the same rows for a later export: names of their own, other cards where asked."""
    seeded = Random(99)
    again = []
    for place, row in enumerate(rows):
        number = card_number(seeded) if place in changed else row.number
        again.append(replace(row, name=f"{row.name} again", number=number))
    return again


def mapping_of(migration):
    rows = pq.read_table(migration.out / "mapping.parquet").to_pylist()
    return {row["legacy_id"]: row for row in rows}


def ended(migration, code, *options, **how):
    done = migration.run(*options, **how)
    assert done.code == code, done.said
    return migration.check()


def test_a_card_met_again_is_already_tokenized_and_not_sent(migration):
    """A top-up of the same cards costs no create at all."""
    rows = new_rows(20)
    migration.add(rows)
    ended(migration, 0)
    migration.add(met_again(rows[:8]))
    facts = ended(migration, 0)

    assert {"tokenized": 20, "already_tokenized": 8} == dict(facts.states)
    assert 20 == len(migration.journal)


def test_another_brand_with_the_same_last_digits_and_expiry_is_another_card(migration):
    """Equal last four and expiry under another brand is no known card: it gets a token of its own."""
    [row] = new_rows(1)
    migration.add([replace(row, number="4000000000000002")])
    ended(migration, 0)
    migration.add([replace(row, name=f"{row.name} again", number="5100000000060002")])
    facts = ended(migration, 0)

    assert {"tokenized": 2} == dict(facts.states)
    assert 2 == len(migration.journal)


def test_a_changed_card_gets_a_new_token_and_the_mapping_shows_the_newest(migration):
    """The old token stays in the ledger, marked as superseded; the id is mapped once."""
    rows = new_rows(20)
    migration.add(rows)
    ended(migration, 0)
    before = mapping_of(migration)
    migration.add(met_again(rows, changed={3, 5}))
    facts = ended(migration, 0)
    after = mapping_of(migration)

    assert {"tokenized": 22, "already_tokenized": 18} == dict(facts.states)
    assert {"id-4", "id-6"} == {i for i in after if after[i]["token_id"] != before[i]["token_id"]}
    assert 20 == len(after)
    old = [row for row in facts.rows.values() if row.superseded_by is not None]
    assert ["id-4", "id-6"] == [row.legacy_id for row in old]
    assert all(facts.rows[row.superseded_by].legacy_id == row.legacy_id for row in old)


def test_a_chain_of_changes_ends_at_the_newest_card(migration):
    """Three exports with three cards of one id: one mapping row, the last one's."""
    rows = new_rows(3)
    migration.add(rows)
    second = met_again(rows, changed={0})
    migration.add(second)
    third = [replace(row, name=f"{row.name} once more") for row in second]
    third[0] = replace(third[0], number=card_number(Random(5)))
    migration.add(third)
    facts = ended(migration, 0)

    assert {"tokenized": 5, "already_tokenized": 4} == dict(facts.states)
    assert third[0].last_digits == mapping_of(migration)["id-1"]["last_digits"]


def test_all_of_a_group_with_one_legacy_id_are_rejected_before_anything_is_sent(migration):
    """Nobody can say which of them counts; the other rows are sent."""
    rows = new_rows(12)
    rows[7] = replace(rows[7], legacy_id=rows[2].legacy_id)
    rows[9] = replace(rows[9], legacy_id=rows[2].legacy_id)
    migration.add(rows)
    facts = ended(migration, 3)
    rejected = sorted(row.id % 100 for row in facts.rows.values() if row.state == "rejected")

    assert [3, 8, 10] == rejected
    assert {"legacy_id_duplicate"} == {r.code for r in facts.rows.values() if r.code}
    assert 9 == len(migration.journal)


def test_a_duplicate_in_a_later_chunk_rejects_the_row_of_the_first_chunk_too(migration):
    """Nothing is sent before the whole export was read."""
    migration.configure("chunk_rows = 2")
    rows = new_rows(9)
    rows[8] = replace(rows[8], legacy_id=rows[0].legacy_id)
    migration.add(rows)
    facts = ended(migration, 3)

    assert {"tokenized": 7, "rejected": 2} == dict(facts.states)
    assert 7 == len(migration.journal)


@pytest.mark.parametrize("changed", [set(), {0, 1, 2, 3, 4, 5}], ids=["same", "changed"])
def test_the_same_ids_in_two_exports_of_one_run_wait_for_each_other(migration, changed):
    """The later export's row is judged by how the earlier one ended, not by where it stands."""
    rows = new_rows(6)
    migration.add(rows)
    migration.add(met_again(rows, changed=changed))
    facts = ended(migration, 0)
    wanted = {"tokenized": 12} if changed else {"tokenized": 6, "already_tokenized": 6}

    assert wanted == dict(facts.states)
    assert 6 == len(mapping_of(migration))


def test_a_later_export_overtakes_an_unfinished_earlier_one(migration):
    """An earlier row that is still planned gives way to the newer card of the same id."""
    rows = new_rows(10)
    first = migration.add(rows)
    facts = ended(migration, 4, "--limit", "4")
    assert {"tokenized": 4, "planned": 6} == dict(facts.states)
    later = migration.add(met_again(rows, changed=set(range(10))))
    facts = ended(migration, 0, paths=[later])
    assert {"tokenized": 14, "planned": 6} == dict(facts.states)
    facts = ended(migration, 0, paths=[first])

    assert {"tokenized": 14, "already_tokenized": 6} == dict(facts.states)
    newest = {row.legacy_id: row.last_digits for row in migration.exports[1]}
    mapped = {i: row["last_digits"] for i, row in mapping_of(migration).items()}
    assert newest == mapped


def test_a_card_changed_and_changed_back_in_one_command_is_the_first_card_again(migration):
    """The last export is not judged by the card in force before the one in between is sent."""
    rows = new_rows(4)
    migration.add(rows)
    ended(migration, 0)
    migration.add(met_again(rows, changed={0, 1}))
    migration.add([replace(row, name=f"{row.name} once more") for row in rows])
    facts = ended(migration, 0)

    assert {"tokenized": 8, "already_tokenized": 4} == dict(facts.states)
    mapped = {i: row["last_digits"] for i, row in mapping_of(migration).items()}
    assert {row.legacy_id: row.last_digits for row in rows} == mapped


def test_a_card_that_a_later_export_took_back_does_not_come_into_force_afterwards(migration):
    """The export in between waits for its bytes; meanwhile a later one confirms the first card."""
    rows = new_rows(4)
    migration.add(rows)
    ended(migration, 0)
    between = migration.add(met_again(rows, changed={0, 1, 2, 3}))
    ended(migration, 4, "--limit", "1")
    last = migration.add([replace(row, name=f"{row.name} once more") for row in rows])
    facts = ended(migration, 0, paths=[last])
    assert {"tokenized": 6, "already_tokenized": 3, "planned": 3} == dict(facts.states)
    facts = ended(migration, 0, paths=[between])

    assert {"tokenized": 6, "already_tokenized": 6} == dict(facts.states)
    mapped = {i: row["last_digits"] for i, row in mapping_of(migration).items()}
    assert {row.legacy_id: row.last_digits for row in rows} == mapped


def test_an_id_whose_token_may_exist_unseen_is_held_in_a_later_export_too(tmp_path):
    """On hold, the same id in a top-up is not a way around the operator."""
    with running(journal=tmp_path / "journal", faults="..D.") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        migration.configure('on_ambiguous = "hold"')
        rows = new_rows(5)
        migration.add(rows)
        ended(migration, 3)
        migration.add(met_again(rows))
        facts = ended(migration, 3)

        assert {"tokenized": 4, "already_tokenized": 4, "held": 2} == dict(facts.states)
        assert 5 == len(migration.journal)


def test_a_ledger_that_is_gone_is_not_begun_anew_beside_its_outputs(migration):
    """Starting over would send every card again: exit 8."""
    migration.add(new_rows(3))
    ended(migration, 0)
    (migration.out / "ledger.sqlite").unlink()
    again = migration.run()

    assert again.code == 8, again.said
    assert "its ledger is gone or empty" in again.said
    assert 3 == len(migration.journal)


def test_a_known_card_that_has_expired_since_is_no_failure(tmp_path, vault):
    """It has its token; a new card that is expired, or another card of a known id, is rejected."""
    config, out = settings(tmp_path, vault.base_url), tmp_path / "out"
    first = rows_csv(6)
    cardferry("run", sealed(tmp_path, first), "-c", config, "-o", out)
    _, *others = rows_csv(3, seed=2, first=6).splitlines()
    later = sealed(tmp_path, first.replace(b"id-6,", b"id-60,") + b"\n".join(others), "later.pgp")
    set_day = ("--set", "rules.as_of=2032-01-01")
    done = cardferry("run", later, "-c", config, "-o", out, *set_day, "--json", code=3)
    failures = pq.read_table(out / "failures.parquet").to_pylist()
    mapped = pq.read_table(out / "mapping.parquet")["legacy_id"].to_pylist()

    this_run = json.loads(done.out)["this_run"]["rows"]
    assert (this_run["already_tokenized"], this_run["rejected"]) == (5, 4)
    assert {(f["legacy_id"], f["code"], f["hint"][:12]) for f in failures} == {
        (f"id-{n}", "card_expired", "card expired") for n in (6, 7, 8, 60)
    }
    assert sorted(mapped) == [f"id-{n}" for n in range(1, 7)]
    assert len(vault.entries()) == 6
    cardferry("verify", out, "--export", later, "-c", config, *set_day)
