"""Answers lost after the token was made: every one of them is in U, and `hold` never sends twice."""

import hashlib

import pytest

from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

ROWS = 2_000
SHORT = ("read_timeout_s = 0.3", "connect_timeout_s = 5", "total_timeout_s = 5")
PATIENT = ("outage_max_s = 60000", "attempts_max = 100")


def carried(tmp_path, faults, rows, *flow, code=None):
    """Carry rows through a vault that misbehaves; run again until nothing is pending."""
    with running(journal=tmp_path / "journal", faults=faults) as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=32)
        migration.configure(*flow, *PATIENT, vault=SHORT)
        migration.add(new_rows(rows))
        for _ in range(5):
            ended = migration.run(hook="tests.support.hooks:hurry")
            assert ended.code in {0, 3, 4}, ended.said
            facts = migration.check()
            if facts.settled:
                break
        assert code is None or ended.code == code, ended.said
        assert facts.settled
        return migration, facts


@pytest.mark.parametrize(
    ("letter", "rows"),
    [
        ("D", 100),
        slow("D", 400),
        slow("T", 400),
        slow("H", 100),
        *(
            pytest.param(letter, ROWS, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
            for letter in "DTH"
        ),
    ],
)
def test_with_a_fifth_of_the_answers_lost_every_unseen_token_is_counted(tmp_path, letter, rows):
    """Retried once by default: creates minus tokens stays within U, and the rest is held."""
    migration, facts = carried(tmp_path, f"seed=7 {letter}=0.2", rows)
    made = sum(facts.creates.values())

    assert {"tokenized", "held"} >= set(facts.states)
    assert facts.unseen_max > rows // 10
    assert max(facts.attempts.values()) == 2
    assert (letter != "H") * 1 <= made - len(facts.tokens) <= facts.unseen_max
    assert len(migration.journal) == made


@pytest.mark.parametrize(
    ("letter", "rows"),
    [
        ("D", 100),
        slow("D", 400),
        *(
            pytest.param(letter, ROWS, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
            for letter in "DTH"
        ),
    ],
)
def test_on_hold_no_legacy_id_has_two_creates(tmp_path, letter, rows):
    """A row without an answer waits for the operator instead of risking a second token."""
    hold = 'on_ambiguous = "hold"'
    migration, facts = carried(tmp_path, f"seed=8 {letter}=0.2", rows, hold, code=3)
    doubled = [line["name_sha256"] for line in migration.journal]

    assert len(doubled) == len(set(doubled))
    assert facts.states["held"] == facts.unseen_max > rows // 10
    assert 1 == max(facts.attempts.values())


def test_answers_for_another_card_freeze_both_rows_and_stop_the_run(tmp_path):
    """A token id given twice is nobody's: both rows are held and nothing of them is mapped."""
    with running(journal=tmp_path / "journal", faults="....U.") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        migration.add(new_rows(10))
        ended = migration.run()
        assert ended.code == 4, ended.said
        facts = migration.check()

        assert {"tokenized": 3, "held": 2, "planned": 5} == dict(facts.states)
        assert {"answer_mismatch"} == {r.code for r in facts.rows.values() if r.state == "held"}
        # What was held by the earlier run is no news of this one.
        assert migration.run().code == 0
        assert {"tokenized": 8, "held": 2} == dict(migration.check().states)


def test_an_answer_with_other_last_digits_is_never_mapped(tmp_path):
    """The row is held with its token counted as unseen, and the run stops."""
    with running(journal=tmp_path / "journal", faults="...W.") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        rows = new_rows(10)
        migration.add(rows)
        ended = migration.run()
        assert ended.code == 4, ended.said
        facts = migration.check()
        held = [row.legacy_id for row in facts.rows.values() if row.state == "held"]

        assert ["id-4"] == held
        assert 1 == facts.unseen_max
        wanted = hashlib.sha256(rows[3].name.encode()).hexdigest()
        assert 1 == [line["name_sha256"] for line in migration.journal].count(wanted)
