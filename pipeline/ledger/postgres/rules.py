"""Writes the rules that PostgreSQL keeps on the ledger by itself, whatever program changes it.

They are those of the ledger in SQLite (`sqlite.rules`): attempts, outcomes, events and retired
tokens only grow; a row, export, customer or attachment keeps its number and takes only the steps
that are listed for it; an id has one token in force. They name the schema, so that they hold for
whoever looks for tables elsewhere first.

Beyond those of SQLite, one tells who wrote (`changes`). That one fires in sessions that replay
another server's changes, too, where ordinary rules do not. And some stand in place of foreign keys
(`references`): those that every card would be looked up by, six times in its life.

What each card goes through is judged by the condition of a rule, which costs next to nothing where
it does not hold, and after the change: a rule before it has the server lock each row first.
"""

# Only names of our own schema, and our own words, are put together here.
# ruff: noqa: S608

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.ledger.postgres.references import MADE, may_go, to_a_planned_row, to_an_attempt
from pipeline.ledger.schema import metadata
from pipeline.ledger.states import LIVES, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.ledger.states import Life

REFUSED: Final = "the ledger refuses this change"
IN_FORCE: Final = "one_token_in_force"
IN_FORCE_WHERE: Final = "state = 'tokenized' AND superseded_by IS NULL"
"""The index that keeps one token in force for an id, also between two sessions."""

_RAISE: Final = f"RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'integrity_constraint_violation'"
_APPEND_ONLY: Final = ("attempts", "outcomes", "events", "retired_tokens")
_WRITTEN: Final = (
    *(*_APPEND_ONLY, "meta", "runs", "exports", "customers", "rows", "tokens", "attachments"),
    "versions",
)
_EMPTIED_BY_NOBODY: Final = (
    *(*_APPEND_ONLY, "meta", "runs", "exports", "customers", "rows", "tokens", "attachments"),
)


ANY_WRITE: Final = "INSERT OR UPDATE OR DELETE"
_ABOUT_ALL: Final = (ANY_WRITE, "TRUNCATE")


class Rule(NamedTuple):
    """A trigger: its name, its table, when it fires, and what its function does.

    Attributes:
        always: It fires in every session; else a superuser's may leave it out.
        when: The condition on the old and the new row under which it fires, in the words in which
            the server tells it; then it fires after the change.
        sees_all: It fires once after a statement, and sees all that this has inserted. What it looks
            up it finds by keys, though it may first be asked while a table is still empty: how the
            server looks is settled then, and would mean every row for each later one.
    """

    name: str
    table: str
    change: str
    body: str
    always: bool = False
    when: str = ""
    sees_all: bool = False

    @property
    def fires(self) -> str:
        """Say for what the trigger fires: each row, or a statement as a whole."""
        return "STATEMENT" if self.sees_all or self.change in _ABOUT_ALL else "ROW"

    @property
    def moment(self) -> str:
        """Say when the trigger fires."""
        is_after = self.when or self.sees_all or self.change == ANY_WRITE
        return "AFTER" if is_after else "BEFORE"

    @property
    def settings(self) -> str:
        """Say what is set while its function runs, as the server tells it."""
        return "enable_seqscan=off" if self.sees_all else ""

    def function(self, schema: str) -> str:
        """Give the statement that makes the function."""
        sets = f"SET {self.settings} " if self.settings else ""
        return (
            f"CREATE FUNCTION {schema}.{self.name}() RETURNS trigger LANGUAGE plpgsql "
            f"{sets}AS $rule$ {self.body} $rule$"
        )

    def statement(self, schema: str) -> str:
        """Give the statement that makes the trigger, once its function is there."""
        sees = f"REFERENCING NEW TABLE AS {MADE} " if self.sees_all else ""
        when = f"WHEN ({self.when}) " if self.when else ""
        return (
            f"CREATE TRIGGER {self.name} {self.moment} {self.change} ON {schema}.{self.table} "
            f"{sees}FOR EACH {self.fires} {when}EXECUTE FUNCTION {schema}.{self.name}()"
        )


def rules(schema: str) -> list[Rule]:
    """Give every rule; `schema` is the schema's name in its quotes."""
    return [
        *(Rule(f"refuse_change_of_{t}", t, "UPDATE OR DELETE", _always()) for t in _APPEND_ONLY),
        *(Rule(f"refuse_end_of_{t}", t, "TRUNCATE", _always()) for t in _EMPTIED_BY_NOBODY),
        *(
            Rule(f"refuse_step_of_{life.table}", life.table, "UPDATE", _always(), when=_step(life))
            for life in LIVES
        ),
        Rule("refuse_way_back_of_rows", "rows", "UPDATE", _way_back(schema), when=_GOES_BACK),
        *_references(schema),
        Rule("refuse_loss_of_rows", "rows", "DELETE", _if(f"NOT ({may_go(schema)})")),
        Rule(
            *("refuse_loss_of_exports", "exports", "DELETE", _always()),
            when="old.state <> 'proving'::text",
        ),
        Rule(
            "refuse_loss_of_tokens",
            "tokens",
            "DELETE",
            _if(f"NOT EXISTS (SELECT FROM {schema}.retired_tokens WHERE token_id = OLD.token_id)"),
        ),
        *(Rule(f"tell_writer_of_{t}", t, ANY_WRITE, _tell(schema), always=True) for t in _WRITTEN),
        Rule("refuse_loss_of_changes", "changes", "DELETE", _always(), always=True),
        Rule("refuse_end_of_changes", "changes", "TRUNCATE", _always(), always=True),
        Rule("refuse_change_of_tokens", "tokens", "UPDATE", _always()),
        Rule("refuse_loss_of_attachments", "attachments", "DELETE", _always()),
        Rule("refuse_loss_of_customers", "customers", "DELETE", _if("OLD.state <> 'wanted'")),
        Rule(
            "refuse_other_customer",
            "customers",
            "UPDATE",
            _if(
                "OLD.legacy_customer_id <> NEW.legacy_customer_id OR (OLD.customer_id IS NOT NULL "
                "AND OLD.customer_id IS DISTINCT FROM NEW.customer_id)"
            ),
        ),
    ]


def _references(schema: str) -> list[Rule]:
    """Give the rules in place of foreign keys, and those that keep what they refer to."""
    of_a_row = _if(to_a_planned_row(schema))
    return [
        *(
            Rule(f"refuse_{t}_of_nothing", t, "INSERT", of_a_row, sees_all=True)
            for t in ("attempts", "tokens")
        ),
        Rule(
            *("refuse_outcomes_of_nothing", "outcomes", "INSERT", _if(to_an_attempt(schema))),
            sees_all=True,
        ),
        Rule("refuse_unknown_state_of_rows", "rows", "INSERT", _always(), when=_unknown("row")),
        Rule("refuse_change_of_row_states", "row_states", "UPDATE OR DELETE", _always()),
        Rule("refuse_end_of_row_states", "row_states", "TRUNCATE", _always()),
    ]


def statements(schema: str) -> list[str]:
    """Give the statements that make the rules."""
    made = [(f"CREATE UNIQUE INDEX {IN_FORCE} ON {schema}.rows (legacy_id) WHERE {IN_FORCE_WHERE}")]
    for rule in rules(schema):
        made += [rule.function(schema), rule.statement(schema)]
        if rule.always:
            made.append(f"ALTER TABLE {schema}.{rule.table} ENABLE ALWAYS TRIGGER {rule.name}")
    return made


def _tell(schema: str) -> str:
    """Note the transaction beside whoever writes, once; no name is looked up in the session's path."""
    equals = "OPERATOR(pg_catalog.=)"
    known = f"SELECT FROM {schema}.changes WHERE writer {equals} by_whom AND xact {equals} here"
    return (
        "DECLARE said pg_catalog.text := pg_catalog.current_setting('cardferry.session', true); "
        "by_whom pg_catalog.text := pg_catalog.pg_backend_pid(); "
        "here bigint := pg_catalog.pg_current_xact_id()::pg_catalog.text::bigint; "
        "BEGIN IF pg_catalog.length(said) OPERATOR(pg_catalog.>) 0 THEN "
        "by_whom := pg_catalog.concat('session ', said); END IF; "
        f"IF NOT EXISTS ({known}) THEN "
        f"INSERT INTO {schema}.changes (writer, xact) VALUES (by_whom, here) "
        "ON CONFLICT (writer) DO UPDATE SET xact = excluded.xact; "
        "END IF; RETURN NULL; END"
    )


def _always() -> str:
    return f"BEGIN {_RAISE}; END"


def _if(condition: str) -> str:
    return (
        f"BEGIN IF {condition} THEN {_RAISE}; END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END"
    )


def _step(life: Life) -> str:
    """Give the condition that something gets another number, or takes a step that is not listed."""
    (key,) = metadata.tables[life.table].primary_key
    listed = _listed(f"{old}>{new}" for old, new in steps_of(life))
    is_other = f"(((old.state || '>'::text) || new.state) <> ALL ({listed}))"
    return f"(old.{key.name} <> new.{key.name}) OR ((old.state <> new.state) AND {is_other})"


def _unknown(name: str) -> str:
    """Give the condition that something new has a state that is not listed."""
    (life,) = (life for life in LIVES if life.name == name)
    return f"new.state <> ALL ({_listed(state.value for state in life.steps)})"


def _listed(words: Iterable[str]) -> str:
    return f"'{{{','.join(words)}}}'::text[]"


_GOES_BACK: Final = (
    "(old.state <> new.state) AND (old.state = ANY ('{tokenized,rejected,skipped}'::text[]))"
)


def _way_back(schema: str) -> str:
    """Refuse what a row may not take back beyond its steps."""
    unretired = f"EXISTS (SELECT FROM {schema}.tokens WHERE row_id = OLD.id)"
    return _if(
        # Frozen for another card's answer, or planned again without the token that was retired.
        "(OLD.state = 'tokenized' AND "
        "((NEW.state = 'held' AND coalesce(NEW.code, '') <> 'answer_mismatch') OR "
        f"(NEW.state = 'planned' AND {unretired}))) OR "
        "(OLD.state = 'rejected' AND NEW.state = 'planned' AND "
        "coalesce(OLD.code, '') <> 'vault_rejected') OR "
        "(OLD.state = 'skipped' AND coalesce(OLD.code, '') <> 'filtered')"
    )
