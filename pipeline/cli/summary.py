"""Shows a plan, an ending or a state in a few readable lines, or as one JSON object."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from pipeline.cli.live_progress import duration
from pipeline.model import FAILURE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from pipeline.cli.terminal import Terminal
    from pipeline.migration.run import Ending

__all__ = ["duration", "say_next", "show_balance", "show_ending", "show_failures", "show_plan"]

_CODES_NAMED = 3


def show_plan(terminal: Terminal, plan: dict[str, Any], limit: int | None, vault: str) -> None:
    """Tell what would be sent where and how long it takes, on standard error."""
    now = plan["to_send"] if limit is None else min(limit, plan["to_send"])
    terminal.say(
        f"{plan['rows']:,} rows: {plan['to_send']:,} to send, {plan['rejected']:,} rejected, "
        f"{plan['already_tokenized']:,} already tokenized"
    )
    if plan["failures"]:
        terminal.say(f"not sent: {_codes(plan['failures'])}")
    terminal.say(
        f"{now:,} go to {vault},",
        f"in about {duration(now / plan['rate_per_s'])} at {plan['rate_per_s']:g} a second",
    )


def _codes(failures: dict[str, int]) -> str:
    """Name the commonest codes and say how many others there are."""
    common = sorted(failures.items(), key=lambda item: -item[1])[:_CODES_NAMED]
    words = ", ".join(f"{rows:,} {code}" for code, rows in common)
    others = len(failures) - len(common)
    return f"{words} and {others} more code{'s' if others > 1 else ''}" if others else words


def show_ending(terminal: Terminal, ending: Ending, folder: Path) -> None:
    """Show how a run ended: JSON on request, else the balance, the files, and what stopped it."""
    if terminal.as_json:
        terminal.print_json(_ending_tree(ending, folder))
    elif ending.figures is not None:
        out = terminal.out()
        terminal.say("")
        show_balance(out, ending.figures)
        out.print(f"files in {folder}", markup=False)
    if ending.trouble is not None:
        # What stopped the run comes last, where the eye rests.
        terminal.tell_stop(ending.trouble)


def say_next(terminal: Terminal, ending: Ending, folder: Path) -> None:
    """Tell the operator what can be done next with a folder as the run left it."""
    if terminal.as_json or ending.trouble is not None or ending.figures is None:
        return
    steps = list(_next_steps(ending.figures, folder))
    terminal.say("", "next:", *(f"  {step}" for step in steps), always=ending.exit_code != 0)


def _next_steps(figures: dict[str, Any], folder: Path) -> Iterator[str]:
    balance, quoted = figures["balance"], quote(str(folder))
    if balance["pending"]:
        yield f"run the same command again to go on    ({balance['pending']:,} left)"
    if balance["failed"]:
        yield (
            f"cardferry retry {quoted} EXPORT -c CONFIG    "
            f"({balance['failed']:,} failed; those that can be retried are sent again)"
        )
    if balance["held"]:
        yield (
            f"cardferry retry {quoted} EXPORT -c CONFIG --held    "
            f"({balance['held']:,} held; a second token may then exist for them)"
        )
    if balance["rejected"]:
        yield (
            f"look at {folder / 'failures.csv'}, have the rows corrected, run the new export into "
            f"the same folder    ({balance['rejected']:,} rejected)"
        )
    yield f"read {folder / 'report.html'}; check the files with: cardferry verify {quoted}"


def _ending_tree(ending: Ending, folder: Path) -> dict[str, Any]:
    figures = ending.figures or {}
    tree: dict[str, Any] = {
        "exit_code": ending.exit_code,
        "run_id": ending.run_id,
        "folder": str(folder),
        "balance": figures.get("balance"),
        "failures": {item["code"]: item["rows"] for item in figures.get("failures", ())},
        "unseen_tokens_max": figures.get("unseen_tokens_max"),
    }
    if ending.trouble is not None:
        tree["error"] = ending.trouble.message
        tree["next_step"] = ending.trouble.next_step
    return tree


def show_balance(out: Console, figures: dict[str, Any]) -> None:
    """Show the balance as a sum that visibly adds up, the failures by code, and the verdict."""
    balance = figures["balance"]
    table = _table("what became of the rows")
    for name in (
        *("tokenized", "rejected", "failed", "held", "skipped", "already_tokenized", "pending"),
    ):
        table.add_row(name.replace("_", " "), f"{balance[name]:,}")
    table.add_section()
    table.add_row("rows in the exports", f"{balance['rows']:,}")
    table.add_row("difference", f"{balance['difference']:,}")
    _print_table(out, table)
    show_failures(out, {item["code"]: item["rows"] for item in figures["failures"]})
    if not figures["failures"]:
        out.print()
    out.print(figures["verdict"]["sentence"], markup=False, soft_wrap=not out.is_terminal)
    unseen = figures["unseen_tokens_max"]
    out.print(f"tokens that may exist unseen: at most {unseen:,}", markup=False)
    out.print()


def show_failures(out: Console, failures: dict[str, int]) -> None:
    """Show failures by code with what each means, between two blank lines."""
    if not failures:
        return
    table = _table("failure")
    table.add_column("meaning", overflow="fold")
    for code, rows in failures.items():
        table.add_row(code, f"{rows:,}", FAILURE_CODES[code].meaning)
    out.print()
    _print_table(out, table)
    out.print()


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(title, no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    return table


def _print_table(out: Console, table: Table) -> None:
    """Print a table without the blanks that fill its lines up."""
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), file=out.file)
