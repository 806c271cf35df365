"""Runs `cardferry status DIR`: shows how far a migration is, or judges it; disturbs no run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.advice import give_again
from pipeline.cli.durations import DURATION
from pipeline.cli.options import folder_argument, json_option, pass_terminal
from pipeline.cli.results_console import print_line
from pipeline.cli.summary import duration, show_attached, show_failures
from pipeline.clock import SystemClock
from pipeline.counts import agreeing, counted
from pipeline.errors import VaultUnavailable
from pipeline.migration.run_account import WaitingExport
from pipeline.migration.status import status_of
from pipeline.outputs.wording import ending

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pipeline.cli.terminal import Terminal

_MUST_BE_MENDED, _WAITS = 3, VaultUnavailable.exit_code


@click.command("status")
@folder_argument
@click.option(
    "--check",
    is_flag=True,
    help="End with 3 for open failures, with 4 for rows that wait or no recent success, else 0.",
)
@click.option(
    "--max-age",
    "max_age_s",
    type=DURATION,
    metavar="DURATION",
    help="With --check: how old the last success may be, such as 26h.",
)
@json_option
@pass_terminal
def status(
    terminal: Terminal, folder: Path, *, check: bool, max_age_s: float | None, as_json: bool
) -> int:
    """Show counts by state, the rate, the time left and the open questions of FOLDER.

    A success is a run that settled every row of its exports, good or bad (exit code 0 or 3).
    """
    if max_age_s is not None and not check:
        raise click.UsageError("--max-age goes with --check")
    tree = status_of(folder, SystemClock())
    verdict = _verdict(tree, max_age_s) if check else None
    code = verdict[0] if verdict else 0
    if as_json:
        told = {} if verdict is None else {"exit_code": code, "verdict": verdict[1]}
        terminal.print_json(tree | told)
    elif verdict is None:
        _show(terminal, tree)
    elif code or not terminal.quiet:
        print_line(terminal.out(), f"{folder}: {verdict[1]}")
    return code


def _verdict(tree: dict[str, Any], max_age_s: float | None) -> tuple[int, str]:
    """Give the exit code of --check and the one line that says why."""
    age_s, failures = tree["last_success_age_s"], sum(tree["failures"].values())
    if tree["pending"]:
        return _WAITS, "; ".join(map(_waits, tree["waiting_exports"]))
    if age_s is None:
        return _WAITS, "no run has succeeded yet"
    if max_age_s is not None and age_s > max_age_s:
        return _WAITS, f"the last success was {duration(age_s)} ago, at {tree['last_success']}"
    if failures:
        open_ones = f"{counted(failures, 'failure')} {agreeing(failures, 'is', 'are')} open"
        return _MUST_BE_MENDED, f"{open_ones}: look at failures.csv"
    return 0, f"all is well; the last success was {duration(age_s)} ago"


def _waits(export: dict[str, Any]) -> str:
    return give_again(WaitingExport(**export))


def _show(terminal: Terminal, tree: dict[str, Any]) -> None:
    out = terminal.out()
    last = tree["last_run"]
    if tree["running"]:
        rate, left = tree["rows_per_s"], tree["seconds_left"]
        speed = (
            f" at {rate:,} {agreeing(rate, 'row', 'rows')} a second"
            if rate is not None
            else "; no answer yet"
        )
        rest = f", about {duration(left)} left" if left is not None else ""
        print_line(out, f"running{speed}{rest}")
    elif last is None:
        print_line(out, "no run has begun")
    elif not last["ended"]:
        print_line(out, "the last run died; run the same command again to go on")
    else:
        code = last["exit_code"]
        print_line(out, f"not running; the last run ended with {code}: {ending(code)}")
    for state, count in tree["states"].items():
        print_line(out, f"{state.replace('_', ' '):>18} {count:>12,}")
    print_line(out, f"{'rows':>18} {tree['rows']:>12,}")
    if tree["carriers"] is not None:
        _show_carriers(out, tree["carriers"])
    for export in tree["waiting_exports"]:
        print_line(out, _waits(export))
    show_failures(out, tree["failures"])
    if tree["last_success"] is not None:
        print_line(out, f"last success: {tree['last_success']}")
    print_line(out, f"tokens that may exist unseen: at most {tree['unseen_tokens_max']:,}")
    show_attached(out, tree["attach"], tree["states"]["tokenized"])


def _show_carriers(out: Console, carriers: dict[str, Any]) -> None:
    chunks = carriers["chunks"]
    print_line(
        out,
        f"chunks: {chunks['done']:,} of {chunks['all']:,} done, {chunks['taken']:,} taken, "
        f"{chunks['free']:,} free",
    )
    for session in carriers["sessions"]:
        held = f", {counted(session['chunks'], 'chunk')}, {counted(session['slots'], 'slot')}"
        why = f": {session['trouble']}" if session["trouble"] else ""
        print_line(
            out,
            f"carrier {session['id']} at {session['origin']}: {session['state']}"
            f"{held if session['state'] == 'live' else ''}, {session['sent']:,} sent{why}",
        )
