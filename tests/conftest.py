"""What every test gets: a quiet environment, no matter how the developer's is set."""

import os

import pytest

from tests.support import leftovers
from tests.support.compiled import share_compiled_statements

share_compiled_statements()

LEDGER = "CARDFERRY_LEDGER_URL"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """Settings of the developer's shell must not leak into a test."""
    for name in list(os.environ):
        if name.startswith(
            ("CARDFERRY_VAULT", "CARDFERRY_EXPORT", "CARDFERRY_FLOW", "OMISE_", LEDGER)
        ):
            monkeypatch.delenv(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def each_store(request, monkeypatch):
    """Let a test's ledgers be in SQLite, and once more in PostgreSQL."""
    if request.param == "postgresql":
        from tests.support import postgres  # noqa: PLC0415 - most tests need no server.

        monkeypatch.setenv(LEDGER, postgres.server().url())


def pytest_unconfigure():
    """Leave nothing in the machine's temporary folder, whichever process ran the tests."""
    leftovers.remove_all()
