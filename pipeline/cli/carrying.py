"""Does what `run`, `retry` and `demo` share: settings, guards, the question, and the summary."""

from __future__ import annotations

import os
import sys
from random import SystemRandom
from typing import TYPE_CHECKING

import click

from pipeline import process_guards
from pipeline.cli.durations import DURATION
from pipeline.cli.live_progress import Lines
from pipeline.cli.options import json_option, settings_options
from pipeline.cli.summary import say_next, show_ending, show_plan
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.metrics import Listeners
from pipeline.migration.facts import facts_of
from pipeline.migration.flow_log import FlowLog
from pipeline.migration.job import Job, Tools
from pipeline.migration.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.advice import Given
    from pipeline.cli.options import Command
    from pipeline.cli.terminal import Terminal
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.migration.job import Ending, Plan

_limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Send at most this many rows now; default: all of them.",
)
_wait_lock_option = click.option(
    "--wait-lock",
    "wait_s",
    type=DURATION,
    default="0s",
    metavar="DURATION",
    help="Wait so long (90s, 15m) for another run of this migration to end.",
)
_yes_option = click.option(
    "-y",
    "--yes",
    is_flag=True,
    help="Do not ask before sending; without a terminal nothing ever asks.",
)


def carrying_options(command: Command) -> Command:
    """Give a command `-c`, `--set`, `--limit`, `--wait-lock`, `-y` and `--json`."""
    for option in (json_option, _yes_option, _wait_lock_option, _limit_option, settings_options):
        command = option(command)
    return command


def carry_and_show(
    terminal: Terminal, given: Given, job: Callable[[dict[str, object]], Job], *, ask: bool
) -> int:
    """Carry exports as the options say, show how it ended and what is next; give the exit code.

    Args:
        terminal: Where words go.
        given: The folder, exports and settings of the command line.
        job: Makes the job from the facts about who runs it and where.
        ask: Whether to ask before sending, where somebody can answer.

    Raises:
        CardferryError: The run could not begin or was stopped.
    """
    held_guards = process_guards.harden()
    settings, credentials = load_settings(given.config_file, os.environ, given.overrides)
    asked = job(facts_of(held_guards, settings.audit.operator))
    ending = carry(terminal, asked, settings, credentials, ask=ask)
    with terminal.results():
        show_ending(terminal, ending, given)
    say_next(terminal, ending, given)
    return ending.exit_code


def carry(
    terminal: Terminal, job: Job, settings: Settings, credentials: Credentials, *, ask: bool
) -> Ending:
    """Carry a job with the machine's own clock, randomness and terminal."""
    interactive = sys.stdin.isatty() and sys.stderr.isatty() and not terminal.as_json

    def confirm(plan: Plan) -> bool:
        if not terminal.as_json:
            vault = f"{settings.vault.url} in {settings.vault.mode} mode"
            show_plan(terminal, plan, job.limit, vault)
        if not (ask and interactive):
            return True
        return click.confirm("Send these rows?", default=False, err=True)

    shown = [Lines(sys.stderr)] if terminal.shows_progress else []
    listeners = Listeners(*shown, FlowLog())
    return Run(
        job, settings, credentials, Tools(SystemClock(), SystemRandom(), listeners, confirm)
    ).carry_out()
