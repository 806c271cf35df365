"""What one run says of itself."""

import orjson

from pipeline.ledger.snapshot import Snapshot
from pipeline.metrics import Flow
from pipeline.migration.run_account import RunAccount
from tests.support.ledgers import new_builder


def noted(monkeypatch):
    """Give the list of the exports whose rows are counted by state from now on."""
    asked, counts = [], Snapshot.states_of

    def states_of(look, export_ids):
        asked.extend(export_ids)
        return counts(look, export_ids)

    monkeypatch.setattr(Snapshot, "states_of", states_of)
    return asked


def test_rows_are_counted_once_before_anything_is_sent(tmp_path, monkeypatch):
    """To count a hundred thousand takes longer than to ask the vault whether it is there."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    exports = [builder.plan("a.csv", 7, reject_every=3), builder.plan("b.csv", 5, first=100)]
    account = RunAccount(builder.ledger)
    account.begin(exports)
    asked = noted(monkeypatch)
    plan = account.plan()
    again = account.plan()
    states = account.states()
    builder.ledger.close()

    assert asked == [export.id for export in exports]
    assert plan == again
    assert (plan["rows"], plan["to_send"], plan["rejected"]) == (12, 10, 2)
    assert [sum(found.values()) for found in states.values()] == [7, 5]


def test_the_exports_that_a_run_was_given_do_not_wait_for_another(tmp_path):
    """Another one, of which rows were planned before, does."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    before, given = builder.plan("a.csv", 7), builder.plan("b.csv", 5, first=100)
    account = RunAccount(builder.ledger)
    account.begin([given])
    waiting = account.waiting_exports()
    builder.ledger.close()

    assert [(export.name, export.rows) for export in waiting] == [(before.name, 7)]


def test_rows_that_were_held_at_the_start_are_told_as_json(tmp_path):
    """Even where no row had their code before: a code as a key is plain text."""
    builder = new_builder(tmp_path)
    this_run = RunAccount(builder.ledger, 3).close(Flow(), 1.0)
    builder.ledger.close()

    assert b'{"outcome_unknown":3}' == orjson.dumps(this_run.failures)
