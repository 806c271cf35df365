"""The ledger is a room with one door: nobody else sees its database."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "pipeline"
DATABASES = {"sqlalchemy", "sqlite3", "psycopg"}
INSIDE = {
    *("checks", "digests", "duplicates", "epoch", "postgres", "query_base", "schema", "sqlite"),
}
"""Modules of the ledger that are nobody else's business."""
OUTSIDERS = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    # The sandbox is another program with books of its own, which imports nothing of ours.
    if path.relative_to(ROOT).parts[0] not in {"ledger", "sandbox"}
]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_nobody_outside_the_ledger_knows_a_database():
    """No other module imports sqlalchemy, sqlite3 or a driver, not even for a type."""
    found = {
        str(path.relative_to(ROOT)): known
        for path in OUTSIDERS
        if (known := DATABASES & {name.partition(".")[0] for name in imported(path)})
    }

    assert {} == found


def test_nobody_outside_the_ledger_imports_its_inner_parts():
    """Tables, checks and the folders of databases are reached through `Ledger` and its snapshot only."""
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in OUTSIDERS
        for name in imported(path)
        if name.startswith("pipeline.ledger.") and name.split(".")[2] in INSIDE
    ]

    assert [] == found


@pytest.mark.parametrize("word", ["PRAGMA ", "SELECT ", "INSERT INTO", "exec_driver_sql"])
def test_nobody_outside_the_ledger_speaks_sql_to_it(word):
    """No statement stands in another room."""
    found = [str(path.relative_to(ROOT)) for path in OUTSIDERS if word in path.read_text("utf-8")]

    assert [] == found


def test_nobody_outside_the_ledger_takes_its_connection():
    """`writing` and `transaction` are for the ledger's own parts."""
    found = [
        (str(path.relative_to(ROOT)), node.attr)
        for path in OUTSIDERS
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"writing", "transaction", "exec_driver_sql"}
    ]

    assert [] == found
