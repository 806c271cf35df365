"""Runs `cardferry doctor -c CONFIG`: tries everything that a night needs, with a remedy a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.folding import folded
from pipeline.cli.options import json_option, pass_terminal, settings_options
from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cli.terminal import Terminal
    from pipeline.config.loading import ReadSettings
    from pipeline.migration.doctor_findings import DoctorFinding
    from pipeline.process_guards import GuardReport

_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red"}
_FIRST: Final = (7, 6, 5)
"""Which exit code is told where several apply: what has to be mended first."""


@click.command("doctor")
@settings_options
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Migration folder to try; default: the current folder.",
)
@json_option
@pass_terminal
def doctor(
    terminal: Terminal,
    config_file: Path | None,
    overrides: tuple[str, ...],
    folder: Path,
    *,
    as_json: bool,
) -> int:
    """Try everything that a night needs: settings, keys, folder, clock, vault, guards.

    Sends only harmless requests and leaves nothing behind. Each line has a verdict, and a remedy
    where there is something to do. A warning does not change the exit code.
    """
    from pipeline import process_guards
    from pipeline.config.loading import read_settings

    guards = process_guards.harden()
    found = read_settings(config_file, os.environ, overrides)
    findings: list[DoctorFinding] = []
    for each in _findings(found, folder, guards):
        remedy = each.remedy and terminal.pasteable(each.remedy)
        finding = each._replace(remedy=remedy)
        findings.append(finding)
        if not as_json:
            _show(terminal, finding)
    codes = {finding.exit_code for finding in findings}
    code = next((each for each in _FIRST if each in codes), 0)
    if as_json:
        terminal.print_json({"exit_code": code, "findings": [_tree(each) for each in findings]})
    return code


def _findings(found: ReadSettings, folder: Path, guards: GuardReport) -> Iterator[DoctorFinding]:
    from pipeline.cluster.doctor_cluster import cluster_findings
    from pipeline.migration.doctor import machine_findings
    from pipeline.migration.doctor_findings import failed
    from pipeline.migration.doctor_keys import export_keys, signing_key
    from pipeline.migration.doctor_ledger import ledger_findings

    for problem in found.problems:
        yield failed("settings", SettingsRefused([problem]))
    if not found.problems:
        yield _settings(found)
        yield from export_keys(found.settings, found.credentials)
        yield from signing_key(found.settings, found.credentials)
        yield from ledger_findings(found.settings, found.credentials, folder)
        yield from cluster_findings(found.settings)
    yield from machine_findings(found.settings, folder, guards)
    if not found.problems:
        from pipeline.clock import SystemClock
        from pipeline.migration.doctor_vault import vault_findings

        # With wrong settings it would not be known whom the key is shown to.
        yield from vault_findings(found.settings, found.credentials, SystemClock())


def _settings(found: ReadSettings) -> DoctorFinding:
    """Say that the settings are right, and of which file they are if they are of none."""
    from pipeline.migration.doctor_findings import ok, warning

    if found.is_from_file:
        return ok("settings", "every one is known and fits the others")
    return warning(
        "settings",
        "no settings file was named: built-in defaults and CARDFERRY_* variables count",
        "Give the file with -c.",
    )


def _show(terminal: Terminal, finding: DoctorFinding) -> None:
    """Show a line, and the remedy below it."""
    from rich.text import Text

    out = terminal.out()
    width = out.width if out.is_terminal else None
    lines = folded(f"{finding.check}: {finding.found}", width, "", " " * 9, 9)
    out.print(Text.assemble((f"{finding.health.value:<9}", _STYLES[finding.health]), lines[0]))
    for line in lines[1:]:
        out.print(Text(line))
    if finding.remedy:
        for line in folded(finding.remedy, width, " " * 9, " " * 9):
            out.print(Text(line))


def _tree(finding: DoctorFinding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "verdict": finding.health.value,
        "found": finding.found,
        "remedy": finding.remedy,
        "exit_code": finding.exit_code,
    }
