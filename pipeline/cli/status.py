"""Runs `cardferry status DIR`: shows how far a migration is, or judges it; disturbs no run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.advice import command, doubt_words, rows, shown_path
from pipeline.cli.balance_tables import show_attached, show_failures
from pipeline.cli.durations import DURATION, duration
from pipeline.cli.folding import print_line
from pipeline.cli.options import folder_argument, json_option, pass_terminal
from pipeline.cli.waiting_words import give_again, that_wait
from pipeline.counts import agreeing, counted
from pipeline.errors import SUCCESSES, VaultUnavailable
from pipeline.outputs.wording import ending, left_out_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from pipeline.cli.advice import Step
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
    from pipeline.cli.status_steps import steps_of
    from pipeline.clock import SystemClock
    from pipeline.migration.status import status_of

    if max_age_s is not None and not check:
        raise click.UsageError("--max-age goes with --check")
    tree = status_of(folder, SystemClock())
    steps = list(steps_of(tree, folder))
    verdict = _verdict(tree, max_age_s, folder) if check else None
    code = verdict[0] if verdict else 0
    if as_json:
        told = {} if verdict is None else {"exit_code": code, "verdict": verdict[1]}
        terminal.print_json(tree | {"next": [step._asdict() for step in steps]} | told)
    elif verdict is None:
        _show(terminal, tree)
        _show_steps(terminal, steps)
    elif code or not terminal.quiet:
        print_line(terminal.out(), f"{folder}: {verdict[1]}")
    return code


def _verdict(tree: dict[str, Any], max_age_s: float | None, folder: Path) -> tuple[int, str]:
    """Give the exit code of --check and the one line that says why."""
    if (why := _why_it_waits(tree, max_age_s)) is not None:
        return _WAITS, why
    failures = sum(tree["failures"].values())
    if failures:
        open_ones = f"{counted(failures, 'failure')} {agreeing(failures, 'is', 'are')} open"
        publish = command("publish", shown_path(folder))
        listed = "" if tree["lists_are_current"] else f" once `{publish}` has written it"
        return _MUST_BE_MENDED, f"{open_ones}: look at failures.csv{listed}"
    return 0, _how_well(tree)


def _why_it_waits(tree: dict[str, Any], max_age_s: float | None) -> str | None:
    age_s = tree["last_success_age_s"]
    if tree["pending"]:
        return "; ".join(_waits(one, running=tree["running"]) for one in tree["waiting_exports"])
    if age_s is None:
        is_fine = max_age_s is None and _is_settled(tree)
        return None if is_fine else "no run has succeeded yet"
    if max_age_s is not None and age_s > max_age_s:
        return f"the last success was {duration(age_s)} ago, at {tree['last_success']}"
    return None


def _how_well(tree: dict[str, Any]) -> str:
    """Say that no row waits and none failed, and what the exit code does not speak of."""
    if refused := tree["refused"]:
        names = ", ".join(dict.fromkeys(export["name"] for export in refused))
        told = f"{counted(len(refused), 'export')} {agreeing(len(refused), 'was', 'were')} refused"
        return f"no row waits and no failure is open, but {told} and not taken since: {names}"
    if tree["last_success_age_s"] is None:
        return "no row waits and no failure is open; what waited was given up"
    return f"all is well; the last success was {duration(tree['last_success_age_s'])} ago"


def _is_settled(tree: dict[str, Any]) -> bool:
    """Tell whether the last run left nothing: one that gave up what waited is no success of a night."""
    return tree["last_run"] is not None and tree["last_run"]["exit_code"] in SUCCESSES


def _show_steps(terminal: Terminal, steps: Sequence[Step]) -> None:
    """Tell what can be done next, beside the result."""
    if steps:
        terminal.say("", "next:")
    for why, line in steps:
        terminal.say(f"  {why}{':' if line else ''}")
        if line is not None:
            terminal.say_command(line)


def _waits(export: dict[str, Any], *, running: bool) -> str:
    """Say that rows of an export wait; the run that is at work may have been given that file."""
    from pipeline.migration.run_account import WaitingExport

    waiting = WaitingExport(**export)
    return that_wait(waiting) if running and waiting.refused is None else give_again(waiting)


def _show(terminal: Terminal, tree: dict[str, Any]) -> None:
    out = terminal.out()
    for line in _how_it_goes(tree):
        print_line(out, line)
    for state, count in tree["states"].items():
        print_line(out, f"{state.replace('_', ' '):>18} {count:>12,}")
    print_line(out, f"{'rows':>18} {tree['rows']:>12,}")
    for line in _not_open(tree):
        print_line(out, line)
    if tree["carriers"] is not None:
        _show_carriers(out, tree["carriers"])
    for export in tree["waiting_exports"]:
        print_line(out, _waits(export, running=tree["running"]))
    for export in tree["refused"]:
        print_line(out, _refused(export))
    show_failures(out, tree["failures"])
    if tree["last_success"] is not None:
        print_line(out, f"last success: {tree['last_success']}")
    print_line(out, f"tokens that may exist unseen: at most {tree['unseen_tokens_max']:,}")
    show_attached(out, tree["attach"], tree["states"]["tokenized"])


def _how_it_goes(tree: dict[str, Any]) -> Iterator[str]:
    """Say how the run goes that is under way, or how the last one ended."""
    last = tree["last_run"]
    if tree["running"]:
        rate, left = tree["rows_per_s"], tree["seconds_left"]
        speed = (
            f" at {rate:,} {agreeing(rate, 'row', 'rows')} a second"
            if rate is not None
            else "; no answer yet"
        )
        rest = f", about {duration(left)} left" if left is not None else ""
        yield f"running{speed}{rest}"
    elif last is None:
        yield "no run has begun"
    elif not last["ended"]:
        yield "the last run died; run the same command again to go on"
        if doubt := tree["in_doubt"]:
            yield doubt_words(doubt["rows"], doubt["then"])
    else:
        code = last["exit_code"]
        yield f"not running; the last run ended with {code}: {ending(code)}{_what_is_left(tree)}"


def _what_is_left(tree: dict[str, Any]) -> str:
    """Say what earlier runs have left, which the end of the last one does not speak of."""
    waiting = tree["pending"]
    if not waiting or tree["last_run"]["exit_code"] not in SUCCESSES:
        return ""
    return f"; but {rows(waiting)} of other exports {agreeing(waiting, 'waits', 'wait')}"


def _not_open(tree: dict[str, Any]) -> Iterator[str]:
    """Tell of rows without a token of their own that nobody has to do anything about."""
    if tree["resolved"]:
        yield _resolved(tree["resolved"])
    if tree["left_out"]:
        yield left_out_words(tree["left_out"])


def _resolved(count: int) -> str:
    """Say why rows that failed are not open: nobody has to do anything about them."""
    are = agreeing(count, "is", "are")
    by = agreeing(count, "a later row moved its legacy id", "later rows moved their legacy ids")
    return f"{rows(count)} of those that failed or were rejected {are} mended: {by}"


def _refused(export: dict[str, Any]) -> str:
    digest = export["sha256"] or "unknown"
    return (
        f"{export['name']} was refused at {export['at']} and not taken since: {export['why']} "
        f"(SHA-256 {digest})"
    )


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
