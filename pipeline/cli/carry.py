"""Runs `cardferry carry -c CONFIG`: one of the carriers of a run whose ledger is in PostgreSQL."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, pass_terminal, settings_options
from pipeline.counts import counted

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal


@click.command("carry")
@click.argument("exports", nargs=-1, type=click.Path(path_type=Path), metavar="[EXPORT]...")
@settings_options
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The migration, by its folder or a copy of its ledger.json; default: the one run that "
    "hands rows out in the database.",
)
@click.option(
    "--ledger",
    metavar="NAME",
    help="The migration, by the name of its ledger in the database, as in ledger.json.",
)
@click.option(
    "--until-input-ends",
    is_flag=True,
    help="Drain and leave when standard input is closed, as by a launcher that dies.",
)
@json_option
@pass_terminal
def carry(
    terminal: Terminal,
    exports: tuple[Path, ...],
    config_file: Path | None,
    overrides: tuple[str, ...],
    folder: Path | None,
    ledger: str | None,
    *,
    until_input_ends: bool,
    as_json: bool,
) -> int:
    """Carry rows of a run on another machine, beside any number of others.

    Joins a `cardferry run --carriers N` whose ledger is in PostgreSQL, takes chunks of its rows until
    none is free, and leaves. Stop it or lose it at any moment: others take its rows over. Its
    settings must mean what the run's mean; pace and retries are the run's, shared by all carriers.
    Exports are looked for where the run read them, unless they, or a folder that holds them under
    their names, are named here.
    """
    from random import SystemRandom
    from threading import Thread

    from pipeline import process_guards
    from pipeline.clock import SystemClock
    from pipeline.config.loading import read_settings
    from pipeline.metrics import Listeners
    from pipeline.migration.carrier import Carrier
    from pipeline.migration.flow_log import FlowLog
    from pipeline.migration.run_environment import run_environment
    from pipeline.migration.run_ledger import shared_ledger_place
    from pipeline.migration.run_request import Tools

    if folder is not None and ledger is not None:
        raise click.UsageError("-o and --ledger exclude each other")
    held = process_guards.harden()
    found = read_settings(config_file, os.environ, overrides)
    found.refuse()
    place = shared_ledger_place(found.settings, found.credentials, folder, ledger)
    if until_input_ends:
        Thread(target=_end_with_input, name="input", daemon=True).start()
    tools = Tools(SystemClock(), SystemRandom(), Listeners(FlowLog()))
    carrier = Carrier(found.settings, found.credentials, tools, place, exports)
    session = carrier.carry(run_environment(held, found.settings.audit.operator))
    flow = carrier.flow
    if as_json:
        terminal.print_json({"session": session, "sent": flow.sent, "settled": flow.settled})
    else:
        terminal.say(
            f"carrier {session}: {counted(flow.settled, 'row')} settled, {flow.sent:,} sent"
        )
    return 0


def _end_with_input() -> None:
    """Stop this process as a signal would once its input is closed."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
