"""Makes the ledger's tables in a schema of PostgreSQL, and compares those of a schema with them.

What is there is read from the catalog as plain facts (columns, keys, indexes, triggers, functions,
states); what this program makes is told in the same words from its own definitions, so that a
comparison needs no right to make anything.
"""

# Only names of our own schema, and our own words, are put together here.

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    UniqueConstraint,
    insert,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from pipeline.ledger.postgres.connection import driver_of
from pipeline.ledger.postgres.references import MADE, is_kept_by_rules
from pipeline.ledger.postgres.rules import IN_FORCE, IN_FORCE_WHERE, rules, statements
from pipeline.ledger.schema import STATE_TABLES, metadata, tell_conditions
from pipeline.ledger.sharing.tables import sharing
from pipeline.ledger.states import LIVES, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, Connection, Constraint, Index, Table

    from pipeline.ledger.postgres.rules import Rule
    from pipeline.ledger.store import Parts

_HERE: Final = '""'
"""What stands for the schema's own name in the words of a function, and names none by itself."""
_TEXT: Final = 'text COLLATE "C"'
_QUOTED: Final = re.compile("'[^']*'")
_JOINED: Final = re.compile(" (AND|OR) ")

_PARTS: Final = """
WITH here AS (SELECT %(schema)s::text::regnamespace::oid AS space),
     own AS (SELECT c.* FROM pg_catalog.pg_class c, here WHERE c.relnamespace = here.space)
SELECT 'relation', relname, relkind::text || relpersistence::text,
       CASE WHEN relrowsecurity OR relhasrules OR relhassubclass OR relispartition
            THEN 'with more' ELSE '' END
FROM own WHERE relkind <> 'i'
UNION ALL
SELECT 'column', own.relname, a.attname,
       format_type(a.atttypid, a.atttypmod)
       || CASE WHEN k.collname IS NULL THEN '' ELSE ' COLLATE "' || k.collname || '"' END
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
       || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
       || a.attidentity::text || a.attgenerated::text
FROM own JOIN pg_catalog.pg_attribute a ON a.attrelid = own.oid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation
WHERE own.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', own.relname,
       CASE WHEN r.contype = 'c' THEN r.conname ELSE '' END,
       CASE WHEN r.contype = 'c' THEN pg_get_constraintdef(r.oid)
            ELSE r.contype::text || ' ' || r.convalidated::text || ' ' || (
                SELECT string_agg(a.attname, ',' ORDER BY x.n)
                FROM unnest(r.conkey) WITH ORDINALITY x(k, n)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = x.k)
            || coalesce(' ' || (SELECT f.relname FROM own f WHERE f.oid = r.confrelid), '')
            || CASE WHEN r.condeferrable OR r.contype = 'f' AND NOT (
                        r.confupdtype = 'a' AND r.confdeltype = 'a' AND r.confmatchtype = 's'
                        AND r.confkey = (SELECT conkey FROM pg_catalog.pg_constraint
                                         WHERE conrelid = r.confrelid AND contype = 'p'))
                    THEN ' with more' ELSE '' END END
FROM own JOIN pg_catalog.pg_constraint r ON r.conrelid = own.oid
WHERE r.contype NOT IN ('n')
UNION ALL
SELECT 'index', own.relname, i.relname,
       CASE WHEN x.indisunique THEN 'unique ' ELSE '' END
       || CASE WHEN x.indisvalid AND x.indisready THEN '' ELSE 'unusable ' END
       || (SELECT string_agg(pg_get_indexdef(x.indexrelid, n, false), ',' ORDER BY n)
           FROM generate_series(1, x.indnkeyatts) n)
       || coalesce(' WHERE ' || pg_get_expr(x.indpred, x.indrelid), '')
       || CASE WHEN EXISTS (
                   SELECT FROM unnest(x.indkey::int2[], x.indcollation::oid[], x.indclass::oid[])
                       AS p(k, found, class)
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = p.k
                   JOIN pg_catalog.pg_opclass o ON o.oid = p.class
                   WHERE p.found <> a.attcollation OR NOT o.opcdefault)
               THEN ' with more' ELSE '' END
FROM own JOIN pg_catalog.pg_index x ON x.indrelid = own.oid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint r WHERE r.conindid = x.indexrelid)
UNION ALL
SELECT 'trigger', own.relname, t.tgname,
       t.tgtype::text || ' ' || t.tgenabled::text || ' ' || f.proname::text
       || coalesce(' of ' || t.tgoldtable::text, '') || coalesce(' sees ' || t.tgnewtable::text, '')
       || coalesce(substring(pg_get_triggerdef(t.oid) FROM ' WHEN .* EXECUTE '), '')
       || CASE WHEN f.pronamespace = here.space AND t.tgnargs = 0 AND t.tgconstraint = 0
                    AND t.tgattr = ''::int2vector THEN '' ELSE ' with more' END
FROM here, own JOIN pg_catalog.pg_trigger t ON t.tgrelid = own.oid
JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'function', f.proname, l.lanname,
       replace(f.prosrc, '"' || %(schema)s::text || '"', '{here}')
       || coalesce(array_to_string(f.proconfig, ', '), '')
       || CASE WHEN f.prosecdef OR f.provolatile <> 'v' THEN ' with more' ELSE '' END
FROM here, pg_catalog.pg_proc f JOIN pg_catalog.pg_language l ON l.oid = f.prolang
WHERE f.pronamespace = here.space
""".replace("{here}", _HERE)
_FIRES: Final = {"ROW": 1, "STATEMENT": 0, "BEFORE": 2, "AFTER": 0}
_CHANGES: Final = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
"""Bits of `pg_trigger.tgtype`."""

_ALL: Final = (metadata, sharing)

# Loading the tables alone names no database but SQLite, and loads no other's driver.
tell_conditions("postgresql")


def create_tables(connection: Connection, schema: str) -> None:
    """Make the schema with its tables, fill those of states and steps, and make the rules."""
    name = f'"{schema}"'
    driver_of(connection).execute(
        _one_after_another(
            f"CREATE SCHEMA IF NOT EXISTS {name}",
            f"COMMENT ON SCHEMA {name} IS 'a ledger of Cardferry'",
            *_definitions(),
            *statements(name),
        )
    )
    for life in LIVES:
        states, steps = STATE_TABLES[life.name]
        connection.execute(insert(states), [{"state": state.value} for state in life.steps])
        pairs = [{"from_state": old, "to_state": new} for old, new in steps_of(life)]
        connection.execute(insert(steps), pairs)


def create_rules(connection: Connection, schema: str) -> None:
    """Make the rules; after an upgrade this version's take the place of the older one's."""
    found = connection.exec_driver_sql(
        "SELECT proname FROM pg_catalog.pg_proc WHERE pronamespace = %(schema)s::text::regnamespace",
        {"schema": schema},
    )
    name = f'"{schema}"'
    driver_of(connection).execute(
        _one_after_another(
            f"DROP INDEX IF EXISTS {name}.{IN_FORCE}",
            *(f'DROP FUNCTION {name}."{function}" CASCADE' for (function,) in found.all()),
            *statements(name),
        )
    )


def _definitions() -> list[str]:
    """Give the statements that make the tables; they name no schema, the session's is meant."""
    made = []
    for table in (table for tables in _ALL for table in tables.sorted_tables):
        keys = [key for key in table.foreign_key_constraints if not is_kept_by_rules(key)]
        made.append(_words(CreateTable(table, include_foreign_key_constraints=keys)))
        made += [_words(CreateIndex(index)) for index in table.indexes]
    return made


def _words(statement: Any) -> str:
    return str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


def _one_after_another(*parts: str) -> SQL:
    """Give statements as one text, for one way to the server and back."""
    return SQL(";\n".join(parts))


def parts_of(connection: Connection, schema: str) -> Parts:
    """Give every part of a schema that is there."""
    found = {
        tuple(map(str, part)) for part in connection.exec_driver_sql(_PARTS, {"schema": schema})
    }
    tables = {name for kind, name, *_ in found if kind == "relation"}
    listed = {
        (listing.name, *map(str, values))
        for both in STATE_TABLES.values()
        for listing in both
        if listing.name in tables
        for values in connection.execute(listing.select())
    }
    return frozenset(found | listed)


@lru_cache(1)
def own_parts() -> Parts:
    """Give every part of the schema that this program makes."""
    made: set[tuple[str, ...]] = set()
    for table in (table for tables in _ALL for table in tables.sorted_tables):
        made.add(("relation", table.name, "rp", ""))
        made.update(("column", table.name, c.name, _column(c)) for c in table.columns)
        made.update(_constraints(table))
        made.update(
            ("index", table.name, str(index.name), _index(index)) for index in table.indexes
        )
    made.add(("index", "rows", IN_FORCE, f"unique legacy_id WHERE {_as_told(IN_FORCE_WHERE)}"))
    for rule in rules(_HERE):
        made.add(("trigger", rule.table, rule.name, _fires(rule)))
        made.add(("function", rule.name, "plpgsql", f" {rule.body} {rule.settings}"))
    for life in LIVES:
        states, steps = STATE_TABLES[life.name]
        made.update((states.name, state.value) for state in life.steps)
        made.update((steps.name, old, new) for old, new in steps_of(life))
    return frozenset(made)


def _fires(rule: Rule) -> str:
    changes = sum(_CHANGES[change] for change in rule.change.split(" OR "))
    told = [
        f"{_FIRES[rule.fires] + _FIRES[rule.moment] + changes} {'A' if rule.always else 'O'}",
        rule.name,
        f"sees {MADE}" if rule.sees_all else "",
    ]
    when = f" WHEN (({rule.when})) EXECUTE " if rule.when else ""
    return " ".join(filter(None, told)) + when


def _column(column: Column[Any]) -> str:
    default: Any = column.server_default
    words = [
        _type(column),
        "" if column.nullable else "NOT NULL",
        "" if default is None else f"DEFAULT {_typed(str(default.arg))}",
    ]
    return " ".join(filter(None, words))


def _type(column: Column[Any]) -> str:
    if isinstance(column.type, BigInteger):
        return "bigint"
    if isinstance(column.type, Integer):
        return "integer"
    return "bytea" if isinstance(column.type, LargeBinary) else _TEXT


def _constraints(table: Table) -> Iterator[tuple[str, ...]]:
    for rule in table.constraints:
        if isinstance(rule, CheckConstraint):
            told = f"CHECK ({_as_told(str(rule.sqltext))})"
            yield "constraint", table.name, str(rule.name), told
        elif not (isinstance(rule, ForeignKeyConstraint) and is_kept_by_rules(rule)):
            yield "constraint", table.name, "", _key(rule)


def _key(rule: Constraint) -> str:
    match rule:
        case PrimaryKeyConstraint():
            return f"p true {_names(rule.columns)}"
        case UniqueConstraint():
            return f"u true {_names(rule.columns)}"
        case ForeignKeyConstraint():
            return f"f true {_names(rule.columns)} {rule.referred_table.name}"
        case _:
            raise AssertionError("the schema has a kind of rule that is not told here")


def _index(index: Index) -> str:
    where = index.dialect_options["postgresql"]["where"]
    told = "" if where is None else f" WHERE {_as_told(str(where))}"
    return ("unique " if index.unique else "") + _names(index.columns) + told


def _as_told(condition: str) -> str:
    """Give a condition of ours as the server writes it: every part in parentheses, texts typed."""
    parts = _JOINED.split(_typed(condition))
    told = " ".join(f"({part})" if n % 2 == 0 else part for n, part in enumerate(parts))
    return told if len(parts) == 1 else f"({told})"


def _typed(words: str) -> str:
    return _QUOTED.sub(r"\g<0>::text", words)


def _names(columns: Any) -> str:
    return ",".join(column.name for column in columns)
