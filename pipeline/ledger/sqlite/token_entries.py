"""Gives the columns, triggers and values by which a batch holds tokens' intents and outcomes.

A batch is inserted into a view (`batch`); each of its rows is an entry, told apart by its first
column, and the trigger for its kind writes it where it belongs.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.ledger.batches import MOVED
from pipeline.model import CLAIMABLE_STATES

if TYPE_CHECKING:
    from pipeline.ledger.records import Intent, Settlement
    from pipeline.model import Token

INTENT, OUTCOME_ONLY, OUTCOME_AND_TOKEN = 1, 2, 3
"""The kinds of entry; 0 is none."""

_ATTEMPT_COLUMNS: Final = ("entry", "attempt_id", "row_id", "at_ms", "epoch", "number")
_SETTLEMENT_COLUMNS: Final = (
    *("kind", "evidence", "vault_code", "request_id", "latency_us"),
    *("state", "code", "unknowns"),
)
_TOKEN_COLUMNS: Final = (
    *("token_id", "card_id", "brand", "fingerprint", "country", "livemode", "created_s"),
)
COLUMNS: Final = (*_ATTEMPT_COLUMNS, *_SETTLEMENT_COLUMNS, *_TOKEN_COLUMNS)
# For None the driver looks for an adapter first, four times the cost of a number; so 0 stands for
# what is absent.
NO_SETTLEMENT: Final = (0,) * len(_SETTLEMENT_COLUMNS + _TOKEN_COLUMNS)
NO_TOKEN: Final = (0,) * len(_TOKEN_COLUMNS)

DOUBLED: Final = "a token id was given twice"

REFUSE_MOVED: Final = f"SELECT RAISE(ABORT, '{MOVED}') WHERE changes() <> 1;"
_OUTCOME: Final = """
    INSERT INTO outcomes (attempt_id, kind, evidence, vault_code, request_id, latency_us, at_ms)
    VALUES (new.attempt_id, new.kind, new.evidence, nullif(new.vault_code, 0),
            nullif(new.request_id, 0), new.latency_us, new.at_ms);"""
TRIGGERS: Final = {
    "intend": (
        f"new.entry = {INTENT}",
        f"""
    UPDATE rows SET state = 'sent', attempts = attempts + 1
    WHERE id = new.row_id AND state IN ({", ".join(f"'{state.value}'" for state in CLAIMABLE_STATES)});
    {REFUSE_MOVED}
    INSERT INTO attempts (id, row_id, number, epoch, at_ms)
    VALUES (new.attempt_id, new.row_id, new.number, new.epoch, new.at_ms);""",
    ),
    # The old row of a changed card makes way first, as each legacy id has one token in force.
    "tokenize": (
        f"new.entry = {OUTCOME_AND_TOKEN}",
        f"""{_OUTCOME}
    UPDATE rows SET superseded_by = new.row_id
    WHERE id = (SELECT supersedes FROM rows WHERE id = new.row_id);
    UPDATE rows SET state = new.state WHERE id = new.row_id AND state = 'sent';
    {REFUSE_MOVED}
    INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country, livemode,
                        created_s, epoch)
    VALUES (new.row_id, new.token_id, new.card_id, new.brand, nullif(new.fingerprint, 0),
            nullif(new.country, 0), new.livemode, new.created_s, new.epoch)
    ON CONFLICT (token_id) DO NOTHING;
    SELECT RAISE(ABORT, '{DOUBLED}') WHERE changes() <> 1
        OR EXISTS (SELECT 1 FROM retired_tokens WHERE token_id = new.token_id);""",
    ),
    "settle": (
        f"new.entry = {OUTCOME_ONLY}",
        f"""{_OUTCOME}
    UPDATE rows SET state = new.state, code = nullif(new.code, 0),
                    unknowns = unknowns + new.unknowns,
                    vault_code = nullif(new.vault_code, 0), request_id = nullif(new.request_id, 0)
    WHERE id = new.row_id AND state = 'sent';
    {REFUSE_MOVED}""",
    ),
}


def intent_row(intent: Intent, epoch: int, at_ms: int) -> tuple[object, ...]:
    """Give the values of an intent in the order of `COLUMNS`."""
    attempt_id, row_id, number = intent
    return (INTENT, attempt_id, row_id, at_ms, epoch, number, *NO_SETTLEMENT)


def settlement_row(item: Settlement, epoch: int, at_ms: int) -> tuple[object, ...]:
    """Give the values of a settlement in the order of `COLUMNS`."""
    return (
        OUTCOME_ONLY if item.token is None else OUTCOME_AND_TOKEN,
        item.attempt_id,
        item.row_id,
        at_ms,
        epoch,
        0,
        # `.value` is a property in Python, a call for each row.
        item.kind._value_,
        item.evidence,
        0 if item.vault_code is None else item.vault_code,
        0 if item.request_id is None else item.request_id,
        item.latency_us,
        item.state._value_,
        0 if item.code is None else item.code,
        item.unknowns,
        *(NO_TOKEN if item.token is None else _token_values(item.token)),
    )


def _token_values(token: Token) -> tuple[object, ...]:
    return (
        token.token_id,
        token.card_id,
        token.brand,
        0 if token.fingerprint is None else token.fingerprint,
        0 if token.country is None else token.country,
        int(token.livemode),
        int(token.created_at.timestamp()),
    )
