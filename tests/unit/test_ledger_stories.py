"""Each thing that two tables may tell differently is found, and told in words of its own."""

from contextlib import closing
from datetime import date

import pytest

from pipeline.ledger.plan_records import PlannedCard, ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.ledger.records import (
    AttachSettlement,
    AttachState,
    CustomerFound,
    CustomerState,
    Retirement,
    row_id,
)
from pipeline.ledger.settling import Settling
from pipeline.ledger.tables_proof import _stories, _sums, contradiction
from pipeline.model import OutcomeKind
from tests.support.ledgers import drop_rules, new_builder, tokenized

OWNERS = ("anna", "ben", "cleo", "dora", "emil")
ATTACHED, GONE, UNDER_WAY, WITH_TOKEN, SENT = (row_id(1, n) for n in range(1, 6))
"""Rows by where they stand: on a customer, its token given up, on the way there, tokenized, sent."""


def planned(builder):
    """Plan one card of each owner."""
    planning = Planning(builder.ledger)
    facts = SealedFacts("owned.csv", 10, "a" * 64, bytes(32), "plain")
    export = planning.begin(facts, date(2026, 11, 20))
    cards = [
        PlannedCard(n, f"owned-{n}", f"{4240 + n}", "Visa", 12, 2031, None, owner)
        for n, owner in enumerate(OWNERS, 1)
    ]
    planning.add(export, cards, [])
    planning.finish(export, ProvedFacts("plain", None, None, len(OWNERS), "00" * 32))
    return export


def said(intent, state, kind, card_id=None, found=None):
    """Give what became of a request to put a card on its customer."""
    return AttachSettlement(
        attempt_id=intent.attempt_id,
        row_id=intent.row_id,
        customer=intent.customer,
        kind=kind,
        evidence="said",
        state=state,
        code=None,
        unknowns=0,
        vault_code=None,
        request_id=None,
        latency_us=1,
        card_id=card_id,
        found=found,
    )


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A ledger with a row of each standing and without its rules; nobody commits to it."""
    builder = new_builder(tmp_path_factory.mktemp("ledger"))
    builder.begin("run-1")
    export = planned(builder)
    settling = Settling(builder.ledger, 8)
    claims = settling.claimable(export.first_id, export.last_id)
    intents = [settling.intent(claim.id, 1) for claim in claims]
    settling.apply(intents)
    made = [
        tokenized(intent, builder._token(claim))
        for claim, intent in zip(claims, intents, strict=True)
        if claim.id != SENT
    ]
    settling.apply(made)
    with builder.ledger.look() as look:
        owners = {one.row_id: one.customer for one in look.attachable(ATTACHED, SENT)}
    asked = {
        row: settling.attach_intent(row, owners[row], 1, makes_customer=True)
        for row in (ATTACHED, GONE, UNDER_WAY)
    }
    settling.apply(list(asked.values()))
    card = next(one.token.card_id for one in made if one.row_id == ATTACHED)
    found = CustomerFound(owners[ATTACHED], CustomerState.MADE, "cust_test_1")
    settling.apply(
        [
            said(asked[ATTACHED], AttachState.ATTACHED, OutcomeKind.OK, card, found),
            said(asked[GONE], AttachState.UNATTACHED, OutcomeKind.DECLINED),
            Retirement(GONE, "gone"),
        ]
    )
    with closing(builder.ledger) as ledger:
        drop_rules(ledger)
        yield ledger


TOLD = {
    "a row is tokenized and has no token": "DELETE FROM tokens WHERE row_id = {attached}",
    "a token belongs to a row that is not tokenized": (
        "UPDATE rows SET state = 'planned' WHERE id = {with_token}"
    ),
    "a row is under way, and no attempt of it is open": (
        "INSERT INTO outcomes (attempt_id, kind, evidence, latency_us, at_ms) SELECT id, 'ok', "
        "'token', 1, 1 FROM attempts WHERE row_id = {sent}"
    ),
    "an attempt is open, and its row is not under way": (
        "UPDATE rows SET state = 'planned' WHERE id = {sent}"
    ),
    "a retired token is in force": (
        "UPDATE tokens SET token_id = (SELECT token_id FROM retired_tokens) WHERE row_id = {attached}"
    ),
    "a token came with no answer of its run": (
        "UPDATE outcomes SET kind = 'ambiguous' WHERE attempt_id IN (SELECT id FROM attempts "
        "WHERE step = 'tokenize' AND row_id = {attached})"
    ),
    "a request about a card is open, and the card is not under way": (
        "UPDATE attachments SET state = 'unattached' WHERE row_id = {under_way}"
    ),
    "a card is under way, and no request about it is open": (
        "INSERT INTO outcomes (attempt_id, kind, evidence, latency_us, at_ms) SELECT id, 'ok', "
        "'card', 1, 1 FROM attempts WHERE step = 'attach' AND row_id = {under_way}"
    ),
    "a card was asked for more often than is written down": (
        "UPDATE attachments SET attempts = 2 WHERE row_id = {attached}"
    ),
    "a card is not where the last answer about it took it": (
        "UPDATE outcomes SET kind = 'mismatch' WHERE attempt_id = (SELECT max(id) FROM attempts WHERE step = 'attach' AND row_id = {attached})"
    ),
    "more cards may exist unseen than answers left in doubt": (
        "UPDATE attachments SET unknowns = 2 WHERE row_id = {attached}"
    ),
    "a card on a customer is not the card of its row's token": (
        "UPDATE attachments SET card_id = 'card_test_x' WHERE row_id = {attached}"
    ),
    "a token was given up, and no answer about its card said why": (
        "UPDATE outcomes SET kind = 'ok' WHERE attempt_id IN (SELECT id FROM attempts WHERE "
        "step = 'attach' AND row_id = {gone})"
    ),
    "a card counts as deleted, and nobody asked for that": (
        "UPDATE attachments SET deleted_ms = 1 WHERE row_id = {attached}"
    ),
    "a card goes to another customer than its row names": (
        "UPDATE rows SET customer = 2 WHERE id = {attached}"
    ),
    "a card is on a customer that nobody knows": (
        "UPDATE customers SET customer_id = NULL WHERE customer_id IS NOT NULL"
    ),
    "a customer was made, and no card of it was seen": (
        "UPDATE customers SET state = 'made' WHERE legacy_customer_id = 'dora'"
    ),
    "a customer is in the making, and no card was sent for it": (
        "INSERT INTO customers (id, legacy_customer_id, state) VALUES (99, 'nobody', 'making')"
    ),
    "the rows' attempts are not as many as were written down": (
        "UPDATE rows SET attempts = 7 WHERE id = {sent}"
    ),
    "the cards' requests are not as many as were written down": (
        "UPDATE attachments SET attempts = 0 WHERE row_id = {gone}"
    ),
    "an export's rows are not as many as were read from it": "UPDATE exports SET rows = rows + 1",
}
"""What each change is told as; a torn commit leaves such halves."""
NUMBERS = {
    "attached": ATTACHED,
    "gone": GONE,
    "under_way": UNDER_WAY,
    "with_token": WITH_TOKEN,
    "sent": SENT,
}


def test_every_contradiction_has_its_change_here():
    """A story that is told here and looked for nowhere, or the other way round, is a gap."""
    assert TOLD.keys() == {words for words, *_ in [*_stories(), *_sums()]}


@pytest.mark.parametrize("words", TOLD)
def test_each_half_of_a_torn_commit_is_told_as_what_it_is(ledger, words):
    """Rows, attempts, outcomes, tokens, cards and customers: the first words are the right ones."""
    with ledger.engine.begin() as connection:
        assert contradiction(connection) is None
        assert connection.exec_driver_sql(TOLD[words].format(**NUMBERS)).rowcount
        told = contradiction(connection)
        connection.rollback()

    assert words == told
