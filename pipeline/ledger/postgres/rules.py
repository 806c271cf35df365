"""Writes the rules that PostgreSQL keeps on the ledger by itself, whatever program changes it.

They are those of the ledger in SQLite (`sqlite.rules`): attempts, outcomes, events and retired
tokens only grow; a row, export, customer or attachment takes only the steps that its table of
steps allows; an id has one token in force. They name the schema, so that they hold for whoever
looks for tables elsewhere first.

Beyond those of SQLite, one tells who wrote (`changes`). That one fires in sessions that replay
another server's changes, too, where ordinary rules do not.
"""

# Only names of our own schema, and our own words, are put together here.
# ruff: noqa: S608

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.states import LIVES

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


class Rule(NamedTuple):
    """A trigger: its name, its table, when it fires, and what its function does.

    Attributes:
        always: It fires in every session; else a superuser's may leave it out.
    """

    name: str
    table: str
    change: str
    body: str
    always: bool = False

    @property
    def fires(self) -> str:
        """Say for what the trigger fires: each row, or a statement as a whole."""
        return "STATEMENT" if self.change in {"TRUNCATE", ANY_WRITE} else "ROW"

    @property
    def moment(self) -> str:
        """Say when the trigger fires."""
        return "AFTER" if self.change == ANY_WRITE else "BEFORE"


def rules(schema: str) -> list[Rule]:
    """Give every rule; `schema` is the schema's name in its quotes."""
    return [
        *(Rule(f"refuse_change_of_{t}", t, "UPDATE OR DELETE", _always()) for t in _APPEND_ONLY),
        *(Rule(f"refuse_end_of_{t}", t, "TRUNCATE", _always()) for t in _EMPTIED_BY_NOBODY),
        *(
            Rule(f"refuse_step_of_{life.table}", life.table, "UPDATE", _step(schema, life.name))
            for life in LIVES
        ),
        Rule(
            "refuse_loss_of_rows",
            "rows",
            "DELETE",
            _if(
                f"coalesce((SELECT state FROM {schema}.exports WHERE id = OLD.id / {ROW_SPAN}), "
                "'proving') <> 'proving'"
            ),
        ),
        Rule("refuse_loss_of_exports", "exports", "DELETE", _if("OLD.state <> 'proving'")),
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


def statements(schema: str) -> list[str]:
    """Give the statements that make the rules."""
    made = [(f"CREATE UNIQUE INDEX {IN_FORCE} ON {schema}.rows (legacy_id) WHERE {IN_FORCE_WHERE}")]
    for rule in rules(schema):
        made += [
            (
                f"CREATE FUNCTION {schema}.{rule.name}() RETURNS trigger LANGUAGE plpgsql "
                f"AS $rule$ {rule.body} $rule$"
            ),
            (
                f"CREATE TRIGGER {rule.name} {rule.moment} {rule.change} ON {schema}.{rule.table} "
                f"FOR EACH {rule.fires} EXECUTE FUNCTION {schema}.{rule.name}()"
            ),
        ]
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


def _step(schema: str, life: str) -> str:
    step = "from_state = OLD.state AND to_state = NEW.state"
    conditions = [f"NOT EXISTS (SELECT FROM {schema}.{life}_steps WHERE {step})"]
    if life == "row":
        conditions += _way_back(schema)
    refused = " OR ".join(f"({condition})" for condition in conditions)
    return (
        "BEGIN IF OLD.state = NEW.state THEN RETURN NEW; END IF; "
        f"IF {refused} THEN {_RAISE}; END IF; RETURN NEW; END"
    )


def _way_back(schema: str) -> list[str]:
    """Give what a row may not take back beyond its steps."""
    unretired = f"EXISTS (SELECT FROM {schema}.tokens WHERE row_id = OLD.id)"
    return [
        # Frozen for another card's answer, or planned again without the token that was retired.
        (
            "OLD.state = 'tokenized' AND "
            "((NEW.state = 'held' AND coalesce(NEW.code, '') <> 'answer_mismatch') OR "
            f"(NEW.state = 'planned' AND {unretired}))"
        ),
        (
            "OLD.state = 'rejected' AND NEW.state = 'planned' AND "
            "coalesce(OLD.code, '') <> 'vault_rejected'"
        ),
        "OLD.state = 'skipped' AND coalesce(OLD.code, '') <> 'filtered'",
    ]
