"""Says what SQLite does with each kind of entry of a batch, as triggers of a view.

View and triggers belong to one connection and are no part of the file: whichever program opens a
ledger brings its own.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.ledger.batches import MOVED
from pipeline.ledger.epoch import OVERTAKEN
from pipeline.model import CLAIMABLE_STATES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

VIEW, SINGLY = "batch", "batch_singly"
INTENT, OUTCOME_ONLY, OUTCOME_AND_TOKEN, FENCE, TOKEN_AND_INTENT = 1, 2, 3, 4, 11
"""The kinds of entry; 0 is none, and `card_batch` has those between."""

_ATTEMPT_COLUMNS: Final = ("entry", "attempt_id", "row_id", "at_ms", "epoch", "number")
_SETTLEMENT_COLUMNS: Final = (
    *("kind", "evidence", "vault_code", "request_id", "latency_us"),
    *("state", "code", "unknowns"),
)
_TOKEN_COLUMNS: Final = (
    *("token_id", "card_id", "brand", "fingerprint", "country", "livemode", "created_s"),
)
COLUMNS: Final = (*_ATTEMPT_COLUMNS, *_SETTLEMENT_COLUMNS, *_TOKEN_COLUMNS)
NEXT_COLUMNS: Final = ("next_attempt_id", "next_row_id", "next_number")
# For None the driver looks for an adapter first, four times the cost of a number; so 0 stands for
# what is absent.
NO_SETTLEMENT: Final = (0,) * len(_SETTLEMENT_COLUMNS + _TOKEN_COLUMNS)
NO_TOKEN: Final = (0,) * len(_TOKEN_COLUMNS)
NO_NEXT: Final = (0,) * len(NEXT_COLUMNS)

DOUBLED: Final = "a token id was given twice"
NOT_PAIRED: Final = "a token is written singly"

_REFUSE_OVERTAKEN: Final = f"""
    SELECT RAISE(ABORT, '{OVERTAKEN}')
    WHERE (SELECT coalesce(max(epoch), 0) FROM runs) <> new.epoch;"""
_REFUSE_MOVED: Final = f"SELECT RAISE(ABORT, '{MOVED}') WHERE changes() <> 1;"
_OUTCOME: Final = """
    INSERT INTO outcomes (attempt_id, kind, evidence, vault_code, request_id, latency_us, at_ms)
    VALUES (new.attempt_id, new.kind, new.evidence, nullif(new.vault_code, 0),
            nullif(new.request_id, 0), new.latency_us, new.at_ms);"""
_SUPERSEDES: Final = "(SELECT supersedes FROM rows WHERE id = new.row_id)"
_TOKENIZE: Final = "UPDATE rows SET state = new.state WHERE id = new.row_id AND state = 'sent'"
_TOKEN: Final = f"""
    INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country, livemode,
                        created_s, epoch)
    VALUES (new.row_id, new.token_id, new.card_id, new.brand, nullif(new.fingerprint, 0),
            nullif(new.country, 0), new.livemode, new.created_s, new.epoch)
    ON CONFLICT (token_id) DO NOTHING;
    SELECT RAISE(ABORT, '{DOUBLED}') WHERE changes() <> 1
        OR EXISTS (SELECT 1 FROM retired_tokens WHERE token_id = new.token_id);"""
_CLAIMABLE: Final = ", ".join(f"'{state.value}'" for state in CLAIMABLE_STATES)


def _intend(prefix: str = "") -> str:
    """Give the words that write an intent whose columns have such a prefix."""
    return f"""
    UPDATE rows SET state = 'sent', attempts = attempts + 1
    WHERE id = new.{prefix}row_id AND state IN ({_CLAIMABLE});
    {_REFUSE_MOVED}
    INSERT INTO attempts (id, row_id, number, epoch, at_ms)
    VALUES (new.{prefix}attempt_id, new.{prefix}row_id, new.{prefix}number, new.epoch, new.at_ms);"""


TRIGGERS: Final = {
    "fence": (f"new.entry = {FENCE}", _REFUSE_OVERTAKEN),
    "intend": (f"new.entry = {INTENT}", _intend()),
    "tokenize": (
        f"new.entry = {OUTCOME_AND_TOKEN} AND {_SUPERSEDES} IS NULL",
        f"{_OUTCOME} {_TOKENIZE}; {_REFUSE_MOVED} {_TOKEN}",
    ),
    # The old row of a changed card makes way first, as each legacy id has one token in force. A
    # statement that finds no such row opens every index of `rows` all the same, for each token.
    "replace": (
        f"new.entry = {OUTCOME_AND_TOKEN} AND {_SUPERSEDES} IS NOT NULL",
        f"""{_OUTCOME}
    UPDATE rows SET superseded_by = new.row_id WHERE id = {_SUPERSEDES};
    {_TOKENIZE}; {_REFUSE_MOVED} {_TOKEN}""",
    ),
    "settle": (
        f"new.entry = {OUTCOME_ONLY}",
        f"""{_OUTCOME}
    UPDATE rows SET state = new.state, code = nullif(new.code, 0),
                    unknowns = unknowns + new.unknowns,
                    vault_code = nullif(new.vault_code, 0), request_id = nullif(new.request_id, 0)
    WHERE id = new.row_id AND state = 'sent';
    {_REFUSE_MOVED}""",
    ),
}
"""The condition and the words of the trigger for each kind of entry, by name."""
PAIRED: Final = {
    "go_on": (
        f"new.entry = {TOKEN_AND_INTENT}",
        f"""{_OUTCOME} {_TOKENIZE} AND supersedes IS NULL;
    SELECT RAISE(ABORT, '{NOT_PAIRED}') WHERE changes() <> 1;
    {_TOKEN} {_intend("next_")}""",
    ),
    "hand_on": (
        f"new.entry NOT IN (0, {TOKEN_AND_INTENT})",
        f"INSERT INTO {SINGLY} VALUES ({', '.join(f'new.{name}' for name in COLUMNS)});",
    ),
}


def create_view(
    driver: sqlite3.Connection,
    view: str,
    columns: Sequence[str],
    triggers: Mapping[str, tuple[str, str]],
) -> None:
    """Make a view and its triggers known to a connection, if it does not know them yet."""
    empty = ", ".join(f"NULL AS {column}" for column in columns)
    driver.execute(f"CREATE TEMP VIEW IF NOT EXISTS {view} AS SELECT {empty}")
    for name, (condition, body) in triggers.items():
        driver.execute(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {view}_{name} INSTEAD OF INSERT ON {view} "
            f"WHEN {condition} BEGIN {body} END"
        )
