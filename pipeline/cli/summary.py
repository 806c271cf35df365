"""A plan, an ending or a state in, a few readable lines or one JSON object out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from pipeline.model import FAILURE_CODES

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pipeline.cli.terminal import Terminal
    from pipeline.run import Ending

_MINUTE_S = 60
_HOUR_S = 3600


def show_plan(terminal: Terminal, plan: dict[str, Any], limit: int | None) -> None:
    """Tell what would be sent, on standard error."""
    now = plan["to_send"] if limit is None else min(limit, plan["to_send"])
    terminal.say(
        f"{plan['rows']:,} rows: {plan['to_send']:,} to send, {plan['rejected']:,} rejected, "
        f"{plan['already_tokenized']:,} already tokenized",
        f"{now:,} now, about {duration(now / plan['rate_per_s'])} "
        f"at {plan['rate_per_s']:g} a second",
    )


def show_ending(terminal: Terminal, ending: Ending, folder: Path) -> None:
    """Show how a run ended: JSON on request, else the balance and where the files are."""
    if ending.trouble is not None:
        terminal.tell_stop(ending.trouble)
    if terminal.as_json:
        terminal.print_json(_ending_tree(ending, folder))
    elif ending.figures is not None:
        out = terminal.out()
        show_balance(out, ending.figures)
        out.print(f"files in {folder}", markup=False)
        pending = ending.figures["balance"]["pending"]
        if pending and ending.trouble is None:
            terminal.say(f"{pending:,} rows are left; run the same command again to go on")


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
    """Show the balance as a sum that visibly adds up, then the failures by code."""
    balance = figures["balance"]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("what became of the rows")
    table.add_column("rows", justify="right")
    for name in ("tokenized", "rejected", "failed", "held", "already_tokenized", "pending"):
        table.add_row(name.replace("_", " "), f"{balance[name]:,}")
    table.add_section()
    table.add_row("rows in the exports", f"{balance['rows']:,}")
    table.add_row("difference", f"{balance['difference']:,}")
    out.print(table)
    show_failures(out, {item["code"]: item["rows"] for item in figures["failures"]})
    unseen = figures["unseen_tokens_max"]
    out.print(f"tokens that may exist unseen: at most {unseen:,}", markup=False)


def show_failures(out: Console, failures: dict[str, int]) -> None:
    """Show failures by code with what each means."""
    if not failures:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("failure")
    table.add_column("rows", justify="right")
    table.add_column("meaning", overflow="fold")
    for code, rows in failures.items():
        table.add_row(code, f"{rows:,}", FAILURE_CODES[code].meaning)
    out.print(table)


def duration(seconds: float) -> str:
    """Give a length of time in words: `42 s`, `3 min`, `2 h 5 min`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    hours, rest = divmod(seconds, _HOUR_S)
    return f"{hours:,.0f} h {rest / _MINUTE_S:.0f} min"
