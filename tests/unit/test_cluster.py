"""What a cluster needs of settings and machine, and what its workers do with a carrier."""

import json
import sys
import threading
from types import SimpleNamespace

import click
import pytest
import trustme

from pipeline.cli.launching import Launching, with_cluster
from pipeline.cluster import requirements
from pipeline.cluster.carrier_task import carried, carry_command
from pipeline.cluster.requirements import cluster_problems
from pipeline.config.loading import load_settings, read_settings
from pipeline.errors import SettingsRefused
from tests.support.commands import cardferry, settings
from tests.support.dask_cluster import certify

LOOPBACK = ('vault.url="http://127.0.0.1:9"', "vault.public_key=pkey_test_x")
LEDGER = ('ledger.url={ env = "LEDGER" }',)


def loaded(*overrides, path=None):
    return load_settings(path, {"LEDGER": "postgresql:///x"}, (*LOOPBACK, *overrides))[0]


def named(files):
    names = ("ca_file", "cert_file", "key_file")
    return [f"cluster.{name}={path}" for name, path in zip(names, files, strict=True)]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("tcp://127.0.0.1:8786", None),
        ("tcp://[::1]:8786", None),
        ("tcp://localhost:8786", None),
        ("tls://10.1.2.3:8786", "is tls://, which needs ca_file, cert_file, key_file as well"),
        ("tcp://10.1.2.3:8786", "is plain tcp to a host that is not loopback; use tls://"),
        ("tcp://scheduler:8786", "is plain tcp to a host that is not loopback; use tls://"),
        ("scheduler:8786", "is not tls://HOST:PORT, the address of a Dask scheduler"),
        ("tls://scheduler", "is not tls://HOST:PORT, the address of a Dask scheduler"),
        ("tls://scheduler:port", "is not tls://HOST:PORT, the address of a Dask scheduler"),
        ("tls://[scheduler:8786", "is not tls://HOST:PORT, the address of a Dask scheduler"),
        ("ws://127.0.0.1:8786", "is not tls://HOST:PORT, the address of a Dask scheduler"),
        ("tls://user@scheduler:8786", "is not tls://HOST:PORT, the address of a Dask scheduler"),
        ("inproc://127.0.0.1:1/2", "is not tls://HOST:PORT, the address of a Dask scheduler"),
    ],
)
def test_a_scheduler_is_spoken_to_over_tls_unless_it_is_on_this_machine(address, problem):
    """Whoever could read along could run code on every worker, so plain tcp is for loopback alone."""
    if problem is None:
        assert address == loaded(f"cluster.address={address}").cluster.address
        return
    with pytest.raises(SettingsRefused) as refused:
        loaded(f"cluster.address={address}")

    assert refused.value.problems == (f"cluster.address: {problem}",)


def test_files_of_a_cluster_are_looked_for_beside_the_settings(tmp_path):
    """As every other file is that settings name."""
    path = tmp_path / "settings.toml"
    path.write_text('[cluster]\nca_file = "ca.pem"\ncert_file = "a"\nkey_file = "b"\n')

    cluster = loaded("cluster.address=tls://a:1", path=path).cluster

    assert cluster.ca_file == tmp_path / "ca.pem"


def test_a_cluster_whose_certificates_are_sound_lacks_nothing(tmp_path):
    """With a ledger in PostgreSQL, Dask installed, and three files that belong together."""
    files = certify(trustme.CA(), tmp_path, "run")

    assert [] == list(cluster_problems(loaded("cluster.address=tls://a:1", *named(files), *LEDGER)))


def test_certificates_that_are_none_or_of_another_key_are_told_of(tmp_path):
    """Each file by its setting, and without a word of what is in it."""
    ca, cert, _ = certify(trustme.CA(), tmp_path, "run")
    *_, other = certify(trustme.CA(), tmp_path, "other")
    nothing = tmp_path / "nothing"
    nothing.write_text("no certificate")
    address = "cluster.address=tls://a:1"

    swapped = list(cluster_problems(loaded(address, *named((nothing, cert, other)), *LEDGER)))
    other.chmod(0o644)
    open_key = list(cluster_problems(loaded(address, *named((ca, cert, other)), *LEDGER)))

    (of_ca, of_pair) = swapped
    assert of_ca == "cluster.ca_file: holds no certificate in PEM"
    assert of_pair.startswith("cluster.cert_file, cluster.key_file: are no certificate and its")
    assert open_key == ["cluster.key_file: the file may be read by others; run chmod 600 on it"]


def test_a_machine_without_dask_says_what_to_install(monkeypatch):
    """The extra is optional, and its absence is a problem among the others."""
    monkeypatch.setattr(requirements, "find_spec", lambda _name: None)

    problems = list(cluster_problems(loaded("cluster.address=tcp://127.0.0.1:1")))

    assert problems == [
        "ledger.url: carriers of a cluster need a ledger in PostgreSQL",
        'cluster.address: Dask is not installed here; run pip install "cardferry[dask]"',
    ]


def test_a_run_tells_all_that_it_lacks_at_once_and_makes_nothing(tmp_path):
    """Exit code 7 before the export is read: settings, ledger and every file of the cluster."""
    files = [f'{name} = "gone.pem"' for name in ("ca_file", "cert_file", "key_file")]
    config = settings(tmp_path, "http://127.0.0.1:9", "in_flight_max = 0", "[cluster]", *files)
    export, out = tmp_path / "cards.csv.pgp", tmp_path / "out"

    said = cardferry(
        "run", export, "-c", config, "-o", out, "--cluster", "tls://10.1.2.3:8786", code=7
    ).err

    assert "flow.in_flight_max: must be" in said
    assert "ledger.url: carriers of a cluster need a ledger in PostgreSQL" in said
    for name in ("ca_file", "cert_file"):
        assert f"cluster.{name}: names a file that is not there" in said
    assert "cluster.key_file: the file cannot be read" in said
    assert not list(out.glob("ledger*"))


def test_what_an_address_lacks_is_told_beside_what_the_machine_lacks():
    """A cluster that is named badly is still one that is to carry; with --no-cluster nobody asks."""
    found = read_settings(None, {}, (*LOOPBACK, "cluster.address=scheduler"))
    asked = {flag: Launching(None, None, None, None, no_cluster=flag) for flag in (False, True)}

    assert list(asked[False].lacks(found)) == [
        "ledger.url: carriers of a cluster need a ledger in PostgreSQL"
    ]
    assert list(asked[True].lacks(found)) == []


def test_a_limit_goes_with_no_carriers():
    """None knows how much the others have sent; without the cluster of the settings it is kept."""
    by_cluster = loaded("cluster.address=tcp://127.0.0.1:1", "cluster.carriers=3")

    with pytest.raises(click.UsageError, match="--limit does not go with --carriers"):
        Launching(None, None, 2, 10, no_cluster=False)
    with pytest.raises(click.UsageError, match="add --no-cluster to carry here"):
        Launching(None, None, None, 10, no_cluster=False).launch(by_cluster)
    assert Launching(None, None, None, 10, no_cluster=True).launch(by_cluster) is None
    assert Launching(None, None, None, None, no_cluster=False).launch(by_cluster).count == 3
    assert Launching(None, None, 2, None, no_cluster=False).launch(by_cluster).count == 2
    assert Launching(None, None, 2, None, no_cluster=True).launch(by_cluster).count == 2
    with pytest.raises(click.UsageError, match="exclude each other"):
        with_cluster((), "tls://a:1", no_cluster=True)


def test_a_carrier_is_told_the_ledger_and_everything_else_by_its_own_machine():
    """The machine's words come last, so that they win; quotes that do not end are refused."""
    command = carry_command(
        "cardferry_1", "/w/log", "-c '/etc/my cards.toml' --log-file /x /exports"
    )

    assert command[4:] == [
        *("carry", "--log-file", "/w/log", "--until-input-ends", "--json"),
        *("--ledger", "cardferry_1", "-c", "/etc/my cards.toml", "--log-file", "/x", "/exports"),
    ]
    with pytest.raises(SettingsRefused, match="CARDFERRY_CARRY: a quote in it does not end"):
        carry_command("cardferry_1", "/w/log", "-c 'x")


STAND_IN = """
import json, sys
sys.stdin.read()
print(json.dumps({"error": "let go", "next_step": "nothing"}))
sys.exit(5)
"""


def test_a_worker_that_closes_lets_its_carrier_drain_and_waits_for_it():
    """The carrier's input ends, as it would had the worker been killed; its words come back."""
    worker = SimpleNamespace(status=SimpleNamespace(name="running"))
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(carried([sys.executable, "-c", STAND_IN], worker))
    )
    waiting.start()
    waiting.join(1)
    assert waiting.is_alive()
    worker.status.name = "closing_gracefully"
    waiting.join(60)

    (answer,) = found
    assert (answer.exit_code, answer.error, answer.next_step) == (5, "let go", "nothing")
    assert json.loads(json.dumps(answer)) == list(answer)
