"""What every test gets: a quiet environment, no matter how the developer's is set."""

import gc
import os
import sys

import hypothesis
import pytest

from tests.support import leftovers
from tests.support.compiled import share_compiled_statements
from tests.support.sampled import THOROUGH, examples

# Hundreds of processes load the same modules: what the first one compiles is kept for the others.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
RUN_FOLDER = pytest.StashKey()
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


LONG_FILES = (
    *("test_carriers.py", "test_cluster.py", "test_images.py", "test_bombs.py", "test_canaries.py"),
    *("test_quality.py", "test_migration_machine.py"),
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with the longest tests, so that no process ends with one while the others are idle."""
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


def pytest_collection_finish():
    """Keep what has been loaded out of every later search for cycles: it stays to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Let a process that has nothing left to do take over what waits for another one."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling  # noqa: PLC0415 - only with `-n`.

    return WorkStealingScheduling(config, log)


def pytest_configure(config):
    """Let the whole run, with its workers and all of their children, use one temporary folder.

    Properties are tried on fewer examples where slow tests are left out.
    """
    if config.option.markexpr != "not slow":
        os.environ[THOROUGH] = "1"
    hypothesis.settings.register_profile("ours", max_examples=examples(100), deadline=None)
    hypothesis.settings.load_profile("ours")
    if not hasattr(config, "workerinput"):
        config.stash[RUN_FOLDER] = leftovers.begin_run()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail a run that left something in its temporary folder; the workers have ended by now."""
    folder = session.config.stash.get(RUN_FOLDER, None)
    if folder is None:
        return
    leftovers.remove_all()
    left = leftovers.left_in(folder)
    if left:
        session.config.get_terminal_writer().line(
            f"\nleft in the temporary folder: {left}", red=True
        )
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure():
    """Remove what a worker made for all of its tests."""
    leftovers.remove_all()
