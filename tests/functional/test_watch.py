"""What monitors see of a run: metrics in a file and on a port, pings, and a message at the end."""

import json
import socket
import stat
import subprocess
import time
import urllib.request
from http.client import HTTPException

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.crash import zygote
from tests.support.monitor import listening, metrics
from tests.support.programs import require
from tests.support.sandbox import running

BAD = b"id-90,Holder,4242,12,2031,Bangkok,cus\n"
WATCH = ('[watch]\nping_url = { env = "PING" }', 'notify_url = { env = "NOTIFY" }')


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Night:
    """One run with 429s and a bad row, cut by --limit, and what it left and told."""

    def __init__(self, root):
        self.folder = root / "out"
        with running(faults="9.9......") as vault, listening() as monitor:
            self.export = sealed(root, rows_csv(12) + BAD)
            config = settings(root, vault.base_url, *WATCH)
            done = cardferry(
                *("run", self.export, "-c", config, "-o", self.folder, "--json", "--limit", "10"),
                environment={"PING": monitor.url, "NOTIFY": monitor.url + "/mail"},
                code=4,
            )
        self.json, self.err = done.json, done.err
        self.text = (self.folder / "metrics.prom").read_text()
        self.metrics = metrics(self.text)
        self.report = json.loads((self.folder / "report.json").read_text())
        self.told, self.bodies = monitor.told, monitor.bodies


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return Night(tmp_path_factory.mktemp("night"))


def test_prometheus_own_check_accepts_the_file(night):
    """`promtool check metrics` has no complaint of names, units, help or order."""
    done = subprocess.run(
        [require("promtool"), "check", "metrics"],
        input=night.text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_the_metrics_are_those_of_the_report_and_of_the_run(night):
    """Rows, answers, refusals, waiting rows and unseen tokens say the same in all three."""
    found, report, this_run = night.metrics, night.report, night.json["this_run"]
    answers = {key[1]: n for key, n in found.items() if key[0] == "cardferry_run_answers"}
    rows = {key[1]: n for key, n in found.items() if key[0] == "cardferry_rows"}

    assert report["states"] == rows
    assert report["attempts"]["by_outcome"] == answers
    assert this_run["throttled"] == found["cardferry_run_refusals",] == answers["throttled"] > 0
    assert this_run["retries"] == found["cardferry_run_retries",]
    assert this_run["waiting"] == found["cardferry_rows_waiting", night.export.name] == 2
    assert report["unseen_tokens_max"] == found["cardferry_tokens_unseen_max",]
    assert 0 == found["cardferry_cards_unseen_max",]
    assert night.json["exit_code"] == found["cardferry_last_exit_code",] == 4
    assert ("cardferry_last_success_timestamp_seconds",) not in found
    assert this_run["sent"] == found["cardferry_vault_latency_seconds_count",]
    assert found["cardferry_commit_seconds_sum",] > 0


def test_the_file_in_the_folder_is_private(night):
    """Mode 0600, as every file of a migration; `verify` takes no offence at it."""
    assert 0o600 == stat.S_IMODE((night.folder / "metrics.prom").stat().st_mode)
    cardferry("verify", night.folder)


def test_the_monitor_is_told_start_and_failure_and_gets_the_json(night):
    """In that order; the message is the object that `--json` prints, and no address is logged."""
    base = "/ping/secret-id"

    assert [f"GET {base}/start", f"GET {base}/fail", f"POST {base}/mail"] == night.told
    assert [night.json] == night.bodies
    assert "secret-id" not in night.err


def test_a_run_without_anything_new_counts_as_a_success(tmp_path):
    """Its moment is shown and kept by a later refusal, whose exit code is shown beside it."""
    target = tmp_path / "node" / "cardferry.prom"
    target.parent.mkdir()
    lines = (f'[watch]\nmetrics_file = "{target}"',)
    with running() as vault:
        export = sealed(tmp_path, rows_csv(2))
        config = settings(tmp_path, vault.base_url, *lines)
        words = ("run", export, "-c", config, "-o", tmp_path / "out")
        cardferry(*words)
        first = metrics(target.read_text())
        cardferry(*words, "--set", "rules.max_rows=oops", code=7)
        refused = metrics(target.read_text())

    success = first["cardferry_last_success_timestamp_seconds",]
    assert abs(success - time.time()) < 60
    assert success == refused["cardferry_last_success_timestamp_seconds",]
    assert (0, 7) == (first["cardferry_last_exit_code",], refused["cardferry_last_exit_code",])
    assert 2 == refused["cardferry_rows", "tokenized"]
    assert 0o644 == stat.S_IMODE(target.stat().st_mode)


@pytest.mark.slow
def test_what_cannot_be_told_fails_no_run(tmp_path):
    """A port that is taken, a folder that is not there, a monitor that is down: exit code 0."""
    lines = (
        f'[watch]\nmetrics_file = "{tmp_path}/nowhere/x.prom"',
        'ping_url = { env = "PING" }',
    )
    with running() as vault, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = settings(tmp_path, vault.base_url, *lines)
        done = cardferry(
            *("run", sealed(tmp_path, rows_csv(1)), "-c", config, "-o", tmp_path / "out"),
            *("--set", f"watch.metrics_port={taken.getsockname()[1]}"),
            environment={"PING": "http://127.0.0.1:1/x"},
        )

    assert 1 == done.err.count("the metrics port could not be opened")
    assert 1 == done.err.count("the metrics file could not be written")
    assert 2 == done.err.count("a monitor was not reached")


def _seen(run, port):
    """Give all metrics that a port serves until a run has ended."""
    seen = []
    while not run.has_ended():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                seen.append(metrics(answer.read().decode()))
        except (OSError, HTTPException):
            # Not there yet, or gone in the middle of an answer.
            pass
        time.sleep(0.02)
    return seen


def _waiting(found):
    return {key[1]: rows for key, rows in found.items() if key[0] == "cardferry_rows_waiting"}


def test_rows_that_a_run_is_to_send_do_not_wait_while_it_is_under_way(tmp_path):
    """However long it takes; those of other exports do, and those beyond its limit."""
    port = free_port()
    first = sealed(tmp_path, rows_csv(8), "first.csv.pgp")
    second = sealed(tmp_path, rows_csv(30, first=9), "second.csv.pgp")
    with running(latency_s=0.04) as vault:
        config = settings(tmp_path, vault.base_url, "in_flight_max = 1")
        words = ("-c", config, "-o", tmp_path / "out", "-q")
        cardferry("run", first, *words, "--limit", "3", code=4)
        served = ("--set", f"watch.metrics_port={port}")
        run = zygote().start("run", second, *words, "--limit", "25", *served)
        seen = _seen(run, port)
        last = zygote().start("run", first, second, *words, *served)
        seen_last = _seen(last, port)

    assert (4, 0) == (run.wait().code, last.wait().code)
    sending = [found for found in seen if ("cardferry_rows", "planned") in found]
    assert {"first.csv.pgp": 5, "second.csv.pgp": 5} == _waiting(sending[0])
    sending = [found for found in seen_last if ("cardferry_rows", "planned") in found]
    assert 10 == sending[0]["cardferry_rows", "planned"] + sending[0]["cardferry_rows", "sent"]
    assert {} == _waiting(sending[0])


def test_metrics_are_served_while_rows_are_sent(tmp_path):
    """The port shows rows moving on from planned to tokenized, and is closed afterwards."""
    port = free_port()
    lines = (f"in_flight_max = 1\n[watch]\nmetrics_port = {port}",)
    with running(latency_s=0.04) as vault:
        config = settings(tmp_path, vault.base_url, *lines)
        words = ["run", sealed(tmp_path, rows_csv(30)), "-c", config, "-o", tmp_path / "out", "-q"]
        run = zygote().start(*words)
        seen = _seen(run, port)

    assert 0 == run.wait().code
    rows = [found for found in seen if ("cardferry_rows", "planned") in found]
    moving = [found["cardferry_rows", "tokenized"] for found in rows]
    assert any(0 < n < 30 for n in moving)
    assert sorted(moving) == moving
    states = ("planned", "sent", "tokenized")
    assert {30} == {sum(found["cardferry_rows", state] for state in states) for found in rows}


@pytest.mark.parametrize("key", ["ping_url", "notify_url"])
def test_an_address_that_is_none_is_refused_with_the_settings(tmp_path, key):
    """Exit code 7 names the setting and does not repeat what stands there."""
    config = settings(tmp_path, "http://127.0.0.1:1", f'[watch]\n{key} = {{ env = "X" }}')
    done = cardferry(
        *("run", "x", "-c", config, "-o", tmp_path / "out"),
        environment={"X": "htp:/secret"},
        code=7,
    )

    assert f"watch.{key}: does not hold an http or https URL" in done.err
    assert "secret" not in done.err
