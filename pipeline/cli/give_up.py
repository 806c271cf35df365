"""Runs `cardferry give-up DIR EXPORT... --reason TEXT`: ends the wait for files that will not come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.advice import rows
from pipeline.cli.balance_tables import show_balance
from pipeline.cli.folding import print_line
from pipeline.cli.options import (
    folder_argument,
    json_option,
    pass_terminal,
    settings_options,
    wait_lock_option,
)
from pipeline.cli.summary import paths_in
from pipeline.counts import agreeing, counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.cli.terminal import Terminal
    from pipeline.migration.give_up import Abandoned, GivingUp

_REASON_LENGTH_MAX: Final = 200
_PLACEHOLDERS: Final = frozenset({"WHY", "TEXT", "REASON"})
"""Words that stand for a reason in help and in advice, and are none."""


def _reason(context: click.Context, parameter: click.Parameter, text: str | None) -> str:
    """Take a reason that may stand in a trail and in a report."""
    from pipeline.cards.detect import contains_pan

    if text is None or (reason := text.strip()) in _PLACEHOLDERS:
        raise click.UsageError(
            'nothing was given up: say why in a line, such as --reason "the sender has no copy"',
            context,
        )
    if not reason or len(reason) > _REASON_LENGTH_MAX or not reason.isprintable():
        raise click.BadParameter(
            f"give a line of at most {_REASON_LENGTH_MAX} characters", context, parameter
        )
    if contains_pan(reason):
        raise click.BadParameter("it holds a card number", context, parameter)
    return reason


@click.command("give-up")
@folder_argument
@click.argument("names", nargs=-1, required=True, metavar="EXPORT...")
@click.option(
    "--reason",
    callback=_reason,
    help="Why, in a line; it stands in the trail and in the report.  [required]",
)
@settings_options
@wait_lock_option
@json_option
@pass_terminal
def give_up(
    terminal: Terminal,
    folder: Path,
    names: tuple[str, ...],
    reason: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    *,
    wait_s: float,
    as_json: bool,
) -> int:
    """Give up exports of FOLDER whose rows wait for a file that will not come again, or that were refused.

    EXPORT is the name that `cardferry status` tells, or its SHA-256. Rows that wait are set aside as
    skipped, with the reason in the trail and in the report; nothing is sent. A row that may have a
    token that nobody saw is an open question at the vault: it is held, and listed among the failures
    (exit code 3), as is a token whose card may be on its customer or not. A run that is given the file
    after all takes the rows back.
    """
    from random import SystemRandom

    from pipeline import process_guards
    from pipeline.clock import SystemClock
    from pipeline.config.loading import load_settings
    from pipeline.ledger.records import GAVE_UP
    from pipeline.migration.give_up import give_up_exports
    from pipeline.migration.run_environment import paths_given, run_environment
    from pipeline.migration.run_request import RunRequest, Tools
    from pipeline.migration.status import status_of
    from pipeline.migration.watch import Watch

    held_guards = process_guards.harden()
    settings, credentials = load_settings(config_file, os.environ, overrides)
    abandoned = _found(status_of(folder, SystemClock()), names)
    facts = run_environment(held_guards, settings.audit.operator)
    facts |= paths_given((), config_file, are_settings_whole=not overrides)
    request = RunRequest((), folder, facts | {GAVE_UP: len(abandoned)}, wait_s=wait_s)
    tools = Tools(SystemClock(), SystemRandom(), long_work=terminal.long_work)
    ended = give_up_exports(request, (settings, credentials), tools, abandoned, reason)
    Watch(folder, settings.watch, None, carries=False).show()
    if as_json:
        terminal.print_json(_tree(ended, folder, reason))
    else:
        with terminal.results():
            _show(terminal, ended, folder)
    return ended.exit_code


def _found(tree: dict[str, Any], names: Sequence[str]) -> list[Abandoned]:
    """Find the exports that are named, among those that wait and those that were refused.

    Raises:
        click.UsageError: One is neither, or several have its name.
    """
    from pipeline.migration.give_up import Abandoned

    told = [*tree["waiting_exports"], *tree["refused"]]
    known = dict.fromkeys((export["name"], export["sha256"]) for export in told)
    found = []
    for name in dict.fromkeys(names):
        having = [one for one in known if name in one]
        if not having:
            raise click.UsageError(
                "nothing waits of an export that is named here, and none of that name stands refused; "
                "`cardferry status DIR` names those that do"
            )
        if len(having) > 1:
            raise click.UsageError(
                "several exports have one of these names; name each by its SHA-256, as "
                "`cardferry status DIR` tells it"
            )
        found += having
    return [Abandoned(*one) for one in dict.fromkeys(found)]


def _show(terminal: Terminal, ended: GivingUp, folder: Path) -> None:
    out = terminal.out()
    if ended.figures is not None:
        show_balance(out, ended.figures)
    for export, changed in ended.exports:
        told = f"{export.name}: given up, {rows(changed.rows)} set aside"
        if changed.held:
            it = agreeing(changed.held, "it", "each")
            told += f", {changed.held:,} held, as a token of {it} may exist unseen"
        if changed.unattached:
            cards = counted(changed.unattached, "card")
            told += f", {cards} failed, as nobody knows whether it is on its customer"
        print_line(out, told)
    print_line(out, f"files in {folder}")
    print_line(out, f"chain head {ended.chain_head}")


def _tree(ended: GivingUp, folder: Path, reason: str) -> dict[str, Any]:
    return {
        "exit_code": ended.exit_code,
        "run_id": ended.run_id,
        "folder": str(folder),
        "reason": reason,
        "exports": [
            {"name": export.name, "sha256": export.sha256, **changed._asdict()}
            for export, changed in ended.exports
        ],
        "balance": (ended.figures or {}).get("balance"),
        "chain_head": ended.chain_head,
        "paths": paths_in(folder) if ended.figures is not None else [],
    }
