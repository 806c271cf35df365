"""Runs `cardferry publish DIR`: writes every output again from the ledger."""

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

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cli.terminal import Terminal


@click.command("publish")
@folder_argument
@click.option(
    "--restore",
    is_flag=True,
    help="Write over files that were changed or taken away since they were published, too. Without, "
    "they are named and nothing is written (exit 8); the trail of events tells of it.",
)
@settings_options
@wait_lock_option
@json_option
@pass_terminal
def publish(
    terminal: Terminal,
    folder: Path,
    config_file: Path | None,
    overrides: tuple[str, ...],
    wait_s: float,
    *,
    restore: bool,
    as_json: bool,
) -> int:
    """Write every output of FOLDER again from its ledger; the same bytes if nothing changed.

    With -c the manifest is signed again with `audit.signing_key`. Without, a signature stays
    where it still fits.
    """
    from random import SystemRandom

    from pipeline import process_guards
    from pipeline.cli.balance_tables import show_balance
    from pipeline.clock import SystemClock
    from pipeline.config.loading import load_settings
    from pipeline.migration.publish import publish_again
    from pipeline.migration.run_request import Tools
    from pipeline.outputs.signature import Signer

    process_guards.harden()
    system = process_guards.system_facts()
    operator, signer = system.login_user or system.user, None
    if config_file is not None or overrides:
        settings, credentials = load_settings(config_file, os.environ, overrides)
        operator = settings.audit.operator or operator
        signer = Signer.of(credentials)
    who = (operator, f"{system.host}:{system.pid}")
    tools = Tools(SystemClock(), SystemRandom(), long_work=terminal.long_work)
    figures = publish_again(folder, tools, signer, who, restore=restore, wait_s=wait_s)
    if as_json:
        terminal.print_json(
            {
                "folder": str(folder),
                "signed_by": signer.fingerprint if signer else None,
                "verdict": figures["verdict"],
                "balance": figures["balance"],
                "unseen_tokens_max": figures["unseen_tokens_max"],
            }
        )
    else:
        show_balance(terminal.out(), figures)
        print_line(terminal.out(), f"files in {folder}")
    return 0
