"""A whole migration whose ledger is in PostgreSQL: cards on customers, top-ups, every other command."""

import shutil

import pyarrow.parquet as pq
import pytest

from pipeline.bundled_files import beside
from pipeline.cli import demo_steps as demo
from pipeline.ledger.ledger_url import POINTER_NAME
from tests.support import postgres
from tests.support.commands import cardferry
from tests.support.ledgers import URL_NAME
from tests.support.sandbox import running

MOVING = {
    *("token_id", "card_id", "customer_id", "default_card", "created_at", "at", "run_id"),
    *("fingerprint", "request_id"),
}
"""Columns whose values are the vault's or the clock's, and other ones in every run."""


def told(out, name):
    """Give a published table without what is another one in every run."""
    rows = pq.read_table(out / f"{name}.parquet").to_pylist()
    return [{k: v for k, v in row.items() if k not in MOVING} for row in rows]


def carried(folder, vault):
    """Carry the sample and its top-up, then ask every command for what became of them."""
    out, inbox = folder / "out", folder / "inbox"
    inbox.mkdir()
    shutil.copy(beside("sample_data") / demo.TOPUP_NAME, inbox)
    given = ["-c", beside("configs") / "sandbox.toml"]
    for line in (f'vault.url="{vault.base_url}"', f'attach.url="{vault.base_url}"'):
        given += ["--set", line]
    for line in demo._ATTACHING:
        given += ["--set", line]
    sample = beside("sample_data") / demo.SAMPLE_NAME
    ran = cardferry("run", sample, *given, "-o", out, "--json", code=3)
    topped = cardferry("inbox", inbox, *given, "-o", out, "--once", "--quiet-for", "0s", code=None)
    again = cardferry("retry", out, sample, *given, "--json", code=None)
    status = cardferry("status", out, "--json")
    before = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    cardferry("publish", out)
    assert before == {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    cardferry("verify", out, "--export", sample, *given)
    back = cardferry("readback", out, *given, "--json")
    cardferry("verify", out)
    ids = cardferry("export-mapping", out, "--format", "csv").out.splitlines()
    return {
        "first": (ran.json["this_run"]["rows"], ran.json["all_time"]["attach"]),
        "topped up": topped.code,
        "again": (again.code, again.json["all_time"]["balance"], again.json["all_time"]["attach"]),
        "status": {name: status.json[name] for name in ("states", "failures", "attach", "runs")},
        "read back": (back.json["held"], back.json["findings"]),
        "mapping": [line.split(",")[0] for line in ids],
        **{name: told(out, name) for name in ("mapping", "failures", "customers", "superseded")},
    }


@pytest.mark.slow
def test_a_migration_with_customers_comes_to_the_same_as_with_sqlite(tmp_path, monkeypatch):
    """Run, inbox, retry, status, publish, verify, readback and the mapping, in both stores."""
    found = {}
    for kind in ("sqlite", "postgresql"):
        if kind == "postgresql":
            monkeypatch.setenv(URL_NAME, postgres.server().url())
        folder = tmp_path / kind
        folder.mkdir()
        with running(customers=(demo.GIVEN_CUSTOMER,)) as vault:
            found[kind] = carried(folder, vault)

    assert (tmp_path / "postgresql" / "out" / POINTER_NAME).is_file()
    assert not list((tmp_path / "postgresql" / "out").glob("ledger.sqlite*"))
    assert found["sqlite"]["superseded"]
    assert found["postgresql"] == found["sqlite"]


@pytest.mark.parametrize("command", ["status", "publish", "verify", "readback"])
def test_a_folder_whose_url_is_not_to_be_found_says_which_variable_is_missing(tmp_path, command):
    """Exit code 7 and the variable's name; the folder is as it was."""
    (tmp_path / POINTER_NAME).write_text(
        '{"version":1,"url":{"env":"NOT_SET_ANYWHERE"},"schema":"cardferry_' + 32 * "0" + '"}'
    )
    (tmp_path / POINTER_NAME).chmod(0o600)
    more = ["-c", beside("configs") / "sandbox.toml"] if command == "readback" else []

    done = cardferry(command, tmp_path, *more, code=7)

    assert "NOT_SET_ANYWHERE is not set" in done.err
