"""Batches of intents and settlements: order, bounds, doubled tokens, changed cards."""

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.batches import ROWS_AT_ONCE
from pipeline.ledger.settling import Settling
from pipeline.model import OutcomeKind, RowState
from tests.support.ledgers import new_builder, tokenized

pytestmark = pytest.mark.usefixtures("each_store")


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


@pytest.fixture
def export(builder):
    return builder.plan("cards.csv", 10)


def states(builder):
    with builder.ledger.look() as look:
        return {state.value: n for state, n in look.by_state().items() if n}


def unseen(builder):
    with builder.ledger.look() as look:
        return look.unseen_tokens_max()


def answered(builder, intent, claim, token_id=None):
    token = builder._token(claim)
    token = token if token_id is None else token._replace(token_id=token_id)
    return tokenized(intent, token)


def sent(settling, export, count):
    claims = settling.claimable(export.first_id, export.last_id)[:count]
    intents = [settling.intent(claim.id, claim.attempts + 1) for claim in claims]
    settling.apply(intents)
    return claims, intents


def test_an_intent_makes_a_row_sent_and_counts_in_u_until_its_outcome(builder, export):
    """Between the two the row is in doubt, and U says so."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 3)
    assert {"planned": 7, "sent": 3} == states(builder)
    assert unseen(builder) == 3
    settling.apply(
        [answered(builder, i, c) for i, c in zip(intents, claims, strict=True)],
    )

    assert {"planned": 7, "tokenized": 3} == states(builder)
    assert unseen(builder) == 0


def test_more_open_intents_than_slots_are_a_bug_and_nothing_of_them_is_written(builder, export):
    """The assertion stands before the commit."""
    settling = Settling(builder.ledger, 2)
    with pytest.raises(AssertionError, match="more intents are open"):
        sent(settling, export, 3)

    assert {"planned": 10} == states(builder)


def test_a_slot_may_settle_and_intend_in_one_batch(builder, export):
    """Outcomes are applied first, so the bound holds and one commit is enough."""
    settling = Settling(builder.ledger, 1)
    claims, intents = sent(settling, export, 1)
    following = settling.claimable(export.first_id, export.last_id)[0]
    settling.apply([answered(builder, intents[0], claims[0]), settling.intent(following.id, 1)])

    assert {"planned": 8, "sent": 1, "tokenized": 1} == states(builder)


def test_a_row_that_is_not_where_the_run_left_it_stops_everything(builder, export):
    """Somebody else settled it: the whole batch is undone."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 2)
    with builder.ledger.engine.begin() as connection:
        meddle = f"UPDATE rows SET state = 'held' WHERE id = {claims[0].id}"  # noqa: S608
        connection.exec_driver_sql(meddle)
    batch = [answered(builder, i, c) for i, c in zip(intents, claims, strict=True)]
    with pytest.raises(VerificationFailed):
        settling.apply(batch)

    assert {"planned": 8, "sent": 1, "held": 1} == states(builder)


def test_a_row_cannot_be_intended_twice_at_once(builder, export):
    """The second intent finds no row to claim."""
    settling = Settling(builder.ledger, 8)
    claims, _ = sent(settling, export, 1)

    with pytest.raises(VerificationFailed):
        settling.apply([settling.intent(claims[0].id, 2)])


def test_a_token_id_given_twice_in_one_batch_freezes_both_rows(builder, export):
    """Neither row is its proven owner; both count as perhaps having a token unseen."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 3)
    applied = settling.apply(
        [
            answered(builder, intents[0], claims[0], "tokn_test_same"),
            answered(builder, intents[1], claims[1], "tokn_test_same"),
            answered(builder, intents[2], claims[2]),
        ]
    )

    assert sorted(applied.frozen) == [claims[0].id, claims[1].id]
    assert {"planned": 7, "held": 2, "tokenized": 1} == states(builder)
    assert unseen(builder) == 2


def test_a_token_id_seen_before_freezes_its_first_owner_too(builder, export):
    """The mapping loses the row whose token is in doubt; the token stays on record."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 2)
    settling.apply([answered(builder, intents[0], claims[0], "tokn_test_same")])
    applied = settling.apply([answered(builder, intents[1], claims[1], "tokn_test_same")])

    assert sorted(applied.frozen) == [claims[0].id, claims[1].id]
    assert {"planned": 8, "held": 2} == states(builder)
    with builder.ledger.reading() as connection:
        kept = connection.exec_driver_sql("SELECT token_id FROM tokens").scalars().all()
    assert kept == ["tokn_test_same"]


def test_a_changed_card_supersedes_the_old_row_in_the_same_commit(builder, export):
    """There is no moment with two current tokens of one id, nor with none."""
    builder.settle(export)
    later = builder.plan("later.csv", 4, changed_every=1)
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, later, 1)
    settling.apply([answered(builder, intents[0], claims[0])])

    with builder.ledger.look() as look:
        mapped = [row[0] for block in look.mapped_rows() for row in block]
    with builder.ledger.reading() as connection:
        replaced = connection.exec_driver_sql(
            "SELECT id, superseded_by FROM rows WHERE superseded_by IS NOT NULL"
        ).all()
    assert [(export.first_id + 1, claims[0].id)] == replaced
    assert sorted(mapped) == sorted(set(mapped))
    assert len(mapped) == 10


def test_changed_cards_are_written_beside_new_ones_and_the_next_intents(builder, export):
    """Tokens are written with an intent each, and those that replace another as well."""
    builder.settle(export)
    later = builder.plan("later.csv", 30, changed_every=5)
    settling = Settling(builder.ledger, 40)
    claims = settling.claimable(later.first_id, later.last_id)
    intents = [settling.intent(claim.id, 1) for claim in claims]
    tokens = [answered(builder, i, c) for i, c in zip(intents, claims, strict=True)]
    throttled = builder._settled(intents[3], OutcomeKind.THROTTLED, RowState.PLANNED, "status 429")
    settling.apply(intents[:6])
    settling.apply([*tokens[:3], throttled, *tokens[4:6], settling.intent(claims[3].id, 2)])
    assert {"already_tokenized": 8, "planned": 16, "sent": 1, "tokenized": 15} == states(builder)
    settling.apply(intents[6:14])
    settling.apply([*tokens[6:14], *intents[14:]])
    settling.apply(tokens[14:])

    with builder.ledger.reading() as connection:
        replaced = connection.exec_driver_sql(
            "SELECT id, superseded_by FROM rows WHERE superseded_by IS NOT NULL ORDER BY id"
        ).all()
        numbers = connection.exec_driver_sql("SELECT count(*) FROM tokens").scalar_one()
    assert [(export.first_id + n, later.first_id + n) for n in (5, 10)] == replaced
    assert {"already_tokenized": 8, "sent": 1, "tokenized": 31} == states(builder)
    assert numbers == 31


def test_a_row_waits_while_the_same_id_of_another_export_is_under_way(builder, export):
    """Until the earlier row has settled nobody knows whether the later one is to be sent."""
    later = builder.plan("later.csv", 10, changed_every=1)
    settling = Settling(builder.ledger, 8)
    assert not settling.has_rivals(later.first_id, later.last_id)
    claims, intents = sent(settling, export, 8)
    assert settling.has_rivals(later.first_id, later.last_id)
    settling.apply([answered(builder, i, c) for i, c in zip(intents, claims, strict=True)])

    assert settling.has_rivals(later.first_id, later.last_id)
    assert not settling.has_rivals(later.first_id, later.first_id + 8)


def test_a_batch_is_refused_while_a_transaction_is_open(builder, export):
    """It would be durable only with that transaction, and its intents must not be sent before."""
    settling = Settling(builder.ledger, 8)
    claims = settling.claimable(export.first_id, export.last_id)
    with (
        pytest.raises(AssertionError, match="not be a transaction of its own"),
        builder.ledger.transaction(),
    ):
        settling.apply([settling.intent(claims[0].id, 1)])

    assert {"planned": 10} == states(builder)


@pytest.mark.parametrize("size", [16, 17, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_a_batch_of_any_size_is_written_as_a_whole_or_not_at_all(builder, size):
    """Texts are for multiples of sixteen rows, and very large batches take several statements."""
    export = builder.plan("many.csv", size)
    settling = Settling(builder.ledger, size)
    claims, intents = sent(settling, export, size)
    batch = [answered(builder, i, c) for i, c in zip(intents, claims, strict=True)]
    with pytest.raises(VerificationFailed):
        settling.apply([*batch[:-1], batch[-1]._replace(row_id=export.last_id + 1)])
    assert {"sent": size} == states(builder)
    settling.apply(batch)

    assert {"tokenized": size} == states(builder)


def test_an_outcome_without_a_token_keeps_what_the_vault_said(builder, export):
    """Code, doubt, the vault's own code and its request id stand in the row."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 1)
    settling.apply(
        [
            answered(builder, intents[0], claims[0])._replace(
                kind=OutcomeKind.AMBIGUOUS,
                state=RowState.HELD,
                code="outcome_unknown",
                unknowns=1,
                vault_code="backend_error",
                request_id="req-1",
                token=None,
            )
        ]
    )
    with builder.ledger.reading() as connection:
        kept = connection.exec_driver_sql(
            "SELECT state, code, unknowns, vault_code, request_id FROM rows WHERE state = 'held'"
        ).one()

    assert kept == ("held", "outcome_unknown", 1, "backend_error", "req-1")


@pytest.mark.parametrize("said", [None, "", "0"])
def test_what_the_vault_left_out_stays_apart_from_what_it_left_empty(builder, export, said):
    """A batch carries absent values as a number; neither an empty text nor a zero becomes one."""
    settling = Settling(builder.ledger, 8)
    claims, intents = sent(settling, export, 2)
    token = builder._token(claims[0])._replace(fingerprint=said, country=said)
    settling.apply(
        [
            answered(builder, intents[0], claims[0])._replace(token=token, request_id=said),
            answered(builder, intents[1], claims[1])._replace(
                kind=OutcomeKind.REJECTED,
                state=RowState.REJECTED,
                code=said,
                vault_code=said,
                request_id=said,
                token=None,
            ),
        ]
    )
    with builder.ledger.reading() as connection:
        kept = [
            *connection.exec_driver_sql("SELECT fingerprint, country FROM tokens"),
            *connection.exec_driver_sql(
                "SELECT vault_code, request_id FROM outcomes ORDER BY attempt_id"
            ),
            *connection.exec_driver_sql(
                f"SELECT code, vault_code, request_id FROM rows WHERE id = {claims[1].id}"  # noqa: S608
            ),
        ]

    assert kept == [(said, said), (None, said), (said, said), (said, said, said)]
