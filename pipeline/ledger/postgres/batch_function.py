"""Says what PostgreSQL does with a batch, as a function that takes its columns as arrays.

The function belongs to the session and is no part of the ledger: whichever program opens one brings
its own. It locks the row of its own run or session, and undoes everything where a later run has
begun, a row is not where this run left it, or a token id was known.

The server spends as long on getting a statement ready as on some rows of it (conditions of rules are
read anew for each), so tokens and next intents move their rows in one, and what is rare is asked
only where there is something of it.
"""

from __future__ import annotations

from typing import Final

from pipeline.model import CLAIMABLE_STATES

OVERTAKEN, MOVED, DOUBLED, SESSION_OVER = "CF001", "CF002", "CF003", "CF004"
"""The SQLSTATEs of what the function refuses."""

NAME: Final = "pg_temp.cardferry_batch"
_OF_AN_ANSWER: Final = {
    "attempt": "bigint[]",
    "row": "bigint[]",
    "kind": "text[]",
    "evidence": "text[]",
    "vault_code": "text[]",
    "request": "text[]",
    "latency": "bigint[]",
    "state": "text[]",
}
_ARGUMENTS: Final = {
    "run": "bigint",
    "own_session": "bigint",
    "moment": "bigint",
    "commit_number": "bigint",
    # Of every settlement without a token.
    **{f"s_{name}": kind for name, kind in _OF_AN_ANSWER.items()},
    "s_code": "text[]",
    "s_unknowns": "integer[]",
    # Of every one with a token.
    **{f"t_{name}": kind for name, kind in _OF_AN_ANSWER.items()},
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
CALL: Final = (
    f"SELECT {NAME}({', '.join(f'${n}::{k}' for n, k in enumerate(_ARGUMENTS.values(), 1))})"
)

_CLAIMABLE: Final = ", ".join(f"'{state.value}'" for state in CLAIMABLE_STATES)
_CARD: Final = "last_digits || ' ' || expiration_month || '/' || expiration_year"
"""What an answer is compared with: two cards with the same could be mixed up unseen."""

# Only names and words of our own are put together here.
# ruff: noqa: S608


def _refused_unless(counted: str, state: str) -> str:
    return f"""IF changed <> {counted} THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = '{state}';
        END IF;"""


def _outcomes(group: str) -> str:
    columns = ("attempt", "kind", "evidence", "vault_code", "request", "latency")
    return f"""
        INSERT INTO outcomes (attempt_id, kind, evidence, vault_code, request_id, latency_us, at_ms)
        SELECT *, moment FROM unnest({", ".join(f"{group}_{column}" for column in columns)});"""


_FENCE: Final = f"""
    IF own_session > 0 THEN
        PERFORM 1 FROM sessions WHERE id = own_session AND state = 'live' FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'over' USING ERRCODE = '{SESSION_OVER}';
        END IF;
    ELSE
        PERFORM 1 FROM runs WHERE epoch = run FOR SHARE;
        IF (SELECT coalesce(max(epoch), 0) FROM runs) <> run THEN
            RAISE EXCEPTION 'overtaken' USING ERRCODE = '{OVERTAKEN}';
        END IF;
    END IF;
    IF commit_number > 0 THEN
        INSERT INTO commits (epoch, session, number) VALUES (run, own_session, commit_number)
        ON CONFLICT (epoch, session) DO UPDATE SET number = excluded.number;
    END IF;"""

# Conditions on a state are put so that nobody expects few rows: else every row would be looked at.
_SETTLE: Final = f"""
    IF cardinality(s_row) > 0 THEN {_outcomes("s")}
        UPDATE rows SET state = s.state, code = s.code, unknowns = rows.unknowns + s.unknowns,
                        vault_code = s.vault_code, request_id = s.request
        FROM unnest(s_row, s_state, s_code, s_unknowns, s_vault_code, s_request)
            AS s(id, state, code, unknowns, vault_code, request)
        WHERE rows.id = s.id AND CASE rows.state WHEN 'sent' THEN true ELSE false END;
        GET DIAGNOSTICS changed = ROW_COUNT;
        {_refused_unless("cardinality(s_row)", MOVED)}
    END IF;"""

_CHOOSE: Final = f"""
    IF own_session > 0 THEN
        DELETE FROM cards_under_way WHERE row_id = ANY (s_row || t_row);
        -- Whoever has a card's lock looks, in a statement of its own, whether one alike is under way.
        near_ones := ARRAY(SELECT id FROM rows WHERE id = ANY (i_row)
            AND pg_try_advisory_xact_lock(hashtext(current_schema()), hashtext({_CARD})));
        INSERT INTO cards_under_way (row_id, session, card)
        SELECT id, own_session, {_CARD} FROM rows
        WHERE id = ANY (near_ones) AND NOT EXISTS (
            SELECT FROM cards_under_way alike WHERE alike.card = {_CARD})
        ON CONFLICT (card) DO NOTHING;
        begun := ARRAY(SELECT row_id FROM cards_under_way WHERE row_id = ANY (i_row));
        waiting := ARRAY(SELECT unnest(i_row) EXCEPT SELECT unnest(begun));
    END IF;"""

# The old row of a changed card makes way first, as each id has one token in force.
_MOVE: Final = f"""
    UPDATE rows SET state = new.state, attempts = rows.attempts + new.begun
    FROM (SELECT unnest(t_row), unnest(t_state), 0 UNION ALL SELECT unnest(begun), 'sent', 1)
        AS new(id, state, begun)
    WHERE rows.id = new.id AND CASE new.begun
        WHEN 0 THEN CASE rows.state WHEN 'sent' THEN rows.supersedes IS NULL ELSE false END
        ELSE rows.state IN ({_CLAIMABLE}) END;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(t_row) + cardinality(begun) THEN
        UPDATE rows SET superseded_by = newer.id FROM rows newer
        WHERE newer.id = ANY (t_row) AND rows.id = newer.supersedes;
        UPDATE rows SET state = new.state FROM unnest(t_row, t_state) AS new(id, state)
        WHERE rows.id = new.id
            AND CASE rows.state WHEN 'sent' THEN rows.supersedes IS NOT NULL ELSE false END;
        GET DIAGNOSTICS more = ROW_COUNT;
        changed := changed + more;
        {_refused_unless("cardinality(t_row) + cardinality(begun)", MOVED)}
    END IF;"""

_KEEP_TOKENS: Final = f"""
    IF cardinality(t_row) > 0 THEN {_outcomes("t")}
        INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country, livemode,
                            created_s, epoch)
        SELECT *, run FROM unnest(t_row, t_token, t_card, t_brand, t_fingerprint, t_country,
                                  t_livemode, t_created) AS made(row_id, token)
        WHERE NOT EXISTS (SELECT FROM retired_tokens WHERE token_id = made.token)
        ON CONFLICT (token_id) DO NOTHING;
        GET DIAGNOSTICS changed = ROW_COUNT;
        {_refused_unless("cardinality(t_row)", DOUBLED)}
    END IF;"""

_BEGIN: Final = """
    IF cardinality(begun) > 0 THEN
        INSERT INTO attempts (id, row_id, number, epoch, at_ms)
        SELECT *, run, moment FROM unnest(i_attempt, i_row, i_number) AS i(attempt, row_id, number)
        WHERE i.row_id = ANY (begun);
    END IF;"""

# Plans are made once, maybe while a table is empty: each row is looked up by its key all the same.
FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION {NAME}({", ".join(f"{n} {kind}" for n, kind in _ARGUMENTS.items())})
RETURNS text LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $batch$
DECLARE changed bigint; more bigint; begun bigint[] := i_row; near_ones bigint[]; waiting bigint[];
BEGIN {_FENCE} {_SETTLE} {_CHOOSE} {_MOVE} {_KEEP_TOKENS} {_BEGIN}
    RETURN array_to_string(waiting, ' ');
END $batch$
"""
"""It tells the rows whose intents did not begin, parted by blanks; NULL where all did."""
