"""Defines the view that a batch is inserted into, and the triggers that take it apart row by row.

They belong to one connection and are no part of the file: whichever program opens a ledger brings
its own. Every row of a batch is checked against where the ledger has it; one that does not fit
undoes the whole statement.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pipeline.ledger.epoch import OVERTAKEN
from pipeline.model import RowState

if TYPE_CHECKING:
    import sqlite3

    from pipeline.ledger.records import Intent, Settlement
    from pipeline.model import Token

CLAIMABLE: Final = (RowState.PLANNED, RowState.AMBIGUOUS)
"""The states that a row may be sent from."""

ROWS_AT_ONCE: Final = 512
"""Longer batches take several statements; SQLite allows 32,766 marks, some 1,500 rows."""

ROWS_STEP: Final = 16
"""Statements are for 16, 32, 48 ... rows, so that few texts are ever compiled; the rest is empty."""

_INTENT, _OUTCOME_ONLY, _OUTCOME_AND_TOKEN = 1, 2, 3

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
_NO_SETTLEMENT: Final = (0,) * len(_SETTLEMENT_COLUMNS + _TOKEN_COLUMNS)
_NO_TOKEN: Final = (0,) * len(_TOKEN_COLUMNS)
NOTHING: Final = (0,) * len(COLUMNS)
_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"

MOVED: Final = "a row of the ledger was not where this run had left it"
DOUBLED: Final = "a token id was given twice"

_VIEW: Final = (
    f"CREATE TEMP VIEW IF NOT EXISTS batch AS SELECT {', '.join(f'NULL AS {c}' for c in COLUMNS)}"
)
REFUSE_OVERTAKEN: Final = f"""
    SELECT RAISE(ABORT, '{OVERTAKEN}')
    WHERE (SELECT coalesce(max(epoch), 0) FROM runs) <> new.epoch;"""
_REFUSE_MOVED: Final = f"SELECT RAISE(ABORT, '{MOVED}') WHERE changes() <> 1;"
_OUTCOME: Final = """
    INSERT INTO outcomes (attempt_id, kind, evidence, vault_code, request_id, latency_us, at_ms)
    VALUES (new.attempt_id, new.kind, new.evidence, nullif(new.vault_code, 0),
            nullif(new.request_id, 0), new.latency_us, new.at_ms);"""
_TRIGGERS: Final = {
    "intend": (
        f"new.entry = {_INTENT}",
        f"""
    UPDATE rows SET state = 'sent', attempts = attempts + 1
    WHERE id = new.row_id AND state IN ({", ".join(f"'{state.value}'" for state in CLAIMABLE)});
    {_REFUSE_MOVED}
    INSERT INTO attempts (id, row_id, number, epoch, at_ms)
    VALUES (new.attempt_id, new.row_id, new.number, new.epoch, new.at_ms);""",
    ),
    # The old row of a changed card makes way first, as each legacy id has one token in force.
    "tokenize": (
        f"new.entry = {_OUTCOME_AND_TOKEN}",
        f"""{_OUTCOME}
    UPDATE rows SET superseded_by = new.row_id
    WHERE id = (SELECT supersedes FROM rows WHERE id = new.row_id);
    UPDATE rows SET state = new.state WHERE id = new.row_id AND state = 'sent';
    {_REFUSE_MOVED}
    INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country, livemode,
                        created_s, epoch)
    VALUES (new.row_id, new.token_id, new.card_id, new.brand, nullif(new.fingerprint, 0),
            nullif(new.country, 0), new.livemode, new.created_s, new.epoch)
    ON CONFLICT (token_id) DO NOTHING;
    SELECT RAISE(ABORT, '{DOUBLED}') WHERE changes() <> 1
        OR EXISTS (SELECT 1 FROM retired_tokens WHERE token_id = new.token_id);""",
    ),
    "settle": (
        f"new.entry = {_OUTCOME_ONLY}",
        f"""{_OUTCOME}
    UPDATE rows SET state = new.state, code = nullif(new.code, 0),
                    unknowns = unknowns + new.unknowns,
                    vault_code = nullif(new.vault_code, 0), request_id = nullif(new.request_id, 0)
    WHERE id = new.row_id AND state = 'sent';
    {_REFUSE_MOVED}""",
    ),
}


def create_batch_view(driver: sqlite3.Connection) -> None:
    """Make the view and its triggers known to a connection, if it does not know them yet."""
    driver.execute(_VIEW)
    for name, (condition, body) in _TRIGGERS.items():
        driver.execute(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {name} INSTEAD OF INSERT ON batch "
            f"WHEN {condition} BEGIN {REFUSE_OVERTAKEN} {body} END"
        )


@lru_cache(ROWS_AT_ONCE // ROWS_STEP)
def insert_of(rows: int) -> str:
    """Give the statement for so many rows, its marks in the order of `COLUMNS`."""
    return f"INSERT INTO batch VALUES {', '.join([_ROW] * rows)}"


def intent_row(intent: Intent, epoch: int) -> tuple[object, ...]:
    """Give the values of an intent in the order of `COLUMNS`."""
    attempt_id, row_id, number, at_ms = intent
    return (_INTENT, attempt_id, row_id, at_ms, epoch, number, *_NO_SETTLEMENT)


def settlement_row(item: Settlement, epoch: int) -> tuple[object, ...]:
    """Give the values of a settlement in the order of `COLUMNS`."""
    return (
        _OUTCOME_ONLY if item.token is None else _OUTCOME_AND_TOKEN,
        item.attempt_id,
        item.row_id,
        item.at_ms,
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
        *(_NO_TOKEN if item.token is None else _token_values(item.token)),
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
