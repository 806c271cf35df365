"""Writes the rules that SQLite keeps on the ledger by itself, whatever program changes it.

Attempts, outcomes, events and retired tokens only grow; a row, export, customer or attachment
takes only the steps that its table of steps allows; an id has one token in force. And what is kept
of a section of rows (`sections`) goes as soon as one of them is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.schema import rows
from pipeline.ledger.sections import MARKED, SECTION_ROWS, SECTIONED, key_of
from pipeline.ledger.states import LIVES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Table

    from pipeline.ledger.states import Life

_APPEND_ONLY: Final = ("attempts", "outcomes", "events", "retired_tokens")
_KEPT: Final = (
    *("row_id", "token_id", "card_id", "brand", "fingerprint", "country", "livemode", "created_s"),
    "epoch",
)
"""What a token is, which nobody may change."""

_IN_FORCE: Final = "new.state = 'tokenized' AND new.superseded_by IS NULL"
# The index on legacy ids finds the rival; a second index would have to be written for every token.
_RIVAL: Final = (
    "EXISTS (SELECT 1 FROM rows WHERE legacy_id = new.legacy_id AND id <> new.id "
    "AND state = 'tokenized' AND superseded_by IS NULL)"
)
HAS_RIVAL: Final = f"{_IN_FORCE} AND {_RIVAL}"
"""Whether a row, `new`, would be the second in force of its legacy id."""
_WAS_IN_FORCE: Final = (
    "old.state = 'tokenized' AND old.superseded_by IS NULL AND old.legacy_id IS new.legacy_id"
)

USUAL: Final = (("planned", "sent"), ("sent", "tokenized"))
"""The steps of a row that no look at its table of steps is taken for, as every card takes them."""

SECOND_IN_FORCE: Final = "refuse_second_row_in_force"


def triggers() -> list[str]:
    """Give the statements that make the rules."""
    proving = f"SELECT state = 'proving' FROM exports WHERE id = old.id / {ROW_SPAN}"  # noqa: S608
    retired = "EXISTS (SELECT 1 FROM retired_tokens WHERE token_id = old.token_id)"
    return [
        *(_refuse(f"{verb} ON {table}") for table in _APPEND_ONLY for verb in ("UPDATE", "DELETE")),
        *(_steps(life) for life in LIVES if life.table != rows.name),
        _steps_of_rows(),
        *rules_for_new_rows().values(),
        _refuse("DELETE ON rows", f"NOT coalesce(({proving}), 1)"),
        _refuse("DELETE ON exports", "old.state <> 'proving'"),
        _refuse("DELETE ON tokens", f"NOT {retired}"),
        _refuse("DELETE ON attachments"),
        _refuse("DELETE ON customers", "old.state <> 'wanted'"),
        _refuse(f"UPDATE OF {', '.join(_KEPT)} ON tokens"),
        _refuse("UPDATE OF legacy_customer_id ON customers"),
        _refuse(
            "UPDATE OF customer_id ON customers",
            "old.customer_id IS NOT NULL AND old.customer_id IS NOT new.customer_id",
        ),
        *(
            _forget(verb, table)
            for table in SECTIONED
            for verb in ("INSERT", "UPDATE", "DELETE")
            if (table, verb) != (rows, "INSERT")
        ),
    ]


def rules_for_new_rows() -> dict[str, str]:
    """Give the statements that make the rules for what is inserted into `rows`, by their names."""
    return {
        # AFTER, as a condition that is asked before each row costs as much as writing the row.
        SECOND_IN_FORCE: _refuse("INSERT ON rows", HAS_RIVAL, name=SECOND_IN_FORCE, moment="AFTER"),
        _name_of_forget("INSERT", rows): _forget("INSERT", rows),
    }


def _forget(verb: str, table: Table) -> str:
    """Throw away what is kept of the sections whose rows are written.

    While an export is planned or sent nothing is kept of its rows, and a look for that by key costs
    a quarter of what a deletion of nothing does.
    """
    key = key_of(table).name
    written = {"INSERT": ("new",), "DELETE": ("old",), "UPDATE": ("new", "old")}[verb]
    kinds = ", ".join(f"'{kind}'" for kind in MARKED[table.name])
    here = [f"{one}.{key} / {SECTION_ROWS}" for one in written]
    kept = f"EXISTS (SELECT 1 FROM sections WHERE number = {here[0]})"  # noqa: S608 - as above.
    if verb == "UPDATE":
        # A number hardly ever changes, so one look is enough.
        kept = f"old.{key} <> new.{key} OR {kept}"
    forget = f"DELETE FROM sections WHERE number IN ({', '.join(here)}) AND of IN ({kinds})"  # noqa: S608 - as above.
    name = _name_of_forget(verb, table)
    return f"CREATE TRIGGER {name} AFTER {verb} ON {table.name} WHEN {kept} BEGIN {forget}; END"


def _name_of_forget(verb: str, table: Table) -> str:
    return f"forget_section_at_{verb.lower()}_on_{table.name}"


def _steps(life: Life) -> str:
    return _refuse(
        f"UPDATE OF state ON {life.table}", f"old.state <> new.state AND {_unlisted(life)}"
    )


def _steps_of_rows() -> str:
    """Give the rule on what becomes of a row: one, as each is made ready anew for each row.

    AFTER, as for a rule before it SQLite reads the row a second time.
    """
    (life,) = (life for life in LIVES if life.table == rows.name)
    usual = [f"old.state = '{one}' AND new.state = '{other}'" for one, other in USUAL]
    unretired = "EXISTS (SELECT 1 FROM tokens WHERE row_id = old.id)"
    refused = (
        _unlisted(life),
        # Frozen for another card's answer, or planned again without the token that was retired.
        (
            "old.state = 'tokenized' AND "
            "(new.state = 'held' AND coalesce(new.code, '') <> 'answer_mismatch' OR "
            f"new.state = 'planned' AND {unretired})"
        ),
        # A new look at what never was sent, or at what is no card.
        (
            "old.state = 'rejected' AND new.state = 'planned' AND "
            "coalesce(old.code, '') <> 'vault_rejected'"
        ),
        "old.state = 'skipped' AND coalesce(old.code, '') <> 'filtered'",
    )
    return _refuse(
        "UPDATE OF state, superseded_by, legacy_id ON rows",
        f"old.state <> new.state AND NOT ({_any(usual)}) AND ({_any(refused)}) OR "
        f"{_IN_FORCE} AND NOT ({_WAS_IN_FORCE}) AND {_RIVAL}",
        name="refuse_step_of_rows",
        moment="AFTER",
    )


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(f"({one})" for one in conditions)


def _unlisted(life: Life) -> str:
    step = "from_state = old.state AND to_state = new.state"
    return f"NOT EXISTS (SELECT 1 FROM {life.name}_steps WHERE {step})"  # noqa: S608 - as above.


def _refuse(change: str, condition: str = "1", name: str = "", moment: str = "BEFORE") -> str:
    name = name or "refuse_" + "".join(c if c.isalnum() else "_" for c in change.lower())
    return (
        f"CREATE TRIGGER {name} {moment} {change} WHEN {condition} "
        "BEGIN SELECT RAISE(ABORT, 'the ledger refuses this change'); END"
    )
