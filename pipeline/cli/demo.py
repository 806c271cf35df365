"""Runs `cardferry demo`: carries the sample through a sandbox vault of its own."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from pipeline import process_guards
from pipeline.cli.advice import Given, command, shown_path
from pipeline.cli.carrying import carry
from pipeline.cli.options import json_option, pass_terminal
from pipeline.cli.summary import show_ending
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.metrics import Listeners
from pipeline.migration import parts
from pipeline.migration.check import Asked, profile
from pipeline.migration.facts import facts_of
from pipeline.migration.job import Job
from pipeline.sandbox.options import Options
from pipeline.sandbox.serve import background
from pipeline.shipped import beside

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings

SAMPLE_NAME: Final = "cards.csv.pgp"
MODES_NAME: Final = "modes.csv.pgp"


@click.command("demo")
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Migration folder; default: a new one under the system's folder for temporary files.",
)
@json_option
@pass_terminal
def demo(terminal: Terminal, folder: Path | None, *, as_json: bool) -> int:
    """Carry the encrypted sample through a sandbox vault and show what became of every row.

    Needs no settings, no account and no network. The sample has bad rows on purpose, so the
    exit code is 3.
    """
    del as_json
    folder = folder or Path(tempfile.mkdtemp(prefix="cardferry-demo-"))
    held_guards = process_guards.harden()
    with background(Options()) as url:
        terminal.say(f"sandbox vault at {url}")
        overrides = [f'vault.url="{url}"']
        settings, credentials = load_settings(beside("configs") / "sandbox.toml", {}, overrides)
        facts = facts_of(held_guards, settings.audit.operator)
        job = Job([beside("sample_data") / SAMPLE_NAME], folder, facts)
        ending = carry(terminal, job, settings, credentials, ask=False)
    show_ending(terminal, ending, Given(folder))
    if not terminal.as_json and ending.trouble is None:
        _show_modes(terminal, settings, credentials)
        terminal.say("", "next:", f"  open {folder / 'report.html'}, the report for people")
        terminal.say("  check every digest and total:")
        terminal.say_command(command("verify", shown_path(folder)))
        terminal.say("  a migration of your own:")
        terminal.say_command(command("run", "--help"))
    return ending.exit_code


def _show_modes(terminal: Terminal, settings: Settings, credentials: Credentials) -> None:
    """Show the two codes that no vault on this machine can show: nothing is sent for them."""
    reading, out = parts.reading(settings), terminal.out()
    out.print(f"\n{MODES_NAME}, a second sample, only checked:", markup=False)
    for vault, changed in (
        ("against a live vault", replace(reading, livemode=True)),
        ("against a test vault elsewhere", replace(reading, loopback_vault=False)),
    ):
        sample = beside("sample_data") / MODES_NAME
        plan = profile(Asked([sample], changed), settings, credentials, SystemClock(), Listeners())
        words = ", ".join(f"{rows} {code}" for code, rows in plan["failures"].items())
        out.print(f"  {vault}: {plan['to_send']} would be sent, {words}", markup=False)
