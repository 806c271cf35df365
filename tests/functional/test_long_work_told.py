"""Commands that work long without a row that moves say what they do."""

import os

import pytest

from pipeline.ledger.lock import migration_lock
from pipeline.migration.run_request import WAITING_FOR_RUN, WRITING_OUTPUTS
from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.sandbox import running

HOOK = "tests.support.hooks:have_no_patience"


@pytest.mark.parametrize("command", ["run", "publish", "readback"])
def test_whoever_waits_for_another_run_says_so(tmp_path, command):
    """And does its work once that has ended; without the option it ends at once with 11."""
    out = tmp_path / "out"
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        export = sealed(tmp_path, rows_csv(3))
        cardferry("run", export, "-c", config, "-o", out)
        words = [command, *([export, "-o"] if command == "run" else []), out, "-c", config]
        with migration_lock(out):
            refused = cardferry(*words, code=11)
            place = ({**os.environ, "PYTHONPATH": str(ROOT)}, tmp_path)
            waiting, told = zygote().begin([*words, "--wait-lock", "60s"], *place, HOOK)
            # The command opens its standard error's file by itself, once it has begun.
            wait_until(lambda: told.exists() and WAITING_FOR_RUN in told.read_text("utf-8"))
        ended = waiting.wait()

    assert "`--wait-lock 15m` does" in refused.err
    assert ended.code == 0


def test_publications_verifications_and_mappings_that_take_long_are_told(tmp_path):
    """In each command's standard error, once; with -q nothing is."""
    out = tmp_path / "out"
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        export = sealed(tmp_path, rows_csv(3))
        ran = cardferry("run", export, "-c", config, "-o", out, hook=HOOK).err
        quiet = cardferry("run", export, "-c", config, "-o", out, "-q", hook=HOOK).err
    published = cardferry("publish", out, hook=HOOK).err
    verified = cardferry("verify", out, hook=HOOK)
    mapped = cardferry("export-mapping", out, "--format", "csv", "-o", tmp_path / "m", hook=HOOK)

    assert (1, 0, 1) == tuple(told.count(WRITING_OUTPUTS) for told in (ran, quiet, published))
    assert ran.index("sent 3/3 rows") < ran.index(WRITING_OUTPUTS) < ran.index("next:")
    assert "verifying: every digest, total and event is worked out again" in verified.err
    assert "verifying" not in verified.out
    assert "writing the mapping" in mapped.err.splitlines()
