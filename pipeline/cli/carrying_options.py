"""Defines the options that `run` and `retry` share, apart from what carries them out.

What carries them out loads half of all modules; who asks for help needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.cli.durations import DURATION
from pipeline.cli.options import json_option, settings_options

if TYPE_CHECKING:
    from pipeline.cli.options import Command

_limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Send at most this many rows now; default: all of them.",
)
_wait_lock_option = click.option(
    "--wait-lock",
    "wait_s",
    type=DURATION,
    default="0s",
    metavar="DURATION",
    help="Wait so long (90s, 15m) for another run of this migration to end.",
)
_yes_option = click.option(
    "-y",
    "--yes",
    is_flag=True,
    help="Do not ask before sending; without a terminal nothing ever asks.",
)


def carrying_options(command: Command) -> Command:
    """Give a command `-c`, `--set`, `--limit`, `--wait-lock`, `-y` and `--json`."""
    for option in (json_option, _yes_option, _wait_lock_option, _limit_option, settings_options):
        command = option(command)
    return command
