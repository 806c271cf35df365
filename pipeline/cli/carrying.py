"""Does what `run`, `retry` and `demo` share: settings, guards, the question, and the summary."""

from __future__ import annotations

import os
import sys
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import click

from pipeline import process_guards
from pipeline.cli.durations import DURATION
from pipeline.cli.live_progress import Lines
from pipeline.cli.summary import say_next, show_ending, show_plan
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.logs import EventLog
from pipeline.metrics import Listeners
from pipeline.migration.run import Job, Run, Tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.cli.terminal import Terminal
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.migration.run import Ending

log = EventLog("cli")

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Send at most this many rows now; default: all of them.",
)
wait_lock_option = click.option(
    "--wait-lock",
    "wait_s",
    type=DURATION,
    default="0s",
    metavar="DURATION",
    help="Wait so long (90s, 15m) for another run of this migration to end.",
)
yes_option = click.option(
    "-y",
    "--yes",
    is_flag=True,
    help="Do not ask before sending; without a terminal nothing ever asks.",
)


def carry_and_show(
    terminal: Terminal,
    exports: Sequence[Path],
    config_file: Path | None,
    overrides: Sequence[str],
    folder: Path,
    *,
    limit: int | None = None,
    ask: bool = True,
    again: Sequence[str] | None = None,
    held: bool = False,
    wait_s: float = 0.0,
) -> int:
    """Carry exports as the options say, show how it ended and what is next; give the exit code.

    Raises:
        CardferryError: The run could not begin or was stopped.
    """
    held_guards = process_guards.harden()
    settings, credentials = load_settings(config_file, os.environ, overrides)
    facts = facts_of(held_guards, settings.audit.operator)
    job = Job(exports, folder, facts, limit, again, held, wait_s)
    ending = carry(terminal, job, settings, credentials, ask=ask)
    with terminal.results():
        show_ending(terminal, ending, folder)
    say_next(terminal, ending, folder)
    return ending.exit_code


def carry(
    terminal: Terminal, job: Job, settings: Settings, credentials: Credentials, *, ask: bool
) -> Ending:
    """Carry a job with the machine's own clock, randomness and terminal."""
    interactive = sys.stdin.isatty() and sys.stderr.isatty() and not terminal.as_json

    def confirm(plan: Callable[[], dict[str, Any]]) -> bool:
        if not terminal.quiet and not terminal.as_json:
            vault = f"{settings.vault.url} in {settings.vault.mode} mode"
            show_plan(terminal, plan(), job.limit, vault)
        if not (ask and interactive):
            return True
        return click.confirm("Send these rows?", default=False, err=True)

    listener = Listeners() if terminal.quiet else Lines(sys.stderr)
    return Run(
        job, settings, credentials, Tools(SystemClock(), SystemRandom(), listener, confirm)
    ).carry_out()


def facts_of(held: process_guards.GuardReport, operator: str | None) -> dict[str, object]:
    """Give who runs this, where, and which memory guards held."""
    system = process_guards.system_facts()
    leaky = process_guards.leaky_environment()
    if leaky:
        log.warning("the environment makes libraries print more", variables=len(leaky))
    return {
        "operator": operator or system.login_user or system.user,
        "user": system.user,
        "host": system.host,
        "pid": system.pid,
        "python": system.python,
        "terminal": system.terminal,
        "scheduler": system.scheduler,
        "guards": held.as_dict(),
        "leaky_environment": list(leaky),
    }
