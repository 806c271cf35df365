"""Behind a run that never was, nothing that was settled can be changed without a request of its own.

Each change leaves one story: states, sums and answers agree with each other, and what no run may
change is as it was. Only what the publication before it kept of each thing tells.
"""

import json
from contextlib import closing, contextmanager
from datetime import date
from random import Random

import pytest
from sqlalchemy import delete, insert, select

from pipeline.ledger.lasting_proof import lasting_digest, what_lasts
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
from pipeline.ledger.recovery import settle_open_intents
from pipeline.ledger.schema import attachments, attempts, events, tokens
from pipeline.ledger.settling import Settling
from pipeline.ledger.tables_proof import contradiction
from pipeline.ledger.versions import renew_versions
from pipeline.migration.publish import publish_again
from pipeline.migration.run_request import Tools
from pipeline.model import OutcomeKind
from pipeline.outputs.publisher import publish
from tests.support.changes_said import said_of_changes
from tests.support.folders import VERSION, found_in, public_pem, signer
from tests.support.ledgers import StepClock, drop_rules, new_builder, reopened, settled_builder

OWNERS = ("anna", "anna", "anna", "ben", "cleo", "dora")
ATTACHED, SIBLING, REUSED, HELD, FAILED, GONE = (row_id(4, n) for n in range(1, 7))
ANNA, BEN, CLEO, DORA = range(1, 5)
HELD_ROW, REJECTED_ROW, FAILED_ROW = 10000000003, 10000000018, 10000000002
CARDS, ROWS = ("attachments", "row_id"), ("rows", "id")
CUSTOMERS = ("customers", "id")
CHANGES = {
    "which card is the default": [
        (CARDS, ATTACHED, "is_default = 0"),
        (CARDS, SIBLING, "is_default = 1"),
    ],
    "when a card came": [(CARDS, ATTACHED, "attached_ms = attached_ms - 1")],
    "which card was reused": [(CARDS, REUSED, "card_id = 'card_x'")],
    "a card that was held failed": [
        (CARDS, HELD, "state = 'attach_failed', code = 'attach_attempts_exhausted'")
    ],
    "a card that failed waits": [(CARDS, FAILED, "state = 'unattached', code = NULL")],
    "a card that was put there is held": [
        (CARDS, SIBLING, "state = 'attach_held', code = 'attach_mismatch'")
    ],
    "a card was deleted": [(CARDS, SIBLING, "deleted_ms = 1")],
    "why a card failed": [(CARDS, FAILED, "code = 'attach_attempts_exhausted'")],
    "the vault's word on a card": [(CARDS, FAILED, "vault_code = 'x'")],
    "a request's name": [(CARDS, ATTACHED, "request_id = 'x'")],
    "a customer takes no more": [(CUSTOMERS, ANNA, "state = 'refused', code = 'customer_unknown'")],
    "where a customer came from": [(CUSTOMERS, ANNA, "state = 'given'")],
    "why a customer takes none": [(CUSTOMERS, CLEO, "code = 'x'")],
    "a customer that takes none waits": [(CUSTOMERS, CLEO, "state = 'wanted', code = NULL")],
    "when a customer was made": [(CUSTOMERS, ANNA, "created_s = created_s - 1")],
    "a customer's mode": [(CUSTOMERS, ANNA, "livemode = 1")],
    "what a customer was given": [(CUSTOMERS, ANNA, "given_id = 'cust_x'")],
    "a held row waits": [(ROWS, HELD_ROW, "state = 'planned', code = NULL")],
    "a held row is rejected": [
        (ROWS, HELD_ROW, "state = 'rejected', code = 'customer_unknown', unknowns = 0")
    ],
    "a rejected row waits": [(ROWS, REJECTED_ROW, "state = 'planned', code = NULL")],
    "the code of a rejected row": [(ROWS, REJECTED_ROW, "code = 'fraud_check_failed'")],
    "the vault's word on a row": [(ROWS, REJECTED_ROW, "vault_code = 'x'")],
    "what is known of a failure": [(ROWS, FAILED_ROW, "request_id = 'x', hint = 'y'")],
}
"""By what is changed: tables with their keys, ids, and what is set."""
LASTING = {
    "when a token was given up": "UPDATE retired_tokens SET retired_ms = retired_ms - 1",
    "why a token was given up": "UPDATE retired_tokens SET reason = 'attach_token_used'",
    "in which run a token was given up": "UPDATE retired_tokens SET retired_epoch = 4",
    "what cards had become": "UPDATE versions SET packed = zeroblob(19) WHERE of = 'attachments'",
    "what cards had become, said of other entries": "UPDATE versions SET sha256 = '4242'"
    " WHERE of = 'attachments'",
    "what rows had become": "DELETE FROM versions WHERE of = 'rows' AND epoch = 2",
    "when customers had become it": "UPDATE versions SET epoch = 4 WHERE of = 'customers'",
}


def said(row, customer, state, attempt=None, **more):
    """Give what became of a card on its way to a customer."""
    usual = {
        "kind": OutcomeKind.NOT_SENT if attempt is None else OutcomeKind.OK,
        "code": None,
        "vault_code": None,
    }
    return AttachSettlement(
        attempt_id=attempt,
        row_id=row,
        customer=customer,
        evidence="said",
        state=state,
        unknowns=0,
        request_id="req",
        latency_us=1,
        **(usual | more),
    )


def plan(builder):
    """Plan an export of cards that belong to customers."""
    planning = Planning(builder.ledger)
    export = planning.begin(
        SealedFacts("owned.csv", 10, "a" * 64, bytes(32), "plain"), date(2026, 11, 20)
    )
    planned = [
        PlannedCard(n, f"owned-{n}", "4242", "Visa", 12, 2031, None, owner)
        for n, owner in enumerate(OWNERS, 1)
    ]
    planning.add(export, planned, [])
    planning.finish(export, ProvedFacts("plain", None, None, len(OWNERS), "00" * 32))
    return export


def attach(builder):
    """Put the cards of that export on customers, in all the ways that it can end."""
    settling = Settling(builder.ledger, 100)

    def ask(row, customer, state, **more):
        intent = settling.attach_intent(row, customer, 1, makes_customer=row != SIBLING)
        settling.apply([intent])
        settling.apply([said(row, customer, state, intent.attempt_id, **more)])

    def card(row):
        with builder.ledger.reading() as connection:
            known = select(tokens.c.card_id).where(tokens.c.row_id == row)
            return connection.execute(known).scalar()

    def no(vault_code, code=None):
        return {"kind": OutcomeKind.REJECTED, "vault_code": vault_code, "code": code}

    made = CustomerFound(ANNA, CustomerState.MADE, "cust_1", livemode=False, created_s=7)
    ask(ATTACHED, ANNA, AttachState.ATTACHED, card_id=card(ATTACHED), is_default=True, found=made)
    ask(SIBLING, ANNA, AttachState.ATTACHED, card_id=card(SIBLING), is_default=False)
    settling.apply([said(REUSED, ANNA, AttachState.REUSED, card_id=card(ATTACHED))])
    ask(HELD, BEN, AttachState.HELD, **no("used_token", "attach_token_used"))
    settling.apply([CustomerFound(BEN, CustomerState.UNLOCATED, code="customer_unlocated")])
    ask(FAILED, CLEO, AttachState.FAILED, **no("invalid_card", "attach_rejected"))
    settling.apply([CustomerFound(CLEO, CustomerState.WANTED)])
    settling.apply([CustomerFound(CLEO, CustomerState.REFUSED, code="customer_unknown")])
    ask(GONE, DORA, AttachState.UNATTACHED, **no("not_found"))
    settling.apply([Retirement(GONE, "attach_token_gone")])


def keep_versions(ledger):
    """Keep what everything became, as a publication does."""
    with ledger.transaction() as connection:
        renew_versions(connection, ledger.epoch)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A ledger of three runs, two publications and one run that sent nothing; its rules are away."""
    builder = settled_builder(tmp_path_factory.mktemp("ledger") / "migration", 90)
    with closing(builder.ledger) as ledger:
        keep_versions(ledger)
        builder.begin("run-3")
        export = plan(builder)
        builder.settle(export)
        attach(builder)
        builder.settle(export)
        builder.end(3)
        keep_versions(ledger)
        drop_rules(ledger)
        builder.begin("run-4")
        builder.end(0)
        yield ledger


def published(connection):
    """Give the digest of what lasts, as the last publication named it."""
    return lasting_digest(what_lasts(connection, kept=False), 3)


@contextmanager
def changed(ledger, what=None, *statements):
    """Change a ledger as long as the block lasts."""
    told = [
        f"UPDATE {table} SET {values} WHERE {key} = {number}"  # noqa: S608 - our own words.
        for (table, key), number, values in CHANGES.get(what, ())
    ]
    with ledger.engine.begin() as connection:
        for statement in (*told, *statements):
            assert connection.exec_driver_sql(statement).rowcount
        yield connection
        connection.rollback()


def test_a_run_that_changed_nothing_has_nothing_to_explain(ledger):
    """A forged run alone is no change; and the ledger tells one story."""
    with ledger.reading() as connection:
        assert contradiction(connection) is None
        assert said_of_changes(connection) is None


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_settled_is_another_thing_only_for_a_reason(ledger, what):
    """The answers, sums and states agree, and yet it is told which kind of thing was changed."""
    with ledger.reading() as connection:
        before = published(connection)
    with changed(ledger, what) as connection:
        assert before == published(connection)
        assert said_of_changes(connection).endswith("for no reason")


@pytest.mark.parametrize("what", LASTING)
def test_what_things_had_become_is_itself_among_what_lasts(ledger, what):
    """Nobody can forge the past of a thing, nor why a token was given up."""
    with ledger.reading() as connection:
        before = published(connection)
    with changed(ledger, None, LASTING[what]) as connection:
        assert before != published(connection)


def test_a_settled_thing_that_is_taken_away_is_missed(ledger):
    """A card of which nothing else is told than where it stands."""
    with changed(ledger) as connection:
        connection.execute(delete(attachments).where(attachments.c.row_id == REUSED))
        assert "a card that was published is not there" == said_of_changes(connection)


@pytest.mark.parametrize("when", [2, 4])
def test_only_a_request_since_the_publication_is_a_reason(ledger, when):
    """One of a run before it explains nothing; one of the forged run does, and stands in its trail."""
    sent = {"id": 9999, "row_id": FAILED, "step": "attach", "number": 9, "epoch": when, "at_ms": 1}
    with changed(ledger, "why a card failed") as connection:
        connection.execute(insert(attempts), [sent])
        assert (said_of_changes(connection) is None) == (when == 4)


@pytest.mark.parametrize(
    ("what", "is_explained"), [("a held row waits", True), ("a held row is rejected", False)]
)
def test_an_operator_s_word_explains_what_waits_again_and_nothing_else(ledger, what, is_explained):
    """What it takes back is sent or waits; nothing is settled by it."""
    word = {"detail": {"rows": 1}, "event": "planned_again", "run_id": "run-4"}
    told = {"seq": 999, "body": json.dumps(word, separators=(",", ":")), "hash": ""}
    with changed(ledger, what) as connection:
        connection.execute(insert(events), [told])
        assert (said_of_changes(connection) is None) == is_explained


def test_runs_that_died_and_were_published_by_hand_have_nothing_to_explain(tmp_path):
    """What was in doubt at a publication is settled by the next run, with or without a request."""
    builder = new_builder(tmp_path / "out")
    builder.begin("run-1")
    export = builder.plan("cards.csv.pgp", 90, reject_every=13)
    for number in (1, 2):
        settling = Settling(builder.ledger, 100)
        claims = settling.claimable(export.first_id, export.last_id)[:10]
        intents = [settling.intent(claim.id, claim.attempts + 1) for claim in claims]
        settling.apply(intents)
        builder.ledger.close()
        publish_again(
            tmp_path / "out", Tools(StepClock(), Random(1)), signer(), ("somchai", "here:1")
        )
        assert [] == found_in(tmp_path / "out", key=public_pem())
        builder = reopened(builder, tmp_path / "out")
        builder.ledger.signer = signer()
        builder.begin(f"run-{number + 1}")
        settle_open_intents(builder.ledger, 1)
    builder.settle(export)
    builder.end(0)
    publish(builder.ledger, tmp_path / "out", VERSION, signer())
    builder.ledger.close()

    assert [] == found_in(tmp_path / "out", key=public_pem())
