"""`retry` plans failures again by code, held rows only on the operator's word."""

import pytest

from tests.support.migrations import Migration, new_rows
from tests.support.sandbox import running

DECLINED = "tests.support.hooks:decline_four"


@pytest.fixture
def failed(tmp_path):
    """A finished migration: rows 1-2 failed after their attempts, row 5 held, the rest is fine."""
    with running(journal=tmp_path / "journal", faults="..D.") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        migration.configure("attempts_max = 2", 'on_ambiguous = "hold"', "outage_max_s = 60000")
        migration.add(new_rows(10))
        ended = migration.run(hook=DECLINED)
        assert ended.code == 3, ended.said
        assert {"failed": 2, "held": 1, "tokenized": 7} == dict(migration.check().states)
        yield migration


def test_run_leaves_failures_alone(failed):
    """Only `retry` plans them again, and what an earlier run left is not this one's exit code."""
    assert failed.run().code == 0
    assert {"failed": 2, "held": 1, "tokenized": 7} == dict(failed.check().states)


def test_retry_plans_failures_again_and_leaves_held_rows(failed):
    """Held rows need the operator's own word."""
    ended = failed.run(command="retry")

    assert ended.code == 0, ended.said
    assert {"held": 1, "tokenized": 9} == dict(failed.check().states)


def test_retry_by_code_takes_only_that_code(failed):
    """A code nobody failed with changes nothing."""
    ended = failed.run("--code", "outcome_unknown", command="retry")
    assert ended.code == 0, ended.said
    assert {"failed": 2, "held": 1, "tokenized": 7} == dict(failed.check().states)

    ended = failed.run("--code", "attempts_exhausted", command="retry")
    assert ended.code == 0, ended.said
    assert {"held": 1, "tokenized": 9} == dict(failed.check().states)


def test_retry_held_sends_them_once_more_and_u_stays(failed):
    """The token that may exist unseen is still counted after the second one was made."""
    ended = failed.run("--held", command="retry")
    facts = failed.check()

    assert ended.code == 0, ended.said
    assert {"tokenized": 10} == dict(facts.states)
    assert 1 == facts.unseen_max
    assert 11 == len(failed.journal)


def test_retry_held_leaves_a_row_whose_token_is_in_doubt(tmp_path):
    """A row that was frozen with the token it carries is not sent again: whose token is it?"""
    with running(journal=tmp_path / "journal", faults=".U.") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        migration.add(new_rows(3))
        assert migration.run().code == 4
        ended = migration.run("--held", command="retry")
        facts = migration.check()

        assert ended.code == 0, ended.said
        assert {"tokenized": 2, "held": 1} == dict(facts.states)
        assert ["id-1"] == [r.legacy_id for r in facts.rows.values() if r.state == "held"]


def test_retry_with_limit_leaves_the_rest_planned(failed):
    """The same command goes on."""
    assert failed.run("--limit", "1", command="retry").code == 4
    assert {"planned": 1, "held": 1, "tokenized": 8} == dict(failed.check().states)
    assert failed.run().code == 0
    assert {"held": 1, "tokenized": 9} == dict(failed.check().states)
