"""Runs `cardferry check EXPORT... -c CONFIG`: pass 1 alone; sends and leaves nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from pipeline import process_guards
from pipeline.cli.live_progress import Lines
from pipeline.cli.options import exports_argument, json_option, pass_terminal, settings_options
from pipeline.cli.summary import duration, show_failures
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.metrics import Listeners
from pipeline.migration.check import profile

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cli.terminal import Terminal


@click.command("check")
@exports_argument
@settings_options
@json_option
@pass_terminal
def check(
    terminal: Terminal,
    exports: tuple[Path, ...],
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Open, prove and validate exports, and say what a run would send and how long it takes.

    Nothing is sent and nothing is written. Exit code 3 when some rows would be rejected.
    """
    process_guards.harden()
    settings, credentials = load_settings(config_file, os.environ, overrides)
    listener = Listeners() if terminal.quiet else Lines(sys.stderr)
    plan = profile(exports, settings, credentials, SystemClock(), listener)
    if as_json:
        terminal.print_json({"exit_code": 3 if plan["failures"] else 0, **plan})
    else:
        _show(terminal, plan)
    return 3 if plan["failures"] else 0


def _show(terminal: Terminal, plan: dict[str, Any]) -> None:
    out = terminal.out()
    for export in plan["exports"]:
        out.print(f"{export['name']}: {export['size']:,} bytes", markup=False)
        out.print(f"  sha256 {export['sha256']}", markup=False)
    for title, mix in (("brands", plan["brands"]), ("expiring in", plan["expiration_years"])):
        if mix:
            words = ", ".join(f"{name} {count:,}" for name, count in mix.items())
            out.print(f"{title}: {words}", markup=False)
    show_failures(out, plan["failures"])
    if plan["left_out"]:
        words = ", ".join(f"{name} {count:,}" for name, count in plan["left_out"].items())
        out.print(f"left out, as they cannot be used: {words}", markup=False)
    out.print(
        f"{plan['rows']:,} rows: {plan['to_send']:,} would be sent, {plan['rejected']:,} rejected",
        markup=False,
    )
    out.print(
        f"sending takes about {duration(plan['seconds_at_rate'])} "
        f"at {plan['rate_per_s']:g} a second",
        markup=False,
    )
