"""Defines the options that `run` and `retry` share, apart from what carries them out.

What carries them out loads half of all modules; who asks for help needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, settings_options, wait_lock_option

if TYPE_CHECKING:
    from pipeline.cli.options import Command

_limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Send at most this many rows now; default: all of them.",
)
_carriers_option = click.option(
    "--carriers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Start N carriers, which send in place of this process, and let others join "
    "(`cardferry carry`); needs a ledger in PostgreSQL.",
)
_cluster_option = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Have the workers of this Dask cluster start the carriers (tls://HOST:PORT), in place of "
    "cluster.address; needs a ledger in PostgreSQL.",
)
_no_cluster_option = click.option(
    "--no-cluster", is_flag=True, help="Carry here, whatever the settings say."
)
_yes_option = click.option(
    "-y",
    "--yes",
    is_flag=True,
    help="Do not ask before sending; without a terminal nothing ever asks.",
)


def run_options(command: Command) -> Command:
    """Give a command the settings, `-y`, `--json`, and what says how much is sent, when, by whom."""
    sending = (_no_cluster_option, _cluster_option, _carriers_option, _limit_option)
    for option in (json_option, _yes_option, wait_lock_option, *sending, settings_options):
        command = option(command)
    return command
