"""Runs `cardferry run EXPORT... -c CONFIG -o DIR`: carries exports into a migration folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.advice import Given
from pipeline.cli.options import exports_argument, pass_terminal
from pipeline.cli.run_options import run_options

if TYPE_CHECKING:
    from pipeline.cli.terminal import Terminal


@click.command("run")
@exports_argument
@run_options
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Migration folder; made if it is not there.",
)
@click.option(
    "--plan",
    "approved_plan",
    metavar="DIGEST",
    help="Send only if the plan is the one that `cardferry check` showed with this digest.",
)
@click.option(
    "--only",
    "cohort_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Send only the rows whose legacy ids stand in this file, one a line: a cohort.",
)
@click.option(
    "--within-inbox",
    is_flag=True,
    hidden=True,
    help="Leave telling monitors by HTTP, and people why it stopped, to the inbox that called.",
)
@click.option(
    "--sha256-beside",
    hidden=True,
    metavar="DIGEST",
    help="What the file beside the export says that its bytes are.",
)
@click.option("--no-attach", is_flag=True, help="Make tokens only; cards are attached later.")
@pass_terminal
def run(
    terminal: Terminal,
    exports: tuple[Path, ...],
    config_file: Path | None,
    overrides: tuple[str, ...],
    folder: Path,
    limit: int | None,
    *,
    approved_plan: str | None,
    cohort_file: Path | None,
    carriers: int | None,
    cluster: str | None,
    no_cluster: bool,
    no_attach: bool,
    wait_s: float,
    yes: bool,
    within_inbox: bool,
    sha256_beside: str | None,
    as_json: bool,
) -> int:
    """Carry exports into a migration folder.

    Every export is read twice: once to prove it and to plan every row, without a network, and
    once to send what was planned. Stop it or lose it at any moment: the same command goes on,
    and sends nothing twice that it can know of. Later exports may enter the same folder.
    """
    from pipeline.cli.launching import Launching, with_cluster
    from pipeline.cli.running import run_and_show
    from pipeline.migration.cohort_file import read_cohort
    from pipeline.migration.run_request import RunRequest

    del as_json
    terminal.tells_errors = not within_inbox
    only = None if cohort_file is None else read_cohort(cohort_file)
    overrides = with_cluster(overrides, cluster, no_cluster=no_cluster)
    given = Given(folder, exports, config_file, overrides)
    launching = Launching(terminal, given, carriers, limit, no_cluster)
    return run_and_show(
        terminal,
        given,
        lambda facts, settings: RunRequest(
            exports,
            folder,
            facts,
            limit=limit,
            wait_s=wait_s,
            approved_plan=approved_plan,
            only=only,
            sha256_beside=sha256_beside,
            no_attach=no_attach,
            launch=launching.launch(settings),
        ),
        ask=not yes,
        tells=not within_inbox,
        lacks=launching.lacks,
    )
