"""Cards on their way to customers: what the ledger writes down, counts and refuses."""

from datetime import date

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.giving_up import give_up
from pipeline.ledger.key_values import ATTACH_KEY
from pipeline.ledger.plan_records import PlannedCard, ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import (
    AttachSettlement,
    AttachState,
    AttemptStep,
    CustomerFound,
    CustomerState,
    Retirement,
)
from pipeline.ledger.recovery import settle_open_intents
from pipeline.ledger.settling import Settling
from pipeline.model import OutcomeKind, Rejection
from tests.support.attaching import attached_cards
from tests.support.ledgers import new_builder, tokenized

pytestmark = pytest.mark.usefixtures("each_store")

DAY = date(2026, 11, 20)


def card(row, customer, given=None, default=None):
    return PlannedCard(
        row, f"id-{row}", "4242", "Visa", 12, 2031, None, customer, given, is_default=default
    )


class Journey:
    """A ledger with an export of cards that belong to customers."""

    def __init__(self, builder, cards):
        self.builder, self.ledger = builder, builder.ledger
        builder.begin("run-1")
        self.export = plan(self.ledger, "a", cards)
        self.settling = Settling(self.ledger, 8)

    def claims(self):
        with self.ledger.look() as look:
            return {c.row_id % 1000: c for c in look.attachable(self.first, self.last)}

    @property
    def first(self):
        return self.export.first_id

    @property
    def last(self):
        return self.export.last_id

    def tokenize(self, *places):
        claims = {c.id % 1000: c for c in self.settling.claimable(self.first, self.last)}
        intents = {n: self.settling.intent(claims[n].id, claims[n].attempts + 1) for n in places}
        self.settling.apply(list(intents.values()))
        return [tokenized(intent, self.builder._token(claims[n])) for n, intent in intents.items()]

    def intend(self, place, *, makes=False, before=()):
        claim = self.claims()[place]
        intent = self.settling.attach_intent(
            claim.row_id, claim.customer, claim.attempts + 1, makes_customer=makes
        )
        self.settling.apply([*before, intent])
        return intent

    def settle(self, intent, state=AttachState.ATTACHED, **more):
        attached = state is AttachState.ATTACHED
        item = AttachSettlement(
            attempt_id=more.pop("attempt_id", intent.attempt_id),
            row_id=intent.row_id,
            customer=intent.customer,
            kind=more.pop("kind", OutcomeKind.OK if attached else OutcomeKind.AMBIGUOUS),
            evidence="card on customer" if attached else "read timeout",
            state=state,
            code=more.pop("code", None),
            unknowns=more.pop("unknowns", 0),
            vault_code=None,
            request_id="req-1",
            latency_us=2_000,
            card_id=f"card_test_{intent.row_id}" if attached else None,
            **more,
        )
        self.settling.apply([item])

    def balance(self):
        with self.ledger.look() as look:
            counted = look.attach_balance()
        assert counted["tokenized"] == sum(counted.values()) - counted["tokenized"]
        return {name: n for name, n in counted.items() if n}

    def unseen(self):
        with self.ledger.look() as look:
            return look.unseen_cards_max()

    def customer(self, number):
        with self.ledger.look() as look:
            return look.customers_of([number])[number]


def plan(ledger, letter, cards, rejections=()):
    planning = Planning(ledger)
    facts = SealedFacts(f"{letter}.csv", 10, letter * 64, bytes(32), "plain")
    export = planning.begin(facts, DAY)
    planning.add(export, cards, list(rejections))
    planning.finish(export, ProvedFacts("sequoia", None, None, len(cards), "00" * 32))
    return export


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    yield builder
    builder.ledger.close()


@pytest.fixture
def journey(builder):
    return Journey(builder, [card(1, "anna"), card(2, "anna"), card(3, "ben", "cust_given")])


def made(intent, customer_id="cust_test_1"):
    return CustomerFound(intent.customer, CustomerState.MADE, customer_id, livemode=False)


def test_a_planned_card_knows_its_customer_before_it_has_a_token(journey):
    """Cards of one legacy customer share a number; a given one is named, none is at the vault."""
    claims = journey.claims()
    assert claims[1].customer == claims[2].customer != claims[3].customer
    assert claims[1].token_id is None
    anna, ben = journey.customer(claims[1].customer), journey.customer(claims[3].customer)

    assert (anna.legacy_customer_id, anna.given_id, anna.state) == ("anna", None, "wanted")
    assert (ben.legacy_customer_id, ben.given_id, ben.customer_id) == ("ben", "cust_given", None)


def test_the_tokens_outcome_and_the_first_attach_intent_share_a_commit(journey):
    """One batch: token kept, attachment begun, customer in the making; a card may exist unseen."""
    (token,) = journey.tokenize(1)
    intent = journey.settling.attach_intent(
        token.row_id, journey.claims()[1].customer, 1, makes_customer=True
    )
    journey.settling.apply([token, intent])

    claim = journey.claims()[1]
    assert (claim.state, claim.attempts, claim.token_id) == ("attaching", 1, token.token.token_id)
    assert journey.customer(claim.customer).state is CustomerState.MAKING
    assert journey.unseen() == 1
    assert {"tokenized": 1, "unattached": 1} == journey.balance()


def test_cards_of_several_customers_are_written_in_one_commit(builder):
    """Each goes its own way there: attached, in doubt, said of twice in one batch."""
    journey = Journey(builder, [card(n, f"c{n}") for n in (1, 2, 3)])
    before = journey.tokenize(1, 2, 3)
    claims = journey.claims()
    intents = [
        journey.settling.attach_intent(claims[n].row_id, claims[n].customer, 1, makes_customer=True)
        for n in (1, 2, 3)
    ]
    journey.settling.apply([*before, *intents])
    lost = attach_settlement(intents[1], AttachState.DOUBTED, OutcomeKind.AMBIGUOUS, unknowns=1)
    twice = attach_settlement(intents[2], AttachState.DOUBTED, OutcomeKind.AMBIGUOUS, unknowns=1)
    seen = attach_settlement(intents[2], AttachState.ATTACHED, OutcomeKind.OK, unknowns=-1)
    journey.settling.apply(
        [
            attach_settlement(intents[0], AttachState.ATTACHED, OutcomeKind.OK, made(intents[0])),
            *(lost, twice),
            seen._replace(attempt_id=None, found=made(intents[2], "cust_test_3")),
        ]
    )
    found = {c.row_id % 1000: (c.state, c.unknowns) for c in journey.claims().values()}

    assert found == {2: (AttachState.DOUBTED, 1)}
    assert journey.unseen() == 1
    assert [journey.customer(i.customer).state for i in intents] == ["made", "making", "made"]


def attach_settlement(intent, state, kind, found=None, unknowns=0):
    attached = state is AttachState.ATTACHED
    return AttachSettlement(
        attempt_id=intent.attempt_id,
        row_id=intent.row_id,
        customer=intent.customer,
        kind=kind,
        evidence="as told",
        state=state,
        code=None,
        unknowns=unknowns,
        vault_code=None,
        request_id=None,
        latency_us=1,
        card_id=f"card_test_{intent.row_id}" if attached else None,
        is_default=True if attached else None,
        found=found,
    )


def test_an_attached_card_is_in_the_mapping_with_its_customer(journey):
    """Origin, default and the vault's customer stand beside the token."""
    intent = journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.settle(intent, found=made(intent), is_default=True)
    second = journey.intend(2, before=journey.tokenize(2))
    with journey.ledger.look() as look:
        both = [row for block in look.mapped_rows() for row in block]
    journey.ledger.remember(ATTACH_KEY, "on")
    with journey.ledger.look() as look:
        only = [row for block in look.mapped_rows() for row in block]
    journey.settle(second, is_default=False)
    with journey.ledger.look() as look:
        customers = [row for block in look.customer_rows() for row in block]
        cards = [(card.customer_id, card.card_id) for card in attached_cards(look)]

    assert [row[3] for row in both] == ["cust_test_1", None]
    assert [(row[3], row[15], row[16]) for row in only] == [("cust_test_1", "made", 1)]
    first = f"card_test_{intent.row_id}"
    assert [row[:6] for row in customers] == [("anna", "cust_test_1", "made", 2, first, 0)]
    assert cards == [("cust_test_1", first), ("cust_test_1", f"card_test_{second.row_id}")]
    assert journey.unseen() == 0
    assert {"tokenized": 2, "attached": 2} == journey.balance()


def test_a_lost_answer_counts_in_v_until_the_card_was_seen(journey):
    """The same request goes out again; what it finds clears the question up."""
    intent = journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.settle(intent, AttachState.DOUBTED, unknowns=1)
    assert journey.unseen() == 1
    again = journey.intend(1, makes=True)
    assert journey.unseen() == 2
    journey.settle(again, unknowns=-1, found=made(again))

    assert journey.unseen() == 0
    assert {"tokenized": 1, "attached": 1} == journey.balance()


def test_a_located_card_needs_no_request_of_its_own(journey):
    """What a list showed settles the question without an attempt."""
    intent = journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.settle(intent, AttachState.DOUBTED, unknowns=1)
    found = CustomerFound(intent.customer, CustomerState.LOCATED, "cust_test_9")
    journey.settle(intent, attempt_id=None, unknowns=-1, found=found)

    assert journey.customer(intent.customer).customer_id == "cust_test_9"
    assert (journey.unseen(), journey.balance()) == (0, {"tokenized": 1, "attached": 1})


def test_a_run_that_died_leaves_its_cards_in_doubt_and_counted(journey):
    """Neither attached nor not: the next run sends the same request again."""
    journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.builder.begin("run-2")

    assert settle_open_intents(journey.ledger, 1).in_doubt == 1
    claim = journey.claims()[1]
    assert (claim.state, claim.unknowns, journey.unseen()) == (AttachState.DOUBTED, 1, 1)
    assert journey.customer(claim.customer).state is CustomerState.MAKING
    assert settle_open_intents(journey.ledger, 1).in_doubt == 0


def test_a_customer_that_may_have_been_made_unseen_is_made_for_no_other_card(journey):
    """Only the card whose answer was lost can tell; the other's intent is refused."""
    journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.builder.begin("run-2")
    settle_open_intents(journey.ledger, 1)
    journey.settling = Settling(journey.ledger, 8)
    tokens = journey.tokenize(2)

    with pytest.raises(VerificationFailed, match="a card or customer of the ledger was not where"):
        journey.intend(2, makes=True, before=tokens)
    again = journey.intend(1, makes=True)
    journey.settle(again, unknowns=-1, found=made(again))


def test_a_token_that_is_gone_is_retired_and_its_row_planned_again(journey):
    """The old token stays on record; a new one may be made, and is then the live one."""
    (token,) = journey.tokenize(1)
    intent = journey.intend(1, makes=True, before=[token])
    journey.settle(
        intent, AttachState.UNATTACHED, kind=OutcomeKind.DECLINED, code="attach_token_gone"
    )
    journey.settling.apply([Retirement(intent.row_id, "gone")])
    assert journey.claims()[1].token_id is None
    (second,) = journey.tokenize(1)
    journey.settling.apply([second])
    with journey.ledger.reading() as connection:
        retired = connection.exec_driver_sql("SELECT token_id, reason FROM retired_tokens").all()

    assert retired == [(token.token.token_id, "gone")]
    assert journey.claims()[1].token_id == second.token.token_id
    assert {"tokenized": 1, "unattached": 1} == journey.balance()


def test_a_retired_tokens_id_given_again_freezes_the_row(journey):
    """It was another card's once, or the vault gives ids twice: both are for an operator."""
    (token,) = journey.tokenize(1)
    journey.settling.apply([token])
    journey.settling.apply([Retirement(token.row_id, "gone")])
    (second,) = journey.tokenize(2)
    applied = journey.settling.apply(
        [second._replace(token=second.token._replace(token_id=token.token.token_id))]
    )

    assert second.row_id in applied.frozen


def test_failed_and_held_cards_are_in_the_failure_report_of_their_tokenized_rows(journey):
    """Rows keep their state; the report names customer and card."""
    one = journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.settle(one, found=made(one))
    two = journey.intend(2, before=journey.tokenize(2))
    journey.settle(two, AttachState.FAILED, code="attach_rejected")
    (third,) = journey.tokenize(3)
    three = journey.intend(3, before=[third])
    journey.settle(three, AttachState.HELD, code="attach_token_used", unknowns=1)
    with journey.ledger.look() as look:
        failed = [row for block in look.failed_rows() for row in block]

    assert [(row[3], row[5], row[10]) for row in failed] == [
        ("attach_rejected", "failed", "cust_test_1"),
        ("attach_token_used", "held", None),
    ]
    assert {
        "tokenized": 3,
        "attached": 1,
        "attach_failed": 1,
        "attach_held": 1,
    } == journey.balance()


def test_a_default_that_moves_leaves_one_default(journey):
    """Its own intent, its own outcome, and the other card is no default any more."""
    one = journey.intend(1, makes=True, before=journey.tokenize(1))
    journey.settle(one, found=made(one), is_default=True)
    two = journey.intend(2, before=journey.tokenize(2))
    journey.settle(two, is_default=False)
    move = journey.settling.attach_intent(
        two.row_id, two.customer, 1, step=AttemptStep.MOVE_DEFAULT
    )
    journey.settling.apply([move])
    journey.settle(move, is_default=True)
    with journey.ledger.look() as look:
        defaults = [card.is_default for card in attached_cards(look)]

    assert defaults == [False, True]


def test_open_requests_of_both_hosts_share_the_slots(journey):
    """More than C is a bug, whichever host they go to."""
    settling = Settling(journey.ledger, 1)
    journey.settling = settling
    (token,) = journey.tokenize(1)
    settling.apply([token])
    journey.intend(1, makes=True)
    other = settling.claimable(journey.first, journey.last)[0]

    with pytest.raises(AssertionError, match="more intents are open"):
        settling.apply([settling.intent(other.id, 1)])


def test_a_card_that_was_moved_by_somebody_else_stops_the_run(journey):
    """The whole batch is undone."""
    intent = journey.intend(1, makes=True, before=journey.tokenize(1))
    with pytest.raises(VerificationFailed):
        journey.settling.apply([intent._replace(attempt_id=99, number=2)])

    assert journey.claims()[1].attempts == 1


def test_a_customer_named_in_two_ways_rejects_its_rows(builder):
    """In one export or across two; nothing of it is sent."""
    cards = [
        card(1, "anna", "cust_1"),
        card(2, "anna", "cust_2"),
        card(3, "ben"),
        card(4, "carl", "cust_4"),
    ]
    journey = Journey(builder, cards)
    later = plan(journey.ledger, "b", [card(5, "carl", "cust_5"), card(6, "ben", "cust_6")])
    with journey.ledger.look() as look:
        assert {"customer_conflict": 3} == look.by_code()
        assert [c.row_id % 1000 for c in look.attachable(later.first_id, later.last_id)] == [6]


def test_what_a_refused_export_named_is_forgotten(builder):
    """A later export may name another customer for the same key."""
    builder.begin("run-1")
    planning = Planning(builder.ledger)
    facts = SealedFacts("a.csv", 10, "a" * 64, bytes(32), "plain")
    export = planning.begin(facts, DAY)
    planning.add(export, [card(1, "anna", "cust_1")], [])
    planning.refuse(export, "ExportRefused", "it was cut short")
    plan(builder.ledger, "b", [card(1, "anna", "cust_2")])
    with builder.ledger.look() as look:
        assert {} == look.by_code()
        assert look.customers_of([1])[1].given_id == "cust_2"


@pytest.mark.parametrize("code", ["no_card", "not_a_card", "filtered"])
def test_what_is_no_card_is_skipped_and_no_failure(builder, code):
    """It has its state and its code, and the failure report does not list it."""
    builder.begin("run-1")
    plan(builder.ledger, "a", [card(1, None)], [Rejection(2, code, None, "id-2")])
    with builder.ledger.look() as look:
        states = {state.value: n for state, n in look.by_state().items() if n}
        assert ({}, []) == (look.by_code(), list(look.failed_rows()))

    assert states == {"planned": 1, "skipped": 1}


def test_an_export_that_is_given_up_leaves_nothing_that_waits_and_no_question_unasked(builder):
    """Unsent rows and unused tokens are skipped; doubted rows are held, doubted cards have failed."""
    j = Journey(builder, [card(n, f"cus-{n}") for n in range(1, 6)])
    *made_of_one, doubted, unused = j.tokenize(1, 2, 3)
    first = j.intend(1, makes=True, before=made_of_one)
    attached = attach_settlement(first, AttachState.ATTACHED, OutcomeKind.OK, made(first))
    j.settling.apply([attached._replace(card_id=made_of_one[0].token.card_id)])
    lost = j.intend(2, makes=True, before=[doubted])
    j.settle(lost, AttachState.DOUBTED, unknowns=1)
    refused = j.intend(3, makes=True, before=[unused])
    j.settle(
        refused,
        AttachState.UNATTACHED,
        kind=OutcomeKind.THROTTLED,
        found=CustomerFound(refused.customer, CustomerState.WANTED),
    )
    claims = {c.id % 1000: c for c in j.settling.claimable(j.first, j.last)}
    j.settling.apply([j.settling.intent(claims[5].id, 1)])
    j.builder.begin("run-2")
    settle_open_intents(j.ledger, 1)

    told = give_up(j.ledger, "a.csv", "a" * 64, "the sender has no copy")

    with j.ledger.look() as look:
        assert (2, 1, 1) == told
        assert {"outcome_unknown": 1, "attach_attempts_exhausted": 1} == look.by_code()
        assert [] == look.waiting_by_export()
        assert [(1, "attach_failed", 1), (1, "held", 1)] == look.open_by_export()
        assert 2 == look.left_out([1])
        assert look.contradiction() is None
        assert (1, 1) == (look.unseen_tokens_max(), look.unseen_cards_max())
    assert {"tokenized": 2, "attached": 1, "attach_failed": 1} == j.balance()
    assert [CustomerState.MADE, CustomerState.UNLOCATED, CustomerState.WANTED] == [
        j.customer(one.customer).state for one in (first, lost, refused)
    ]
