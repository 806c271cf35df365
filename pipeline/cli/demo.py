"""Runs `cardferry demo`: carries the sample through a sandbox vault of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, pass_terminal

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal


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

    A later top-up goes with it, every card comes to its customer, and all are read back.

    Needs no settings, no account and no network. The sample has bad rows on purpose, so the
    exit code is 3.
    """
    from pipeline.cli.demo_steps import carry_sample

    del as_json
    return carry_sample(terminal, folder)
