"""Pass 2 reads an export no further than its last row that is to be sent."""

import pytest

from pipeline.exports.text_lines import text_lines
from pipeline.ledger.ledger_thread import thread_of
from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.settling import Settling
from pipeline.migration.claiming import Claiming
from tests.support.ledgers import new_builder


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


@pytest.fixture
def thread(builder):
    with thread_of(builder.ledger) as thread:
        yield thread


def test_nothing_waits_behind_the_last_planned_row(builder, thread):
    """Each export is asked for by itself: the first row from there on that is still to be sent."""
    one, two = builder.plan("one.csv", 6), builder.plan("two.csv", 3)
    settling = Settling(builder.ledger, 8)
    claims = settling.claimable(one.first_id, one.last_id)
    assert len(claims) == 6
    claiming = Claiming(builder.ledger, settling, thread, lambda: False, None)
    settling.apply([settling.intent(claim.id, 1) for claim in claims[:4]])
    wanted = claiming.wanted

    def first(export, row):
        found = wanted.first_from(export.first_id + row, export.last_id)
        return None if found is None else found % ROW_SPAN

    assert [first(one, row) for row in (1, 4, 5, 6, 7)] == [5, 5, 5, 6, None]
    assert [first(two, row) for row in (1, 3, 4)] == [1, 3, None]
    assert [first(one, row) for row in (1, 9)] == [5, None]


def test_no_row_is_wanted_once_the_run_stops(builder, thread):
    """The rest of an export is not even decrypted then."""
    export = builder.plan("one.csv", 6)
    settling = Settling(builder.ledger, 8)
    claiming = Claiming(builder.ledger, settling, thread, lambda: True, None)

    assert claiming.wanted.first_from(export.first_id, export.last_id) is None
    assert claiming.first_in_doubt(export.first_id, export.last_id) is None


def test_a_batch_of_lines_is_bounded_by_their_number_too():
    """Lines of one byte cost a hundred; no line is lost or changed where batches are cut."""
    plain = b"head\n" + b'"\n' * 100_000 + b"tail"

    batches = list(text_lines([plain], "utf-8", 4096).batches)

    assert b"".join(batches) == plain + b"\n"
    assert max(batch.count(b"\n") for batch in batches) <= 8192
