"""Lets all ledgers of a process share the SQL that SQLAlchemy compiled: it is always the same.

SQLAlchemy keeps compiled statements with each engine, and every ledger has an engine of its own; a
command opens one or two, the tests thousands, and compiling took them a third of their time.
"""

from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

_STATEMENTS_MAX = 5000


def share_compiled_statements():
    """Give all SQLite engines one store of compiled statements."""
    store = LRUCache(_STATEMENTS_MAX)

    def store_of(engine):
        shared = type(engine.dialect) is SQLiteDialect_pysqlite
        return store if shared else vars(engine)["_compiled_cache"]

    def keep_own(engine, own):
        vars(engine)["_compiled_cache"] = own

    Engine._compiled_cache = property(store_of, keep_own)
    # A statement is looked up by its dialect, too; all of this class write the same SQL.
    SQLiteDialect_pysqlite.__eq__ = lambda one, other: type(one) is type(other)
    SQLiteDialect_pysqlite.__hash__ = lambda one: hash(type(one))
