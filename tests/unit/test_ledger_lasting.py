"""What lasts: nothing that a later run does changes what was published of earlier ones."""

from contextlib import closing
from datetime import date

import pytest
from sqlalchemy import delete, select

from pipeline.ledger.cohort import cohort
from pipeline.ledger.digests import digested_tables
from pipeline.ledger.lasting_proof import LASTING_KINDS, lasting_digest, what_lasts
from pipeline.ledger.plan_records import PlannedCard, ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import CustomerFound, CustomerState
from pipeline.ledger.recovery import plan_again, settle_open_intents
from pipeline.ledger.retiring import retire_tokens
from pipeline.ledger.section_figures import READ_ONCE, counted_sections
from pipeline.ledger.sections import ANSWER_FIGURES, ROW_FIGURES, versions
from pipeline.ledger.settling import Settling
from pipeline.ledger.versions import Packing, renew_versions
from pipeline.ledger.whole_reading import read_whole
from tests.support.changes_said import said_of_changes
from tests.support.ledgers import BATCH_ROWS, new_builder

pytestmark = pytest.mark.usefixtures("each_store")

EXPECTED = {
    "rows": 119,
    "sha256": "e8c7518838da8202e8231bad7c8d0d5306c3b924a234b880925c4d02f10ad671",
}
CUSTOMERS = [("anna", None), ("ben", "cust_given"), ("cleo", None)]


@pytest.fixture
def builder(tmp_path):
    """A ledger after its first run: rows of every end, rows that wait, customers, a broken pass 1."""
    builder = new_builder(tmp_path)
    with closing(builder.ledger):
        builder.begin("run-1")
        builder.first = builder.plan("cards.csv", 40, reject_every=7)
        builder.settle(builder.first, reject_every=10, fail_every=11, hold_every=13)
        builder.waiting = builder.plan("waiting.csv", 8, first=100)
        cohort(builder.ledger, [builder.waiting.id], [builder._legacy_id(n) for n in (100, 101)])
        owned(builder)
        settling = Settling(builder.ledger, 8)
        find(settling, 1, CustomerState.GIVEN, "cust_of_anna")
        facts = SealedFacts("broken.csv", 9, "b" * 64, bytes(32), "plain")
        half = Planning(builder.ledger).begin(facts, date(2026, 11, 20))
        cards = [PlannedCard(1, "half", "4242", "Visa", 12, 2031)]
        Planning(builder.ledger).add(half, cards, [])
        in_flight = settling.claimable(builder.waiting.first_id, builder.waiting.last_id)
        settling.apply([settling.intent(claim.id, claim.attempts + 1) for claim in in_flight])
        builder.begin("run-2")
        yield builder


def owned(builder):
    """Plan an export of cards that belong to customers."""
    facts = SealedFacts("owned.csv", 10, "a" * 64, bytes(32), "plain")
    export = Planning(builder.ledger).begin(facts, date(2026, 11, 20))
    rows = [
        PlannedCard(n, f"owned-{n}", "4242", "Visa", 12, 2031, None, *customer)
        for n, customer in enumerate(CUSTOMERS, 1)
    ]
    Planning(builder.ledger).add(export, rows, [])
    Planning(builder.ledger).finish(export, ProvedFacts("plain", None, None, 3, "00" * 32))


def find(settling, number, state, customer_id, code=None):
    settling.apply([CustomerFound(number, state, customer_id, livemode=False, code=code)])


def of_run_1(builder):
    """Give what came with the first run and lasts, as it is now."""
    with builder.ledger.reading() as connection:
        return [one for one in what_lasts(connection, kept=False) if one.epoch == 1]


def test_one_reading_gives_what_each_question_gives_by_itself(builder):
    """Digests of all tables' sections, and what lasts of them, though rows are read once for both."""
    with builder.ledger.reading() as connection:
        whole = read_whole(connection)
        apart = {
            kind: list(counted_sections(connection, kind, kept=False)) for kind in LASTING_KINDS
        }

        assert digested_tables(connection, kept=False) == whole.digested
        assert apart == whole.lasting
        assert {"attachments"} == {name for name, parts in whole.digested.items() if not parts}
        assert all(whole.lasting.values())
        assert what_lasts(connection, kept=False) == what_lasts(
            connection, kept=False, worked_out=whole.lasting
        )
        counted = {
            kind: [
                one._replace(packed=b"") for one in counted_sections(connection, kind, kept=False)
            ]
            for kind in (ROW_FIGURES, ANSWER_FIGURES)
        }
        assert counted == whole.counted
        assert all(counted.values())


def test_what_cannot_be_counted_is_left_to_whoever_asks_for_it(builder, monkeypatch):
    """All the rest is read, and the one who asks gets to know what is wrong, as if nobody had read."""

    def refuse(*_):
        raise OverflowError

    monkeypatch.setitem(READ_ONCE[1].counting, ANSWER_FIGURES, lambda *_: refuse)
    with builder.ledger.reading() as connection:
        whole = read_whole(connection)

        assert [ROW_FIGURES] == list(whole.counted)
        assert digested_tables(connection, kept=False) == whole.digested
        with pytest.raises(OverflowError):
            list(counted_sections(connection, ANSWER_FIGURES, kept=False))


def test_versions_that_cannot_be_read_are_left_to_whoever_asks_for_them(builder, monkeypatch):
    """The reading goes on, and holds the section for one of which something else is kept."""
    with builder.ledger.transaction() as connection:
        renew_versions(connection, 1)

    def refuse(*_):
        raise TypeError

    with builder.ledger.reading() as connection:
        there = [one.number for one in read_whole(connection).digested["rows"]]
        # Of rows that are not planned yet nothing is kept.
        assert there[-1:] == read_whole(connection).other["rows"] != there
        monkeypatch.setattr("pipeline.ledger.whole_reading.kept_of", refuse)

        assert there == read_whole(connection).other["rows"]


def top_up(builder):
    builder.settle(builder.plan("top-up.csv", 40, changed_every=3))


def try_again(builder):
    plan_again(
        builder.ledger, [builder.first.id], ["vault_rejected", "attempts_exhausted"], held=True
    )
    builder.settle(builder.first)


def hold_again(builder):
    plan_again(builder.ledger, [builder.first.id], [], held=True)
    builder.settle(builder.first, reject_every=2, hold_every=2)


def retire(builder):
    with builder.ledger.reading() as connection:
        ids = connection.exec_driver_sql("SELECT row_id FROM tokens ORDER BY row_id").scalars()
        some = list(ids)[:9]
    with builder.ledger.transaction() as connection:
        retire_tokens(connection, some, "attach_token_gone", at_ms=1, epoch=2)
    builder.settle(builder.first)


def retire_twice(builder):
    retire(builder)
    retire(builder)


def recover(builder):
    assert settle_open_intents(builder.ledger, 1).in_doubt == 2
    builder.settle(builder.waiting)


def choose_others(builder):
    cohort(builder.ledger, [builder.waiting.id], None)
    builder.settle(builder.waiting)


def find_customers(builder):
    settling = Settling(builder.ledger, BATCH_ROWS)
    find(settling, 2, CustomerState.GIVEN, "cust_given")
    find(settling, 3, CustomerState.REFUSED, None, code="customer_unknown")
    find(settling, 1, CustomerState.REFUSED, None, code="customer_unknown")


def read_the_broken_one(builder):
    facts = SealedFacts("broken.csv", 9, "b" * 64, bytes(32), "plain")
    export = Planning(builder.ledger).begin(facts, date(2026, 11, 20))
    cards = [PlannedCard(1, "whole", "4242", "Visa", 12, 2031)]
    Planning(builder.ledger).add(export, cards, [])
    Planning(builder.ledger).finish(export, ProvedFacts("plain", None, None, 1, "00" * 32))


LATER = (
    *(top_up, try_again, hold_again, retire, retire_twice),
    *(recover, choose_others, find_customers, read_the_broken_one),
)


def test_what_later_runs_do_leaves_what_came_before_them_as_it_was(builder):
    """New cards, new tries, retired tokens, doubts settled, customers found: what lasts is the same."""
    before = of_run_1(builder)
    assert sum(one.things for one in before) == 119

    for act in LATER:
        act(builder)
        assert before == of_run_1(builder), act.__name__


@pytest.mark.parametrize("act", LATER, ids=lambda act: act.__name__)
def test_what_later_runs_do_to_what_was_published_has_its_reasons(builder, act):
    """Nothing that a run does passes for a change by another program, before it publishes or after."""
    with builder.ledger.transaction() as connection:
        renew_versions(connection, 1)
    act(builder)
    for _ in range(2):
        with builder.ledger.reading() as connection:
            assert said_of_changes(connection) is None
        with builder.ledger.transaction() as connection:
            renew_versions(connection, 2)


def test_what_lasts_is_the_same_in_both_stores(builder):
    """The digest is over bytes that no database has a say in."""
    assert EXPECTED == lasting_digest(of_run_1(builder))


def test_what_became_of_rows_is_written_some_sections_at_a_time(builder, monkeypatch):
    """Versions are the same whether all sections are held until they are written, or one of them."""
    shown = []
    show = Packing.show
    monkeypatch.setattr(
        Packing,
        "show",
        lambda packing, *told: show(packing, *told) or shown.append(len(packing._now)),
    )
    kept = []
    for at_once in (64, 1):
        monkeypatch.setattr("pipeline.ledger.versions.KEPT_AT_ONCE", at_once)
        with builder.ledger.transaction() as connection:
            connection.execute(delete(versions))
            renew_versions(connection, 2)
            order = (versions.c.of, versions.c.number)
            kept.append(connection.execute(select(versions).order_by(*order)).all())
        assert max(shown) == (3 if at_once == 64 else 1)
        shown.clear()
    assert kept[0] == kept[1]
    assert len(kept[0]) > 3
