"""What SQLite writes of cards and customers in one statement is what other stores write in many."""

from dataclasses import dataclass

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.digests import DIGESTED
from pipeline.ledger.records import (
    AttachSettlement,
    AttachState,
    AttemptStep,
    CustomerFound,
    CustomerState,
    Retirement,
)
from pipeline.ledger.settling import Settling
from pipeline.model import OutcomeKind
from tests.support.ledgers import BATCH_ROWS, new_builder, tokenized
from tests.unit.test_ledger_attaching import card, plan

CARDS = [card(n, f"c{n // 2}", "cust_test_given" if n == 12 else None) for n in range(1, 13)]


def settled(intent, state, **more):
    attached = state is AttachState.ATTACHED
    return AttachSettlement(
        attempt_id=intent.attempt_id,
        row_id=intent.row_id,
        customer=intent.customer,
        kind=OutcomeKind.OK if attached else OutcomeKind.AMBIGUOUS,
        evidence="card on customer" if attached else "read timeout",
        state=state,
        code=None,
        unknowns=0,
        vault_code=None,
        request_id="req-1",
        latency_us=2_000,
        card_id=f"card_test_{intent.row_id}" if attached else None,
        is_default=True if attached else None,
    )._replace(**more)


def made(intent, state=CustomerState.MADE):
    customer_id = f"cust_test_{intent.customer}"
    return CustomerFound(intent.customer, state, customer_id, livemode=False, created_s=1_800_000)


@dataclass
class Carried:
    """A ledger whose cards are carried to customers in a few batches."""

    builder: object
    settling: Settling
    claims: dict

    def asked(self, place, number=1, step=AttemptStep.ATTACH, *, makes=False):
        claim = self.claims[place]
        return self.settling.attach_intent(
            claim.row_id, claim.customer, number, step=step, makes_customer=makes
        )

    def apply(self, *entries):
        self.builder.clock.step(1)
        self.settling.apply(entries)

    def rows(self):
        with self.builder.ledger.reading() as connection:
            return {
                table.name: connection.exec_driver_sql(
                    f"SELECT * FROM {table.name} ORDER BY 1"  # noqa: S608 - our own names.
                ).all()
                for table in DIGESTED
            }


def begun(folder, *, at_once):
    """Give a ledger whose cards have their tokens; `at_once` writes batches in one statement."""
    builder = new_builder(folder)
    builder.begin("run-1")
    export = plan(builder.ledger, "a", CARDS)
    settling = Settling(builder.ledger, BATCH_ROWS)
    if not at_once:
        settling._batches.may_hold = lambda of_cards: not of_cards
    claims = settling.claimable(export.first_id, export.last_id)
    intents = [settling.intent(claim.id, 1) for claim in claims]
    settling.apply(intents)
    tokens = [
        tokenized(intent, builder._token(claim))
        for intent, claim in zip(intents, claims, strict=True)
    ]
    with builder.ledger.look() as look:
        found = {c.row_id % 1000: c for c in look.attachable(export.first_id, export.last_id)}
    return Carried(builder, settling, found), tokens


def carried(folder, *, at_once):
    """Carry cards to every ending that a batch can hold, and give all that the ledger has then."""
    it, tokens = begun(folder, at_once=at_once)
    known = it.claims[12].customer
    first = [it.asked(n, makes=True) for n in (1, 2, 4, 6, 8, 10)]
    given = CustomerFound(known, CustomerState.GIVEN, "cust_test_given", livemode=False)
    it.apply(*tokens, given, *first)
    it.apply(
        settled(first[0], AttachState.ATTACHED, found=made(first[0])),
        settled(first[1], AttachState.ATTACHED, found=made(first[1]), is_default=True),
        settled(first[2], AttachState.DOUBTED, unknowns=1),
        settled(first[3], AttachState.FAILED, code="attach_rejected", vault_code="invalid_card"),
        CustomerFound(first[3].customer, CustomerState.WANTED),
        settled(first[4], AttachState.DOUBTED, unknowns=1, request_id=None),
        settled(first[5], AttachState.HELD, code="customer_unlocated"),
        CustomerFound(first[5].customer, CustomerState.UNLOCATED, code="customer_unlocated"),
    )
    seen = settled(first[2], AttachState.ATTACHED, attempt_id=None, unknowns=-1)
    again = it.asked(8, 2, makes=True)
    more = [it.asked(3), it.asked(7, makes=True), it.asked(12)]
    it.apply(seen._replace(found=made(first[2], CustomerState.LOCATED)), again, *more)
    it.apply(
        settled(again, AttachState.ATTACHED, unknowns=-1, found=made(again)),
        settled(more[0], AttachState.ATTACHED, is_default=True),
        settled(more[1], AttachState.ATTACHED, found=made(more[1])),
        settled(more[2], AttachState.ATTACHED, is_default=False),
        # Never asked for: its customer takes no card, or has it already.
        settled(it.asked(11), AttachState.HELD, attempt_id=None, code="customer_unlocated"),
        settled(it.asked(5), AttachState.REUSED, attempt_id=None, card_id="card_test_other"),
    )
    moved = it.asked(2, 1, AttemptStep.MOVE_DEFAULT)
    deleted = it.asked(3, 1, AttemptStep.DELETE_CARD)
    it.apply(moved, deleted)
    it.apply(
        settled(moved, AttachState.ATTACHED),
        settled(deleted, AttachState.ATTACHED, is_default=False, card_id=None, deleted=True),
        CustomerFound(known, CustomerState.REFUSED, code="customer_unknown"),
    )
    rows = it.rows()
    it.builder.ledger.close()
    return rows


def test_one_statement_writes_of_cards_what_many_write(tmp_path):
    """Every kind of entry, in both ways: the same rows in every table, none of them beside it."""
    at_once = carried(tmp_path / "at-once", at_once=True)
    one_by_one = carried(tmp_path / "one-by-one", at_once=False)
    states = {row[2] for row in at_once["attachments"]}

    assert at_once == one_by_one
    assert states == {"attached", "attach_failed", "attach_held", "reused"}


@pytest.mark.parametrize("at_once", [True, False], ids=["in one statement", "one by one"])
def test_a_batch_with_a_card_that_is_elsewhere_is_undone_as_a_whole(tmp_path, at_once):
    """A request for a card that is under way, or a customer made twice: nothing of it happened."""
    it, tokens = begun(tmp_path, at_once=at_once)
    first = it.asked(2, makes=True)
    it.apply(*tokens, first)
    before = it.rows()
    unknown = CustomerFound(999, CustomerState.MADE, "cust_test_999")
    for wrong in (
        [it.asked(4, makes=True), it.asked(2, 2)],
        [it.asked(4, makes=True), it.asked(3, makes=True)],
        [settled(first, AttachState.ATTACHED), unknown],
    ):
        with pytest.raises(VerificationFailed, match="not where this run had left it"):
            it.apply(*wrong)
        assert before == it.rows()
    it.builder.ledger.close()


def test_what_takes_a_token_out_of_force_is_written_beside_the_others(tmp_path):
    """A batch that holds it is written in several statements, all of them or none."""
    it, tokens = begun(tmp_path, at_once=True)
    first = it.asked(2, makes=True)
    it.apply(*tokens, first)
    gone = settled(first, AttachState.UNATTACHED, code="attach_token_gone")
    back = CustomerFound(first.customer, CustomerState.WANTED)
    it.apply(gone, back, Retirement(first.row_id, "gone"), it.asked(4, makes=True))
    rows = it.rows()
    it.builder.ledger.close()

    assert [row[1] for row in rows["retired_tokens"]] == [first.row_id]
    assert {row[2] for row in rows["attachments"]} == {"unattached", "attaching"}
