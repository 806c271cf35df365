"""Writes a batch of intents and settlements as one statement, which triggers take apart row by row.

A driver lets go of the interpreter lock for every step of a statement and has to win it back from
the event loop, which under load takes longer than the step. So a whole batch is one `INSERT` into
a view; each of its rows is an entry, told apart by its first column, and the trigger for its kind
checks and writes it inside SQLite. SQLite makes a trigger's program ready before it asks whether
the entry is of its kind, which takes as long as a short statement: so a token and the next intent
are one entry, which is what a batch is full of, and any other goes on to a view with more triggers.
As a transaction of its own the statement begins, commits and syncs in a single call. A row that is
not where the ledger has it undoes the whole statement. So does the fence before the first row, where
a later run has taken over: the statement holds the ledger from its beginning, and one look is
enough.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from pipeline.errors import VerificationFailed
from pipeline.ledger.batches import CARD_MOVED, MOVED, ROWS_AT_ONCE, TokenDoubled
from pipeline.ledger.epoch import OVERTAKEN, overtaken
from pipeline.ledger.sqlite.views import create_view, insert_rows
from pipeline.model import CLAIMABLE_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ledger.batches import Batch, Writing
    from pipeline.ledger.records import AttachEntry, Intent, Settlement
    from pipeline.model import Token

_VIEW, _SINGLY = "batch", "batch_singly"
_INTENT, _OUTCOME_ONLY, _OUTCOME_AND_TOKEN, _FENCE, _TOKEN_AND_INTENT = 1, 2, 3, 4, 11
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
_NEXT_COLUMNS: Final = ("next_attempt_id", "next_row_id", "next_number")
# For None the driver looks for an adapter first, four times the cost of a number; so 0 stands for
# what is absent.
NO_SETTLEMENT: Final = (0,) * len(_SETTLEMENT_COLUMNS + _TOKEN_COLUMNS)
NO_TOKEN: Final = (0,) * len(_TOKEN_COLUMNS)
_NO_NEXT: Final = (0,) * len(_NEXT_COLUMNS)

_DOUBLED: Final = "a token id was given twice"
_NOT_PAIRED: Final = "a token is written singly"

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
    SELECT RAISE(ABORT, '{_DOUBLED}') WHERE changes() <> 1
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
    "fence": (f"new.entry = {_FENCE}", _REFUSE_OVERTAKEN),
    "intend": (f"new.entry = {_INTENT}", _intend()),
    "tokenize": (
        f"new.entry = {_OUTCOME_AND_TOKEN} AND {_SUPERSEDES} IS NULL",
        f"{_OUTCOME} {_TOKENIZE}; {_REFUSE_MOVED} {_TOKEN}",
    ),
    # The old row of a changed card makes way first, as each legacy id has one token in force. A
    # statement that finds no such row opens every index of `rows` all the same, for each token.
    "replace": (
        f"new.entry = {_OUTCOME_AND_TOKEN} AND {_SUPERSEDES} IS NOT NULL",
        f"""{_OUTCOME}
    UPDATE rows SET superseded_by = new.row_id WHERE id = {_SUPERSEDES};
    {_TOKENIZE}; {_REFUSE_MOVED} {_TOKEN}""",
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
"""The condition and the words of the trigger for each kind of entry, by name."""
_PAIRED: Final = {
    "go_on": (
        f"new.entry = {_TOKEN_AND_INTENT}",
        f"""{_OUTCOME} {_TOKENIZE} AND supersedes IS NULL;
    SELECT RAISE(ABORT, '{_NOT_PAIRED}') WHERE changes() <> 1;
    {_TOKEN} {_intend("next_")}""",
    ),
    "hand_on": (
        f"new.entry NOT IN (0, {_TOKEN_AND_INTENT})",
        f"INSERT INTO {_SINGLY} VALUES ({', '.join(f'new.{name}' for name in COLUMNS)});",
    ),
}


class _NotPaired(Exception):
    """A token of the batch replaces another, or its row has moved; nothing of the batch happened."""


class Batches:
    """Writes batches as rows of a view; see `pipeline.ledger.batches`.

    Args:
        writing: Gives the driver's connection for as long as a statement takes.
        epoch: The run's epoch; it stands beside everything that is written.
    """

    def __init__(self, writing: Writing, epoch: int) -> None:
        self._writing = writing
        self._epoch = epoch
        self._in_pairs = True
        with writing() as driver:
            create_view(driver, _SINGLY, COLUMNS, TRIGGERS)
            create_view(driver, _VIEW, COLUMNS + _NEXT_COLUMNS, _PAIRED)

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Allow nothing: where cards belong to nobody, nothing is said of customers."""
        return not of_cards

    def commit(self, batch: Batch, *, number: int = 0) -> tuple[()]:
        """Write a batch as one statement, which is a transaction of its own."""
        del number
        entries = len(batch.settled) + len(batch.of_cards) + len(batch.intents)
        with self._writing() as driver:
            if driver.in_transaction or entries > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._insert(driver, batch)
        return ()

    def write(self, batch: Batch) -> tuple[()]:
        """Write a batch as statements of the transaction that is open, or of their own."""
        with self._writing() as driver:
            self._insert(driver, batch)
        return ()

    def _insert(self, driver: sqlite3.Connection, batch: Batch) -> None:
        # Only of one statement nothing happened when it is refused.
        if self._in_pairs and len(batch.settled) + len(batch.intents) <= ROWS_AT_ONCE:
            try:
                self._insert_in_pairs(driver, batch)
            except _NotPaired:
                # Where one card has changed others have, too.
                self._in_pairs = False
            else:
                return
        values: list[object] = []
        for settlement in batch.settled:
            values += settlement_row(settlement, self._epoch, batch.at_ms)
        for intent in batch.intents:
            values += intent_row(intent, self._epoch, batch.at_ms)
        insert_batch(driver, _SINGLY, fence_row(self._epoch), values)

    def _insert_in_pairs(self, driver: sqlite3.Connection, batch: Batch) -> None:
        """Insert tokens with an intent each; whatever an intent's row had before is no token."""
        epoch, at_ms = self._epoch, batch.at_ms
        values: list[object] = []
        tokens = [item for item in batch.settled if item.token is not None]
        if len(tokens) < len(batch.settled):
            for item in batch.settled:
                if item.token is None:
                    values += settlement_row(item, epoch, at_ms)
                    values += _NO_NEXT
        for item, intent in zip(tokens, batch.intents, strict=False):
            values += settlement_row(item, epoch, at_ms, _TOKEN_AND_INTENT)
            values += intent
        for item in tokens[len(batch.intents) :]:
            values += settlement_row(item, epoch, at_ms)
            values += _NO_NEXT
        for intent in batch.intents[len(tokens) :]:
            values += intent_row(intent, epoch, at_ms)
            values += _NO_NEXT
        insert_batch(driver, _VIEW, fence_row(epoch) + _NO_NEXT, values)


def insert_batch(
    driver: sqlite3.Connection, view: str, fence: Sequence[object], values: list[object]
) -> None:
    """Insert entries into one of the views (see `insert_rows`).

    Raises:
        sqlite3.Error: The disk or the database failed, or a rule of the schema was broken.
        TokenDoubled: A token id was known.
        VerificationFailed: A row is not where this run left it, or a later run took over.
    """
    try:
        insert_rows(driver, view, fence, values)
    except sqlite3.IntegrityError as refusal:
        raise _translated(refusal) from None


def fence_row(epoch: int) -> tuple[object, ...]:
    """Give the values of the fence in the order of `COLUMNS`."""
    return (_FENCE, 0, 0, 0, epoch, 0, *NO_SETTLEMENT)


def intent_row(intent: Intent, epoch: int, at_ms: int) -> tuple[object, ...]:
    """Give the values of an intent in the order of `COLUMNS`."""
    attempt_id, row_id, number = intent
    return (_INTENT, attempt_id, row_id, at_ms, epoch, number, *NO_SETTLEMENT)


def settlement_row(
    item: Settlement, epoch: int, at_ms: int, with_token: int = _OUTCOME_AND_TOKEN
) -> tuple[object, ...]:
    """Give the values of a settlement in the order of `COLUMNS`; `with_token`: the kind of entry."""
    return (
        _OUTCOME_ONLY if item.token is None else with_token,
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


def _translated(refusal: sqlite3.IntegrityError) -> Exception:
    """Give our own error for a trigger's refusal; any other rule's is `Store.trouble`'s to tell."""
    words = str(refusal)
    if words == _DOUBLED:
        return TokenDoubled()
    if words == _NOT_PAIRED:
        return _NotPaired()
    if words == OVERTAKEN:
        return overtaken()
    if words in {MOVED, CARD_MOVED}:
        return VerificationFailed(
            words, next_step="Look for a second program that writes to this folder."
        )
    return refusal
