"""What one run says of itself."""

import orjson

from pipeline.metrics import Flow
from pipeline.migration.run_account import RunAccount
from tests.support.ledgers import new_builder


def test_rows_that_were_held_at_the_start_are_told_as_json(tmp_path):
    """Even where no row had their code before: a code as a key is plain text."""
    builder = new_builder(tmp_path)
    this_run = RunAccount(builder.ledger, 3).close(Flow(), 1.0)
    builder.ledger.close()

    assert b'{"outcome_unknown":3}' == orjson.dumps(this_run.failures)
