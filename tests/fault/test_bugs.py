"""A bug of ours in the middle of sending: the run ends at once and nothing is lost by it."""

import pytest

from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running


@pytest.mark.parametrize("hook", [slow("stumble_before"), "stumble_after"])
def test_a_bug_in_one_slot_stops_the_run_and_costs_one_row_in_doubt(tmp_path, hook):
    """Exit 1 without values, no hang, and the same command goes on."""
    with running(journal=tmp_path / "journal", latency_s=0.01) as vault:
        migration = Migration(tmp_path / "m", vault)
        rows = new_rows(60)
        migration.add(rows[:40])
        # The second export waits for ids of the first; it must not wait for ever.
        migration.add([*new_rows(10, first=10, seed=2), *rows[40:]])
        ended = migration.run(hook=f"tests.support.hooks:{hook}")
        assert ended.code == 1, ended.said
        assert rows[0].number not in ended.said
        facts = migration.check_after_death()
        assert 1 == facts.open_intents == facts.unseen_max
        assert facts.states["tokenized"] < 40
        resumed = migration.run()

        assert resumed.code == 0, resumed.said
        assert migration.check().settled
