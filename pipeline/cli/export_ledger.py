"""Runs `cardferry export-ledger DIR -o FILE`: a ledger that is elsewhere as one SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import folder_argument, pass_terminal

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal


@click.command("export-ledger")
@folder_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    required=True,
    help="The file to write (0600, whole or not at all); one that is there is not replaced.",
)
@pass_terminal
def export_ledger(terminal: Terminal, folder: Path, *, output: Path) -> int:
    """Write the ledger of FOLDER, such as one in PostgreSQL, into one SQLite file.

    Named `ledger.sqlite` in a copy of the folder, it lets `cardferry verify` check that copy
    anywhere, offline. It holds what the ledger holds: legacy ids, tokens and no card number.
    """
    from pipeline import process_guards
    from pipeline.clock import SystemClock
    from pipeline.migration.export_ledger import export_ledger as write

    process_guards.harden()
    head = write(folder, SystemClock(), output)
    terminal.say(f"{output}: the last event has the hash {head}")
    return 0
