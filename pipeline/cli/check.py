"""Runs `cardferry check EXPORT... -c CONFIG`: pass 1 alone; sends nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import (
    exports_argument,
    json_option,
    pass_terminal,
    require_other_file,
    settings_options,
)
from pipeline.errors import ExportRefused

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal

_PAPER = click.Path(dir_okay=False, path_type=Path)


@click.command("check")
@exports_argument
@settings_options
@json_option
@click.option(
    "--failures",
    type=_PAPER,
    metavar="FILE",
    help="Write the rows that would fail, with the columns of failures.csv.",
)
@click.option("--html", type=_PAPER, metavar="FILE", help="Write the profile as a page.")
@pass_terminal
def check(
    terminal: Terminal,
    exports: tuple[Path, ...],
    config_file: Path | None,
    overrides: tuple[str, ...],
    failures: Path | None,
    html: Path | None,
    *,
    as_json: bool,
) -> int:
    """Open, prove and profile exports, and say what a run would send and how long it takes.

    Nothing is sent, no key of the vault is needed, and nothing is written but the files that are
    asked for. The plan's digest is what `run --plan` insists on. Exit code 3 when some rows would
    be rejected, 6 when a run would refuse the exports.
    """
    from pipeline import process_guards
    from pipeline.cli.profile_view import show_profile
    from pipeline.clock import SystemClock
    from pipeline.config.loading import load_settings
    from pipeline.metrics import Listeners
    from pipeline.migration.check import CheckRequest, profile

    process_guards.harden()
    for option, paper in (("--failures", failures), ("--html", html)):
        require_other_file(option, paper, (*exports, config_file))
    settings, credentials = load_settings(config_file, os.environ, overrides, only="export")
    listener = Listeners() if terminal.quiet else terminal.progress_lines()
    asked = CheckRequest(exports, failures=failures, page=html)
    figures = profile(asked, settings, credentials, SystemClock(), listener)
    refusal = figures["refusal"]
    code = ExportRefused.exit_code if refusal else 3 if figures["failures"] else 0
    if as_json:
        error = {"error": refusal} if refusal else {}
        terminal.print_json({"exit_code": code, **figures, **error})
    else:
        show_profile(terminal.out(), figures)
    if refusal:
        terminal.tell_stop(
            ExportRefused(refusal, next_step="Mend the export or the rules; look at --failures.")
        )
    return code
