"""Runs `cardferry export-mapping DIR`: the mapping for systems that read no Parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from pipeline.cli.options import folder_argument, pass_terminal, require_other_file
from pipeline.counts import counted

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal

_FORMATS: Final = ("csv", "jsonl", "stripe", "sql")


@click.command("export-mapping")
@folder_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    required=True,
    help="csv, one JSON object a line, Stripe's mapping of cards (its CSV, or its JSON where FILE "
    "ends with .json), or a table and a COPY for psql.",
)
@click.option(
    "--since",
    metavar="RUN",
    help="Only what the runs after this one added, replaced or resolved, with the token that was "
    "replaced.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this file (0600, whole or not at all); default: standard output.",
)
@pass_terminal
def export_mapping(
    terminal: Terminal, folder: Path, *, form: str, since: str | None, output: Path | None
) -> int:
    """Write the mapping of FOLDER in the terms of another system, each legacy id once.

    Values stand as they are: open the CSV with a program, not with a spreadsheet.
    """
    from pipeline import process_guards
    from pipeline.clock import SystemClock
    from pipeline.disk import write_atomically
    from pipeline.ledger.ledger_url import LEDGER_NAME
    from pipeline.ledger.publications import MANIFEST_NAME, SIGNATURE_NAME
    from pipeline.migration.export_mapping import export_mapping as write
    from pipeline.outputs.files import OPTIONAL_NAMES, OUTPUT_NAMES
    from pipeline.outputs.mapping_formats import MappingFormat

    process_guards.harden()
    chosen, clock = MappingFormat(form), SystemClock()
    if output is None:
        with terminal.results():
            write(folder, clock, sys.stdout.buffer, chosen, since)
            sys.stdout.buffer.flush()
        return 0
    if chosen is MappingFormat.STRIPE and output.suffix.lower() == ".json":
        chosen = MappingFormat.STRIPE_JSON
    own = (LEDGER_NAME, MANIFEST_NAME, SIGNATURE_NAME, *OUTPUT_NAMES, *OPTIONAL_NAMES)
    require_other_file("-o", output, [folder / name for name in own])
    with terminal.long_work("writing the mapping"), write_atomically(output) as file:
        rows = write(folder, clock, file, chosen, since)
    terminal.say(f"{counted(rows, 'row')} in {output}")
    return 0
