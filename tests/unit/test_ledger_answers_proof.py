"""Where a row stands follows from its answers: any other place is found, and no true one is refused."""

from contextlib import closing
from datetime import date

import pytest

from pipeline.ledger.answers_proof import answers_contradiction
from pipeline.ledger.giving_up import give_up
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.plan_records import PlannedCard, ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import AttachSettlement, AttachState, Retirement, row_id
from pipeline.ledger.recovery import plan_again
from pipeline.ledger.settling import Settling
from pipeline.ledger.tables_proof import contradiction
from pipeline.model import OutcomeKind, RowState
from tests.support.ledgers import StepClock, drop_rules, new_builder, place_of, settled_builder

TOKENIZED, HELD, REJECTED, FAILED = 10000000050, 10000000003, 10000000018, 10000000002
REFUSED_BEFORE, REPLACED, NEWER, AGAIN = 20000000001, 10000000004, 30000000004, 30000000005
SWAPPED = (
    f"superseded_by = CASE id WHEN {NEWER} THEN {REPLACED} END, "
    f"supersedes = CASE id WHEN {REPLACED} THEN {NEWER} END"
)
CHANGES = {
    "the state of a row": {
        f"state = 'failed', code = 'attempts_exhausted' WHERE id = {HELD}",
        f"state = 'planned', code = NULL WHERE id = {HELD}",
        f"state = 'rejected', code = 'vault_rejected' WHERE id = {HELD}",
        f"state = 'rejected', code = 'customer_unknown' WHERE id = {HELD}",
        f"state = 'skipped', code = 'filtered' WHERE id = {HELD}",
        f"state = 'planned', code = NULL WHERE id = {REJECTED}",
        f"state = 'already_tokenized', code = NULL WHERE id = {REJECTED}",
        f"state = 'failed', code = 'attempts_exhausted' WHERE id = {REJECTED}",
        f"state = 'tokenized', code = NULL WHERE id = {FAILED}",
        f"state = 'ambiguous', code = NULL WHERE id = {FAILED}",
        "state = 'held', code = 'outcome_unknown' WHERE id = 10000000059",
        f"state = 'held', code = 'answer_mismatch' WHERE id = {TOKENIZED}",
        f"state = 'planned' WHERE id = {TOKENIZED}",
        f"state = 'failed', code = 'attempts_exhausted' WHERE id = {AGAIN}",
    },
    "how often it was sent": {
        f"attempts = 1 WHERE id = {REFUSED_BEFORE}",
        f"attempts = 2 WHERE id = {TOKENIZED}",
        f"attempts = 3 - attempts WHERE id IN ({REFUSED_BEFORE}, {TOKENIZED})",
    },
    "what may exist unseen": {
        f"unknowns = 0 WHERE id = {HELD}",
        f"unknowns = 2 WHERE id = {HELD}",
        f"unknowns = 1 WHERE id = {TOKENIZED}",
        f"unknowns = 1 - unknowns WHERE id IN ({HELD}, {TOKENIZED})",
        f"unknowns = 1 WHERE id = {AGAIN}",
    },
    "which row replaced it": {
        f"superseded_by = {NEWER} WHERE id = {TOKENIZED}",
        f"superseded_by = {TOKENIZED} WHERE id = {REPLACED}",
        f"superseded_by = 30000000099 WHERE id = {TOKENIZED}",
        f"superseded_by = NULL WHERE id = {REPLACED}",
        f"superseded_by = {HELD} WHERE id = {REPLACED}",
        f"supersedes = NULL WHERE id = {NEWER}",
        f"{SWAPPED} WHERE id IN ({REPLACED}, {NEWER})",
    },
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A ledger with every ending, whose rules are away."""
    builder = settled_builder(tmp_path_factory.mktemp("ledger") / "migration", 90)
    with closing(builder.ledger) as ledger:
        drop_rules(ledger)
        yield ledger


@pytest.mark.parametrize("change", sorted(c for changes in CHANGES.values() for c in changes))
def test_a_row_that_was_put_elsewhere_than_its_answers_lead_is_found(ledger, change):
    """State, attempts, doubts, replacements: nobody needs to know what the row said before."""
    with ledger.engine.begin() as connection:
        assert contradiction(connection) is None
        assert connection.exec_driver_sql(f"UPDATE rows SET {change}").rowcount  # noqa: S608
        found = contradiction(connection)
        connection.rollback()

    assert found is not None


def test_an_answer_that_never_came_says_nothing_else(ledger):
    """An attempt that a dead run left open is in doubt, and no other answer may pass for that."""
    change = (
        "UPDATE outcomes SET evidence = 'the run ended before an answer came' WHERE attempt_id = 20"
    )
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql(change)
        found = answers_contradiction(connection)
        connection.rollback()

    assert "an answer that never came says something" == found


@pytest.mark.usefixtures("each_store")
def test_an_operator_s_word_takes_held_and_rejected_rows_on(tmp_path):
    """The trail tells of it; without that event the same rows contradict their answers."""
    builder = new_builder(tmp_path)
    with closing(builder.ledger) as ledger:
        builder.begin("run-1")
        export = builder.plan("cards.csv", 40)
        builder.settle(export, reject_every=10, fail_every=11, hold_every=13)
        builder.end(3)
        builder.begin("run-2")
        plan_again(ledger, [export.id], ["vault_rejected", "outcome_unknown"], held=True)
        builder.end(4)
        with ledger.reading() as connection:
            assert contradiction(connection) is None
        builder.begin("run-3")
        builder.settle(export, hold_every=13)
        builder.end(3)
        with ledger.reading() as connection:
            assert contradiction(connection) is None


def owned(builder, name, digits):
    """Plan an export of one customer's card."""
    facts = SealedFacts(name, 10, name[0] * 64, bytes(32), "plain")
    planning = Planning(builder.ledger)
    export = planning.begin(facts, date(2026, 11, 20))
    planning.add(export, [PlannedCard(1, "one", digits, "Visa", 12, 2031, None, "anna")], [])
    planning.finish(export, ProvedFacts("plain", None, None, 1, "00" * 32))
    builder.settle(export)
    return export


def said(row, kind, evidence, attempt_id=None):
    """Give what leaves a row's card on no customer yet."""
    return AttachSettlement(
        attempt_id=attempt_id,
        row_id=row,
        customer=1,
        kind=kind,
        evidence=evidence,
        state=AttachState.UNATTACHED,
        code=None,
        unknowns=0,
        vault_code=None,
        request_id=None,
        latency_us=1,
    )


@pytest.mark.usefixtures("each_store")
def test_what_an_operator_gave_up_is_no_contradiction(tmp_path):
    """A token that no request used, and a row in doubt whose last request never left."""
    builder = new_builder(tmp_path)
    with closing(builder.ledger) as ledger:
        builder.begin("run-1")
        owned(builder, "a.csv", "4242")
        Settling(ledger, 8).apply([said(row_id(1, 1), OutcomeKind.NOT_SENT, "not asked for yet")])
        export = builder.plan("b.csv", 3)
        for kind, state in (
            (OutcomeKind.AMBIGUOUS, "ambiguous"),
            (OutcomeKind.NOT_SENT, "planned"),
        ):
            settling = Settling(ledger, 8)
            [claim, *_] = settling.claimable(export.first_id, export.last_id)
            intent = settling.intent(claim.id, claim.attempts + 1)
            doubts = int(kind is OutcomeKind.AMBIGUOUS)
            ended = builder._settled(intent, kind, RowState(state), "said so", unknowns=doubts)
            settling.apply([intent])
            settling.apply([ended])
        give_up(ledger, "a.csv", "a" * 64, "lost")
        give_up(ledger, "b.csv", export.sha256, "lost")
        with ledger.reading() as connection:
            assert contradiction(connection) is None
            states = connection.exec_driver_sql("SELECT state FROM rows ORDER BY id").scalars()
            assert ["skipped", "held", "skipped", "skipped"] == list(states)


@pytest.mark.usefixtures("each_store")
def test_a_card_that_replaced_another_and_lost_its_token_is_no_contradiction(tmp_path):
    """Its row is planned again, and the card that it replaced stays replaced; the next run goes on."""
    builder = new_builder(tmp_path)
    with closing(builder.ledger) as ledger:
        builder.begin("run-1")
        owned(builder, "a.csv", "4242")
        owned(builder, "b.csv", "1111")
        newer = row_id(2, 1)
        settling = Settling(ledger, 8)
        request = settling.attach_intent(newer, 1, 1)
        settling.apply([request])
        gone = said(newer, OutcomeKind.REJECTED, "status 404", request.attempt_id)
        settling.apply([gone])
        settling.apply([Retirement(newer, "attach_token_gone")])
        builder.end(4)
    with closing(Ledger(place_of(tmp_path), StepClock())) as ledger:
        ledger.verify()
        with ledger.reading() as connection:
            replaced = connection.exec_driver_sql(
                "SELECT count(*) FROM rows WHERE superseded_by IS NOT NULL"
            ).scalar()

    assert 1 == replaced
