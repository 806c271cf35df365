"""Writes a batch of intents and settlements as one call of a function, in one round trip.

The function belongs to the session and is no part of the ledger: whichever program opens one brings
its own. It takes columns as arrays, locks the row of its own run, and undoes everything where a
later run has begun, a row is not where this run left it, or a token id was known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from pipeline.errors import VerificationFailed
from pipeline.ledger.batches import MOVED, ROWS_AT_ONCE, TokenDoubled
from pipeline.ledger.epoch import overtaken
from pipeline.ledger.sharing.sessions import session_over
from pipeline.model import CLAIMABLE_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ledger.batches import Batch, Writing
    from pipeline.ledger.records import AttachEntry, Settlement

_OVERTAKEN, _MOVED, _DOUBLED, _OVER = "CF001", "CF002", "CF003", "CF004"
_NAME: Final = "pg_temp.cardferry_batch"
_ARGUMENTS: Final = {
    "run": "bigint",
    "own_session": "bigint",
    "moment": "bigint",
    "commit_number": "bigint",
    # Of every settlement.
    "s_attempt": "bigint[]",
    "s_row": "bigint[]",
    "s_kind": "text[]",
    "s_evidence": "text[]",
    "s_vault_code": "text[]",
    "s_request": "text[]",
    "s_latency": "bigint[]",
    "s_state": "text[]",
    "s_code": "text[]",
    "s_unknowns": "integer[]",
    "s_has_token": "boolean[]",
    # Of those with a token.
    "t_row": "bigint[]",
    "t_token": "text[]",
    "t_card": "text[]",
    "t_brand": "text[]",
    "t_fingerprint": "text[]",
    "t_country": "text[]",
    "t_livemode": "integer[]",
    "t_created": "bigint[]",
    # Of every intent.
    "i_attempt": "bigint[]",
    "i_row": "bigint[]",
    "i_number": "integer[]",
}
_CALL: Final = f"SELECT {_NAME}({', '.join(f'%b::{kind}' for kind in _ARGUMENTS.values())})"
_CLAIMABLE: Final = ", ".join(f"'{state.value}'" for state in CLAIMABLE_STATES)
_CARD: Final = "last_digits || ' ' || expiration_month || '/' || expiration_year"
"""What an answer is compared with: two cards with the same could be mixed up unseen."""
# Plans are made once, maybe while a table is empty: each row is looked up by its key all the same.
_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION {_NAME}({", ".join(f"{n} {kind}" for n, kind in _ARGUMENTS.items())})
RETURNS bigint[] LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $batch$
DECLARE changed bigint; begun bigint[] := i_row; near_ones bigint[];
BEGIN
    IF own_session > 0 THEN
        PERFORM 1 FROM sessions WHERE id = own_session AND state = 'live' FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'over' USING ERRCODE = '{_OVER}';
        END IF;
    ELSE
        PERFORM 1 FROM runs WHERE epoch = run FOR SHARE;
        IF (SELECT coalesce(max(epoch), 0) FROM runs) <> run THEN
            RAISE EXCEPTION 'overtaken' USING ERRCODE = '{_OVERTAKEN}';
        END IF;
    END IF;
    IF commit_number > 0 THEN
        INSERT INTO commits (epoch, session, number) VALUES (run, own_session, commit_number)
        ON CONFLICT (epoch, session) DO UPDATE SET number = excluded.number;
    END IF;
    IF cardinality(s_row) > 0 THEN
        INSERT INTO outcomes (attempt_id, kind, evidence, vault_code, request_id, latency_us, at_ms)
        SELECT *, moment
        FROM unnest(s_attempt, s_kind, s_evidence, s_vault_code, s_request, s_latency);
        -- The old row of a changed card makes way first, as each id has one token in force.
        IF EXISTS (SELECT FROM rows WHERE id = ANY (t_row) AND supersedes IS NOT NULL) THEN
            UPDATE rows SET superseded_by = newer.id FROM rows newer
            WHERE newer.id = ANY (t_row) AND rows.id = newer.supersedes;
        END IF;
        UPDATE rows SET
            state = s.state,
            code = CASE WHEN s.has_token THEN rows.code ELSE s.code END,
            unknowns = rows.unknowns + CASE WHEN s.has_token THEN 0 ELSE s.unknowns END,
            vault_code = CASE WHEN s.has_token THEN rows.vault_code ELSE s.vault_code END,
            request_id = CASE WHEN s.has_token THEN rows.request_id ELSE s.request END
        FROM unnest(s_row, s_state, s_code, s_unknowns, s_vault_code, s_request, s_has_token)
            AS s(id, state, code, unknowns, vault_code, request, has_token)
        -- Put so that nobody expects few: else every row would be looked at, to find those sent.
        WHERE rows.id = s.id AND CASE rows.state WHEN 'sent' THEN true ELSE false END;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(s_row) THEN
            RAISE EXCEPTION 'moved' USING ERRCODE = '{_MOVED}';
        END IF;
        IF own_session > 0 THEN
            DELETE FROM cards_under_way WHERE row_id = ANY (s_row);
        END IF;
        INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country, livemode,
                            created_s, epoch)
        SELECT *, run FROM unnest(t_row, t_token, t_card, t_brand, t_fingerprint, t_country,
                                  t_livemode, t_created)
        ON CONFLICT (token_id) DO NOTHING;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(t_row)
           OR EXISTS (SELECT FROM retired_tokens WHERE token_id = ANY (t_token)) THEN
            RAISE EXCEPTION 'doubled' USING ERRCODE = '{_DOUBLED}';
        END IF;
    END IF;
    IF own_session > 0 AND cardinality(i_row) > 0 THEN
        -- Whoever has a card's lock looks, in a statement of its own, whether one alike is under way.
        near_ones := ARRAY(SELECT id FROM rows WHERE id = ANY (i_row)
            AND pg_try_advisory_xact_lock(hashtext(current_schema()), hashtext({_CARD})));
        INSERT INTO cards_under_way (row_id, session, card)
        SELECT id, own_session, {_CARD} FROM rows
        WHERE id = ANY (near_ones) AND NOT EXISTS (
            SELECT FROM cards_under_way alike WHERE alike.card = {_CARD})
        ON CONFLICT (card) DO NOTHING;
        begun := ARRAY(SELECT row_id FROM cards_under_way WHERE row_id = ANY (i_row));
    END IF;
    IF cardinality(begun) > 0 THEN
        UPDATE rows SET state = 'sent', attempts = attempts + 1
        WHERE id = ANY (begun) AND state IN ({_CLAIMABLE});
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(begun) THEN
            RAISE EXCEPTION 'moved' USING ERRCODE = '{_MOVED}';
        END IF;
        INSERT INTO attempts (id, row_id, number, epoch, at_ms)
        SELECT *, run, moment FROM unnest(i_attempt, i_row, i_number) AS i(attempt, row_id, number)
        WHERE i.row_id = ANY (begun);
    END IF;
    RETURN ARRAY(SELECT unnest(i_row) EXCEPT SELECT unnest(begun));
END $batch$
"""  # noqa: S608 - our own names.


class Batches:
    """Writes batches by calls of a function; see `pipeline.ledger.batches`.

    Args:
        writing: Gives the driver's connection for as long as a statement takes.
        epoch: The run's epoch; it stands beside everything that is written.
        session: The carrier's session, which is locked in place of the run; 0 for the run itself.
    """

    def __init__(self, writing: Writing, epoch: int, session: int = 0) -> None:
        self._writing = writing
        self._epoch = epoch
        self._session = session
        self._prepared: psycopg.Connection[Any] | None = None
        """The connection that has the function: another one may have taken its place."""
        with writing() as driver:
            self._prepare(driver)

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Allow nothing: cards and customers are written in statements of their own."""
        return not of_cards

    def commit(self, batch: Batch, *, number: int = 0) -> Sequence[int]:
        """Write a batch by one call, which is a transaction of its own."""
        entries = len(batch.settled) + len(batch.of_cards) + len(batch.intents)
        with self._writing() as driver:
            is_open = driver.info.transaction_status is TransactionStatus.INTRANS
            if is_open or entries > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._prepare(driver)
            return self._call(driver, batch, number)

    def write(self, batch: Batch) -> Sequence[int]:
        """Write a batch by one call in the transaction that is open, whose number it has already."""
        with self._writing() as driver:
            self._prepare(driver)
            return self._call(driver, batch, 0)

    def _prepare(self, driver: psycopg.Connection[Any]) -> None:
        if driver is not self._prepared:
            driver.execute(_FUNCTION)
            self._prepared = driver

    def _call(self, driver: psycopg.Connection[Any], batch: Batch, number: int) -> Sequence[int]:
        if not self.may_hold(batch.of_cards):
            raise AssertionError("this batch holds what is written in statements of its own")
        settled = batch.settled
        arguments = (
            self._epoch,
            self._session,
            batch.at_ms,
            number,
            *_columns([_settlement(item) for item in settled], 11),
            *_columns([_token(item) for item in settled if item.token is not None], 8),
            *_columns(batch.intents, 3),
        )
        try:
            found = driver.execute(_CALL, arguments, prepare=True).fetchone()
        except psycopg.DatabaseError as refusal:
            raise _translated(refusal) from None
        waiting: Sequence[int] = found[0] if found is not None and found[0] else ()
        return waiting


def _columns(items: Sequence[tuple[Any, ...]], width: int) -> Sequence[list[Any]]:
    """Give the columns of some tuples; as many empty ones where there are none."""
    if not items:
        return [[]] * width
    return [list(column) for column in zip(*items, strict=True)]


def _settlement(item: Settlement) -> tuple[Any, ...]:
    return (
        item.attempt_id,
        item.row_id,
        item.kind.value,
        item.evidence,
        item.vault_code,
        item.request_id,
        item.latency_us,
        item.state.value,
        item.code,
        item.unknowns,
        item.token is not None,
    )


def _token(item: Settlement) -> tuple[Any, ...]:
    token = item.token
    assert token is not None  # noqa: S101 - only settlements with a token come here.
    return (
        item.row_id,
        token.token_id,
        token.card_id,
        token.brand,
        token.fingerprint,
        token.country,
        int(token.livemode),
        int(token.created_at.timestamp()),
    )


def _translated(refusal: psycopg.DatabaseError) -> Exception:
    """Give our own error for a refusal of the function; any other is the store's to tell."""
    match refusal.sqlstate:
        case "CF001":
            return overtaken()
        case "CF002":
            return VerificationFailed(
                MOVED, next_step="Look for a second program that writes to this ledger."
            )
        case "CF003":
            return TokenDoubled()
        case "CF004":
            return session_over()
        case _:
            return refusal
