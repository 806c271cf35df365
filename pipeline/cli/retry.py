"""Runs `cardferry retry DIR EXPORT... -c CONFIG`: plans failures again and carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.advice import Given
from pipeline.cli.options import exports_argument, folder_argument, pass_terminal
from pipeline.cli.run_options import run_options
from pipeline.failure_codes import FAILURE_CODES, Code

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cli.terminal import Terminal

_RETRYABLE = [
    code.code.value
    for code in FAILURE_CODES.values()
    if code.retryable or code.code in {Code.VAULT_REJECTED, Code.CUSTOMER_UNLOCATED}
]


@click.command("retry")
@folder_argument
@exports_argument
@run_options
@click.option(
    "--code",
    "codes",
    type=click.Choice(_RETRYABLE),
    multiple=True,
    help="Only rows that failed with this code; repeat it.",
)
@click.option("--held", is_flag=True, help="Held rows too: a second token may then exist for them.")
@click.option(
    "--unattached",
    is_flag=True,
    help="Attach the cards of tokens, too, that earlier runs of tokens alone made.",
)
@pass_terminal
def retry(
    terminal: Terminal,
    folder: Path,
    exports: tuple[Path, ...],
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    codes: tuple[str, ...],
    limit: int | None,
    carriers: int | None,
    cluster: str | None,
    no_cluster: bool,
    held: bool,
    unattached: bool,
    wait_s: float,
    yes: bool,
    as_json: bool,
) -> int:
    """Plan retryable failures of FOLDER again and carry them.

    The card numbers are read again from the encrypted exports, never from a report.
    """
    from pipeline.cli.launching import Launching, with_cluster
    from pipeline.cli.running import run_and_show
    from pipeline.migration.run_request import RunRequest

    del as_json
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
            again=codes,
            held=held,
            unattached=unattached,
            wait_s=wait_s,
            launch=launching.launch(settings),
        ),
        ask=not yes,
        lacks=launching.lacks,
    )
