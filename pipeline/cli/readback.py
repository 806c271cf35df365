"""Runs `cardferry readback DIR -c CONFIG`: compares the vault with what the mapping says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from pipeline.cli.folding import print_line
from pipeline.cli.options import (
    folder_argument,
    json_option,
    pass_terminal,
    settings_options,
    wait_lock_option,
)
from pipeline.counts import counted
from pipeline.errors import VerificationFailed

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cli.terminal import Terminal
    from pipeline.migration.readback import ReadBack


@click.command("readback")
@folder_argument
@click.option("--all", "everything", is_flag=True, help="Every card; the default for customers.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N cards, by chance, one request each; the default for tokens alone is 100.",
)
@settings_options
@wait_lock_option
@json_option
@pass_terminal
def readback(
    terminal: Terminal,
    folder: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    wait_s: float,
    *,
    everything: bool,
    sample: int | None,
    as_json: bool,
) -> int:
    """Read FOLDER's cards back from the vault, compare them, and write `readback.parquet`.

    Cards on customers come with lists of a hundred customers; a migration of tokens alone is read
    token by token. Nothing is changed at the vault. Stopped, the same command goes on. What it
    found is an event of the trail. Exit code 8 when a card is missing, is not what the mapping
    says, or is there with our mark and unknown to the ledger.
    """
    from random import SystemRandom

    from pipeline import process_guards
    from pipeline.clock import SystemClock
    from pipeline.config.loading import load_settings
    from pipeline.metrics import Listeners
    from pipeline.migration.readback import ReadbackRequest, read_back
    from pipeline.migration.run_request import Tools
    from pipeline.outputs.readback import READBACK_NAME

    if everything and sample is not None:
        raise click.UsageError("--all and --sample exclude each other")
    process_guards.harden()
    system = process_guards.system_facts()
    shown = [terminal.progress_lines()] if terminal.shows_progress else []
    found = read_back(
        folder,
        ReadbackRequest(sample, everything, wait_s),
        load_settings(config_file, os.environ, overrides),
        Tools(SystemClock(), SystemRandom(), Listeners(*shown), long_work=terminal.long_work),
        (system.login_user or system.user, f"{system.host}:{system.pid}"),
    )
    code = 0 if found.is_good else VerificationFailed.exit_code
    if as_json:
        terminal.print_json(_tree(folder, found, code) | {"written": READBACK_NAME})
        return code
    if not found.is_good:
        raise VerificationFailed(
            "the vault does not hold what the mapping says: " + _counted(found),
            next_step=f"{READBACK_NAME} names each of them; nothing was changed at the vault.",
        )
    for line in found_in_words(found):
        print_line(terminal.out(), line)
    return code


def _tree(folder: Path, found: ReadBack, code: int) -> dict[str, object]:
    return {
        "exit_code": code,
        "folder": str(folder),
        "held": found.held,
        "read": found.read,
        "sample": found.is_sample,
        "tokens": found.is_of_tokens,
        "requests": found.requests,
        "findings": found.findings,
        "differs_at_most": found.differs_at_most,
    }


def _counted(found: ReadBack) -> str:
    words = {"missing": "missing", "changed": "changed", "stranger": "unknown to the ledger"}
    kind = "token" if found.is_of_tokens else "card"
    told = [f"{found.findings[name]:,} {text}" for name, text in words.items()]
    return f"of {counted(found.read, kind)} read back, " + ", ".join(told)


def found_in_words(found: ReadBack) -> list[str]:
    """Say what reading back found."""
    if not found.is_good:
        return [_counted(found)]
    kind = "token" if found.is_of_tokens else "card"
    lines = [f"{found.read:,} of {counted(found.held, kind)} read back: all as the mapping says"]
    if found.is_sample and found.read:
        lines.append(
            f"so with 95 % confidence at most {found.differs_at_most:.2%} of all {kind}s differ"
        )
    return lines
