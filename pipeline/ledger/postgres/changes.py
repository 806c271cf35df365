"""Tells by the server's own records whether anybody wrote to a ledger since all of it was proved.

Whoever writes to a table of the ledger leaves a row in `changes`: a rule of the database sees to
that, in sessions that switch ordinary rules off as well. Of every row, and of every table, rule and
function, the server itself notes which transaction wrote it (xmin), and no SQL can set that. A rule
that was off for a moment was written anew, as was a table that was rewritten. So where all of those
are as they were noted, nobody has written to the ledger.

This cannot see who goes around the server: who changes its files, or as its superuser uses tools
that change rows in place. And who says in the database that he is a carrier of a run that has
carriers is taken for one; whoever may connect could be one. `cardferry verify` reads every row.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from sqlalchemy import select

from pipeline.ledger.sharing.tables import sessions

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

_WRITERS: Final = "SELECT writer, xmin::text FROM changes"
_DEFINITIONS: Final = """
WITH here AS (SELECT %(schema)s::text::regnamespace::oid AS space),
     own AS (SELECT oid, xmin FROM pg_catalog.pg_class, here
             WHERE relnamespace = here.space AND relkind NOT IN ('i', 'I'))
SELECT 'table', oid::text, xmin::text FROM own
UNION ALL
SELECT 'column', attrelid::text || '.' || attnum::text, a.xmin::text
FROM pg_catalog.pg_attribute a JOIN own ON own.oid = attrelid
UNION ALL
SELECT 'rule', t.oid::text, t.xmin::text
FROM pg_catalog.pg_trigger t JOIN own ON own.oid = tgrelid
UNION ALL
SELECT 'function', oid::text, xmin::text
FROM pg_catalog.pg_proc, here WHERE pronamespace = here.space
ORDER BY 1, 2
"""


class LastWrites(NamedTuple):
    """Who wrote to a ledger last, by the server's records.

    Attributes:
        definitions: SHA-256 over which transactions wrote its tables, rules and functions.
        writers: Of each that ever wrote to it, the last transaction in which that was.
    """

    definitions: str
    writers: dict[str, str]

    def words(self) -> list[str]:
        """Give it as it is noted."""
        return ["postgresql", self.definitions, _digest(sorted(self.writers.items()))]


def last_writes(connection: Connection, schema: str) -> LastWrites:
    """Give who wrote to a ledger last; compared with another look it tells of every write in between.

    Args:
        connection: A reading connection.
        schema: The ledger's.
    """
    found = connection.exec_driver_sql(_DEFINITIONS, {"schema": schema}).all()
    writers = {
        str(writer): str(xmin) for writer, xmin in connection.exec_driver_sql(_WRITERS).all()
    }
    return LastWrites(_digest([schema, *map(tuple, found)]), writers)


def only_by(
    connection: Connection, before: LastWrites, now: LastWrites, processes: Collection[int]
) -> bool:
    """Tell whether nobody wrote between two looks but some server processes and a run's carriers.

    Args:
        connection: A reading connection.
        before: The earlier look.
        now: The later one.
        processes: The numbers of the server processes that worked for the run.
    """
    if before.definitions != now.definitions or before.writers.keys() - now.writers.keys():
        return False
    wrote = {one for one, xmin in now.writers.items() if before.writers.get(one) != xmin}
    ours = {str(number) for number in processes}
    if wrote <= ours:
        return True
    carriers = connection.execute(select(sessions.c.id)).scalars()
    return wrote <= ours | {carrier_named(number) for number in carriers}


def carrier_named(session: int) -> str:
    """Give the name under which a carrier stands among those who wrote."""
    return f"session {session}"


def name_carrier(connection: Connection, session: int) -> None:
    """Let what this connection writes from now on stand under a carrier's name."""
    # A number of our own.
    connection.exec_driver_sql(f"SET cardferry.session = '{session:d}'")


def _digest(facts: object) -> str:
    return hashlib.sha256(orjson.dumps(facts)).hexdigest()
