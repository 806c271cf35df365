"""`cardferry doctor` tries what a night needs, and says of each thing what to do about it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.config.models import Settings
from pipeline.migration.doctor import file_system_of
from pipeline.migration.doctor_vault import _certificate, _clock, _key
from pipeline.sandbox.accounts import pair_keys
from pipeline.vault.probe import Probe
from pipeline.vault.transport.tls import Peer
from tests.support.commands import cardferry, settings
from tests.support.sandbox import running

NOW = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)


class Clock:
    def now(self):
        return NOW


def _verdicts(told):
    return {finding["check"]: finding["verdict"] for finding in told["findings"]}


def test_a_machine_that_is_ready_is_told_so(tmp_path):
    """Keys open, the vault and its API answer, both keys are accepted, and nothing is left behind."""
    with running() as vault:
        attach = f'[attach]\nurl = "{vault.base_url}"\nsecret_key = {{ env = "SKEY" }}'
        config = settings(tmp_path, vault.base_url, attach)
        config.write_text(config.read_text().replace("pkey_test_x", vault.public_key))
        before = sorted(tmp_path.iterdir())
        told = cardferry(
            *("doctor", "-c", config, "-o", tmp_path / "out", "--json"),
            *("--set", "export.columns.customer=legacy_customer_id"),
            environment={"SKEY": vault.secret_key},
        ).json

    verdicts = _verdicts(told)
    wanted = {"settings", "export.key", "folder", "room", "descriptors", "vault", "API"}
    wanted |= {"vault.public_key", "attach.secret_key", "clock against the vault's", "account"}
    assert {"ok"} == {verdicts[check] for check in wanted}
    assert before == sorted(tmp_path.iterdir())


def test_what_has_to_be_mended_is_told_with_a_remedy(tmp_path):
    """A refused key of the vault and a vault that is gone: a line each, and the code of the worst."""
    with running(accounts=pair_keys(("pkey_test_other",), ())) as vault:
        config = settings(tmp_path, vault.base_url, key="locked")
        refused = cardferry("doctor", "-c", config, code=7)
        gone = vault.base_url
    unreachable = cardferry("doctor", "-c", settings(tmp_path, gone), "--json", code=5).json

    assert "failed   vault.public_key: is refused by" in refused.out
    assert "Take the key that the vault's dashboard shows" in refused.out
    assert "failed   export.key:" in refused.out
    assert "failed" == _verdicts(unreachable)["vault"]


def test_wrong_settings_are_told_and_no_vault_is_asked(tmp_path):
    """With them nobody knows whom a key would be shown to; the machine is tried all the same."""
    config = settings(tmp_path, "http://127.0.0.1:1", "[watch]\nmetrics_port = -1")
    told = cardferry("doctor", "-c", config, "--json", code=7).json

    verdicts = _verdicts(told)
    assert "failed" == verdicts["settings"]
    assert {"folder", "memory guards"} <= set(verdicts)
    assert not {"vault", "export.key"} & set(verdicts)


def _probe(status=404, seconds=0, days=90, body=b"{}"):
    not_after = (NOW + timedelta(days=days)).strftime("%b %d %H:%M:%S %Y GMT")
    date = None if seconds is None else format_datetime(NOW - timedelta(seconds=seconds))
    return Probe("host:443", status, date, Peer("TLSv1.3", "x", not_after), body)


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(0, "ok"), (59, "ok"), (-61, "failed"), (3600, "failed"), (None, "warning")],
)
def test_a_clock_that_is_off_is_found(seconds, verdict):
    """More than a minute either way fails; an answer without a date is told."""
    assert verdict == _clock("vault", _probe(seconds=seconds), Clock()).health


@pytest.mark.parametrize(("days", "verdict"), [(31, "ok"), (3, "warning")])
def test_a_certificate_that_ends_soon_is_told(days, verdict):
    """A month ahead, so that somebody can ask."""
    [finding] = _certificate("vault", _probe(days=days), Clock())

    assert verdict == finding.health


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (404, b"{}", "ok"),
        (200, b'{"livemode": false}', "ok"),
        (200, b'{"livemode": true}', "failed"),
        (401, b"{}", "failed"),
        (503, b"", "warning"),
        (429, b"", "warning"),
    ],
)
def test_a_key_is_judged_by_what_the_vault_makes_of_it(status, body, verdict):
    """Refused or of the other world fails; a vault that is busy says nothing about a key."""
    assert verdict == _key("vault.public_key", _probe(status, body=body), Settings()).health


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path):
    """The longest place that the folder is under counts, and of two the later."""
    mounts = f"/dev/a / ext4 rw\nhost:/x {tmp_path} nfs4 rw\nfoo {tmp_path}x tmpfs rw\n"

    assert "nfs4" == file_system_of(tmp_path, mounts)
    assert "xfs" == file_system_of(tmp_path, mounts + f"/dev/b {tmp_path} xfs rw\n")
    assert file_system_of(tmp_path, "") is None
