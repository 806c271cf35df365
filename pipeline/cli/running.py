"""Does what `run`, `retry` and `demo` share: settings, guards, the question, and the summary."""

from __future__ import annotations

import os
import sys
from random import SystemRandom
from typing import TYPE_CHECKING

import click

from pipeline import process_guards
from pipeline.cli.summary import say_next, show_ending, show_plan
from pipeline.clock import SystemClock
from pipeline.config.loading import read_settings
from pipeline.metrics import Listeners
from pipeline.migration.flow_log import FlowLog
from pipeline.migration.run import Run
from pipeline.migration.run_environment import paths_given, run_environment
from pipeline.migration.run_request import RunRequest, Tools
from pipeline.migration.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.config.credentials import Credentials
    from pipeline.config.loading import ReadSettings
    from pipeline.config.models import Settings
    from pipeline.migration.run_request import Ending, Plan


def watch_command(
    terminal: Terminal,
    found: ReadSettings,
    folder: Path,
    *,
    tells: bool = True,
    carries: bool = True,
) -> Watch:
    """Begin to show and tell monitors how a command goes; its end is told by itself.

    Args:
        terminal: Knows when the command has ended.
        found: The settings as far as they can be used: that they are wrong is told, too.
        folder: The migration folder.
        tells: Whether monitors are told by HTTP of this command.
        carries: Whether the command sends rows itself.
    """
    urls = (found.credentials.ping_url, found.credentials.notify_url) if tells else (None, None)
    messenger = None
    if any(urls):
        from pipeline.migration.messages import Messenger  # Few are told.

        messenger = Messenger(*urls)
    watch = Watch(folder, found.settings.watch, messenger, carries=carries)
    terminal.when_ended = watch.end
    watch.begin()
    return watch


def run_and_show(
    terminal: Terminal,
    given: Given,
    request: Callable[[dict[str, object], Settings], RunRequest],
    *,
    ask: bool,
    tells: bool = True,
    lacks: Callable[[ReadSettings], Iterable[str]] = lambda _found: (),
) -> int:
    """Carry out a run as the options say, show how it ended and what is next; give the exit code.

    Args:
        terminal: Where words go.
        given: The folder, exports and settings of the command line.
        request: Makes what is asked for of the facts about who runs it and where, and the settings.
        ask: Whether to ask before sending, where somebody can answer.
        tells: Whether monitors are told by HTTP of this run.
        lacks: Says what this run needs beyond settings that are right in themselves.

    Raises:
        CardferryError: The run could not begin or was stopped.
    """
    held_guards = process_guards.harden()
    found = read_settings(given.config_file, os.environ, given.overrides)
    watch = watch_command(terminal, found, given.folder, tells=tells)
    found._replace(problems=[*found.problems, *lacks(found)]).refuse()
    facts = run_environment(held_guards, found.settings.audit.operator)
    facts |= paths_given(given.exports, given.config_file, are_settings_whole=not given.overrides)
    asked = request(facts, found.settings)
    ending = perform_run(terminal, asked, found.settings, found.credentials, watch, ask=ask)
    with terminal.results():
        show_ending(terminal, ending, given)
    say_next(terminal, ending, given)
    return ending.exit_code


def perform_run(
    terminal: Terminal,
    request: RunRequest,
    settings: Settings,
    credentials: Credentials,
    watch: Watch | None = None,
    *,
    ask: bool,
) -> Ending:
    """Carry out a run with the machine's own clock, randomness and terminal."""
    interactive = sys.stdin.isatty() and sys.stderr.isatty() and not terminal.as_json

    def confirm(plan: Plan) -> bool:
        if not terminal.as_json:
            vault = f"{settings.vault.url} in {settings.vault.mode} mode"
            show_plan(terminal, plan, request.limit, vault)
        if not (ask and interactive):
            return True
        return click.confirm("Send these rows?", default=False, err=True)

    shown = [terminal.progress_lines()] if terminal.shows_progress else []
    watching = [] if watch is None else [watch]
    listeners = Listeners(*watching, *shown, FlowLog())
    tools = Tools(SystemClock(), SystemRandom(), listeners, confirm, terminal.long_work)
    return Run(request, settings, credentials, tools).perform()
