"""Pass 2 reads an export no further than its last row that is to be sent."""

import pytest

from pipeline.exports.text_lines import text_lines
from pipeline.ledger.settling import Settling
from pipeline.model import RowState
from tests.support.ledgers import new_builder


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


def test_nothing_waits_behind_the_last_planned_row(builder):
    """Each export is asked for by itself, and what is under way waits no more."""
    one, two = builder.plan("one.csv", 6), builder.plan("two.csv", 3)
    settling = Settling(builder.ledger, 8)
    with builder.ledger.look() as look:
        planned = look.by_state()[RowState.PLANNED]
    last = max(claim.id for claim in settling.claimable(one.first_id, one.last_id))

    asked = [one.first_id, last, last + 1, two.first_id, two.last_id, one.first_id]

    assert planned > 0
    assert [settling.has_any_from(first) for first in asked] == [1, 1, 0, 1, 0, 1]


def test_a_batch_of_lines_is_bounded_by_their_number_too():
    """Lines of one byte cost a hundred; no line is lost or changed where batches are cut."""
    plain = b"head\n" + b'"\n' * 100_000 + b"tail"

    batches = list(text_lines([plain], "utf-8", 4096).batches)

    assert b"".join(batches) == plain + b"\n"
    assert max(batch.count(b"\n") for batch in batches) <= 8192
