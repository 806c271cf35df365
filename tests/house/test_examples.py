"""The shipped examples: what a scheduler, a container and a monitor are given under `configs/`."""

import importlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pipeline.cli.commands import COMMANDS, cardferry
from pipeline.cluster.carrier_task import WORDS_NAME
from pipeline.cluster.connection import RESOURCE
from pipeline.metrics import Flow
from pipeline.outputs.metrics_file import MigrationMetrics, Standing
from tests.support.programs import require

CONFIGS = Path(__file__).parents[2] / "configs"
ALERTS = CONFIGS / "monitoring" / "cardferry-alerts.yml"
DASHBOARD = CONFIGS / "monitoring" / "cardferry-dashboard.json"
SITUATIONS = {
    # What the metrics say, minute by minute, and which alert must then stand.
    "CardferryNightMissed": {"cardferry_last_success_timestamp_seconds": "0x1700"},
    "CardferryMustBeLookedAt": {"cardferry_last_exit_code": "8x1700"},
    "CardferrySettingsOrExportRefused": {"cardferry_last_exit_code": "6x1700"},
    "CardferryExportStaysRefused": {"cardferry_exports_refused": "2x1700"},
    "CardferryRowsWait": {"cardferry_rows_waiting": "110x1700"},
    "CardferryTokensUnseen": {"cardferry_tokens_unseen_max": "0x1600 3x100"},
    "CardferryVaultRefuses": {
        "cardferry_run_answers": "100x1700",
        "cardferry_run_refusals": "40x1700",
    },
}
HEALTHY = {
    "cardferry_last_success_timestamp_seconds": "0+60x1700",
    "cardferry_last_exit_code": "0x1700",
    "cardferry_rows_waiting": "0x1700",
    "cardferry_exports_refused": "0x1700",
    "cardferry_tokens_unseen_max": "3x1700",
    "cardferry_run_answers": "0+100x1700",
    "cardferry_run_refusals": "0+1x1700",
}


def _labels(metric, migration):
    """Give the labels of a series as a scrape leaves it: ours, and those that Prometheus adds."""
    ours = {
        "cardferry_rows_waiting": 'export="a.csv.pgp",',
        "cardferry_run_answers": 'class="made",',
    }
    return f'{ours.get(metric, "")}migration="{migration}",instance="10.0.0.7:9100",job="node"'


def _metrics_asked(text):
    return set(re.findall(r"cardferry_\w+", text))


def _standing(folder):
    """Ask promtool which alerts stand after 28 hours, for a migration in each situation.

    Gives pairs of alert and migration.
    """
    names = [rule["alert"] for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]]
    test = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f"{metric}{{{_labels(metric, migration)}}}", "values": values}
                    for migration, series in {**SITUATIONS, "Healthy": HEALTHY}.items()
                    for metric, values in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": "28h", "alertname": name, "exp_alerts": []} for name in names
                ],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(test))
    command = [require("promtool"), "test", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # No alert is expected, so each that stands is told as a failure, with its labels.
    told = done.stdout + done.stderr
    stands = re.findall(r'Labels:\{alertname="(\w+)",.* migration="(\w+)"', told)
    assert len(stands) == told.count("Labels:{"), told
    return sorted(stands)


def test_each_alert_stands_exactly_when_it_should(tmp_path):
    """Prometheus itself judges: each situation's alert stands, and no other; a healthy one is silent."""
    assert sorted((alert, alert) for alert in SITUATIONS) == _standing(tmp_path)


def test_the_dashboard_asks_for_what_the_alerts_know():
    """Every metric of the alerts has a panel, and no panel is without a question."""
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    wanted = _metrics_asked(" ".join(rule["expr"] for rule in rules))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = "".join(target["expr"] for panel in panels for target in panel["targets"])

    assert all(panel["targets"] for panel in panels)
    assert wanted <= _metrics_asked(asked)


def test_alerts_and_dashboard_ask_for_metrics_that_are_told():
    """Every name that they use is one of `metrics.prom`, of a run that has attempts behind it."""
    shown = MigrationMetrics("out")
    shown.follow(Standing({}, {"a.csv.pgp": 1}, 0, 0, 0, 1.0, 0), Flow())
    families = list(text_string_to_metric_families(shown.text().decode()))
    told = {f.name for f in families} | {s.name for f in families for s in f.samples}
    for file in (ALERTS, DASHBOARD):
        asked = _metrics_asked(re.sub(r"# .*", "", file.read_text()))

        assert asked <= told, file.name


def test_the_systemd_units_are_valid():
    """Systemd's own check complains of nothing but the program that is not installed here."""
    units = sorted(map(str, (CONFIGS / "systemd").iterdir()))
    command = [require("systemd-analyze"), "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if line.startswith("cardferry") and "is not executable" not in line
    ]

    assert [] == complaints


def _command_lines():
    service = (CONFIGS / "systemd" / "cardferry-inbox.service").read_text()
    yield from re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
    crontab = (CONFIGS / "cron" / "crontab").read_text()
    yield from re.findall(r"^\d.*\*\s+(/\S+/cardferry .*)$", crontab, re.MULTILINE)
    pod = yaml.safe_load((CONFIGS / "kubernetes" / "cronjob.yaml").read_text())
    container = pod["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    yield shlex.join(["cardferry", *container["args"]])
    built = (CONFIGS / "container" / "Containerfile").read_text()
    yield from re.findall(r"cardferry (cardferry demo .*)$", built, re.MULTILINE)


@pytest.mark.parametrize("line", list(_command_lines()))
def test_every_command_line_of_the_examples_is_understood(tmp_path, line):
    """The options and commands that the examples use are the program's."""
    settings = tmp_path / "production.toml"
    settings.touch()
    words = shlex.split(line.partition("cardferry ")[2])
    arguments = [
        str(settings if word.endswith(".toml") else tmp_path) if word.startswith("/") else word
        for word in words
    ]
    arguments = [word.replace("/settings/production.toml", str(settings)) for word in arguments]

    assert words[0] in COMMANDS
    cardferry.get_command(None, words[0]).make_context(words[0], arguments[1:]).close()


def _dask_commands():
    """Give what the examples of a cluster start: by file, Dask's command and its words."""
    for document in yaml.safe_load_all((CONFIGS / "kubernetes" / "cluster.yaml").read_text()):
        if document["kind"] == "Deployment":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            yield pytest.param(container["command"][1:], id=f"kubernetes {container['name']}")
    script = (CONFIGS / "slurm" / "workers.sbatch").read_text().replace("\\\n", " ")
    (worker,) = re.findall(r"^exec \S+/dask (.*)$", script, re.MULTILINE)
    yield pytest.param(shlex.split(worker), id="slurm")
    told = (CONFIGS.parent / "README.md").read_text()
    (tls,) = re.findall(r"^tls='(.*)'$", told, re.MULTILINE)
    for line in re.findall(r"^dask (.*)$", told.replace("$tls", tls), re.MULTILINE):
        words = shlex.split(line, comments=True)
        yield pytest.param(words, id=f"README {words[0]}")


@pytest.mark.parametrize("words", list(_dask_commands()))
def test_every_dask_command_of_the_examples_is_understood(tmp_path, words):
    """Dask's own command line knows the options; each worker offers to start carriers without a nanny."""
    command = importlib.import_module(f"distributed.cli.dask_{words[0]}").main
    file = tmp_path / "file.pem"
    file.touch()
    # They have to be there.
    words = [re.sub(r"(^|=)[\w/]*\.?(pem|key)$", rf"\1{file}", word) for word in words]
    with command.make_context(words[0], words[1:]) as context:
        given = context.params

    assert given["tls_key"]
    assert not given["dashboard"]
    if words[0] == "worker":
        assert (given["resources"], given["nanny"]) == (f"{RESOURCE}=1", False)
        assert given["scheduler"].startswith("tls://")
    else:
        assert given["protocol"] == "tls"


def test_the_words_that_workers_are_given_are_those_of_a_carrier():
    """What the examples write into `CARDFERRY_CARRY` is a command line of `carry`."""
    files = ("kubernetes/cluster.yaml", "slurm/workers.sbatch", "../README.md")
    found = [
        words
        for name in files
        for words in re.findall(
            rf"{WORDS_NAME}(?:, value: |=)[\"']([^\"']+)", (CONFIGS / name).read_text()
        )
    ]

    assert len(found) == len(files)
    for words in found:
        option, settings, folder = shlex.split(words)
        assert (option, Path(settings).name) == ("-c", "worker.toml")
        assert folder.endswith("/exports")
