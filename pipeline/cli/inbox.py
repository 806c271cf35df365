"""Runs `cardferry inbox FOLDER -c CONFIG -o DIR`: carries every finished export in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.advice import Given
from pipeline.cli.durations import DURATION
from pipeline.cli.options import (
    folder_argument,
    json_option,
    pass_terminal,
    settings_options,
    wait_lock_option,
)

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal


@click.command("inbox")
@folder_argument
@settings_options
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Migration folder; made if it is not there.",
)
@click.option("--once", is_flag=True, help="Look once and end; this is the default.")
@click.option(
    "--every",
    "every_s",
    type=DURATION,
    help="Look again and again, with so much time between, until stopped.",
)
@click.option(
    "--quiet-for",
    "quiet_s",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long a file without a .done or .sha256 beside it must have been left alone.",
)
@wait_lock_option
@json_option
@pass_terminal
def inbox(
    terminal: Terminal,
    folder: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    out: Path,
    *,
    every_s: float | None,
    quiet_s: float,
    wait_s: float,
    once: bool,
    as_json: bool,
) -> int:
    """Carry every finished export that lies in FOLDER, oldest first.

    An export is finished when NAME.done lies beside it, when the digest in NAME.sha256 is its own,
    or when nobody has touched it for a while. Each is carried by a process of its own. One that
    is refused goes into FOLDER/refused with its reason beside it; carried ones stay, go into
    FOLDER/done or are removed (`watch.inbox_done`), once the outputs are published.
    """
    from pipeline.cli.inbox_looks import carry_inbox

    del as_json
    if once and every_s is not None:
        raise click.UsageError("--once and --every exclude each other")
    given = Given(out, (), config_file, overrides, folder, quiet_s)
    return carry_inbox(terminal, given, wait_s=wait_s, every_s=every_s)
