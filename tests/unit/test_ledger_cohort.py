"""A cohort: the rows that this run was given, the others left for another."""

from contextlib import closing

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.cohort import cohort
from tests.support.ledgers import new_builder

pytestmark = pytest.mark.usefixtures("each_store")


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    with closing(builder.ledger):
        yield builder


def states(builder, export):
    with builder.ledger.look() as look:
        return {state.value: n for state, n in look.states_of([export.id]).items() if n}


def test_rows_outside_the_cohort_are_skipped_and_come_back_with_the_next(builder):
    """One cohort, another, then all: no row is lost and none is a failure."""
    export, other = builder.plan("cards.csv", 6), builder.plan("other.csv", 3, first=100)
    first = [builder._legacy_id(n) for n in (1, 2, 2, 99)]

    assert cohort(builder.ledger, [export.id], first) == (4, 1)
    assert {"planned": 2, "skipped": 4} == states(builder, export)
    assert {"planned": 3} == states(builder, other)
    assert cohort(builder.ledger, [export.id], [builder._legacy_id(3)]) == (5, 0)
    assert {"planned": 1, "skipped": 5} == states(builder, export)
    assert cohort(builder.ledger, [export.id], None) == (0, 0)
    assert {"planned": 6} == states(builder, export)


def test_rows_that_are_settled_stay_what_they_are(builder):
    """Only what waits is left out; what was rejected or tokenized is none of the cohort's."""
    export = builder.plan("cards.csv", 26, reject_every=13)
    builder.settle(export)
    before = states(builder, export)

    assert cohort(builder.ledger, [export.id], []) == (0, 0)
    assert before == states(builder, export)


def test_a_record_that_is_no_card_does_not_come_back(builder):
    """The database itself refuses to plan it."""
    export = builder.plan("cards.csv", 2)
    with builder.ledger.reading() as connection:
        row = connection.exec_driver_sql("SELECT min(id) FROM rows").scalar_one()
    with builder.ledger.transaction() as connection:
        skip = f"UPDATE rows SET state = 'skipped', code = 'no_card' WHERE id = {row}"  # noqa: S608
        connection.exec_driver_sql(skip)

    cohort(builder.ledger, [export.id], None)
    assert {"planned": 1, "skipped": 1} == states(builder, export)
    with pytest.raises(VerificationFailed), builder.ledger.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE rows SET state = 'planned' WHERE id = {row}")  # noqa: S608
