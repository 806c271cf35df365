"""Shows rows by state and failures by code as tables, and what became of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.folding import print_line
from pipeline.counts import counted
from pipeline.failure_codes import FAILURE_CODES
from pipeline.outputs.wording import TOKENS_PERISH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

    from pipeline.migration.run_account import ThisRun

_STATES: Final = (
    *("tokenized", "rejected", "failed", "held", "skipped", "already_tokenized", "pending"),
)
_ALWAYS: Final = frozenset({"tokenized", "pending"})
"""States that are told even where no row is in them."""

_MEANINGS_BESIDE: Final = 60
"""From so many columns on, meanings stand beside the codes; in fewer their words would be cut."""
_MEANINGS_BESIDE_BOTH: Final = 76
"""The same where failures of this run and of all stand before them."""


def show_balance(out: Console, figures: dict[str, Any], this_run: ThisRun | None = None) -> None:
    """Show the balance as a sum that visibly adds up, the failures by code, and the verdict.

    Args:
        out: Where results go.
        figures: The report's figures.
        this_run: What this run changed, for a column of its own; None where no run ended.
    """
    _print_table(out, _balance(figures["balance"], this_run, narrow=out.width < _MEANINGS_BESIDE))
    failures = {item["code"]: item["rows"] for item in figures["failures"]}
    show_failures(out, failures, "all runs", None if this_run is None else this_run.failures)
    if not figures["failures"]:
        out.print()
    print_line(out, figures["verdict"]["sentence"])
    unseen = figures["unseen_tokens_max"]
    print_line(out, f"tokens that may exist unseen: at most {unseen:,}")
    show_attached(out, figures["attach"], figures["balance"]["tokenized"])


def _balance(balance: dict[str, int], this_run: ThisRun | None, *, narrow: bool) -> Table:
    """Give rows by state, of this run and of all, without the states that no row is in."""
    table = (
        _table("rows", "all runs") if this_run is None else _table("rows", "this run", "all runs")
    )
    if narrow:
        # With one blank between columns it fits into forty.
        table.padding = (0, 0, 0, 0)
    changed = {} if this_run is None else this_run.rows
    for name in _STATES:
        here = [] if this_run is None else [changed.get(name, 0)]
        if name in _ALWAYS or balance[name] or any(here):
            table.add_row(name.replace("_", " "), *(f"{n:,}" for n in (*here, balance[name])))
    table.add_section()
    blank = [] if this_run is None else [""]
    table.add_row("rows in the exports", *blank, f"{balance['rows']:,}")
    table.add_row("difference", *blank, f"{balance['difference']:,}")
    return table


def show_attached(out: Console, attach: dict[str, int] | None, tokens: int) -> None:
    """Show what became of the tokens' cards, or say that tokens perish."""
    if attach is None:
        if tokens:
            print_line(out, TOKENS_PERISH)
        return
    told = [
        f"{attach[name]:,} {name.removeprefix('attach_')}"
        for name in (
            "attached",
            "reused",
            "superseded",
            "attach_failed",
            "attach_held",
            "unattached",
        )
        if attach[name] or name == "attached"
    ]
    print_line(out, f"cards of {counted(attach['tokenized'], 'token')}: {', '.join(told)}")
    unseen = attach["unseen_cards_max"]
    print_line(out, f"cards that may be at the vault unseen: at most {unseen:,}")


def show_failures(
    out: Console,
    failures: Mapping[str, int],
    of: str = "rows",
    new: Mapping[str, int] | None = None,
) -> None:
    """Show failures by code with what each means, between two blank lines.

    Args:
        out: Where results go.
        failures: How many rows, by code.
        of: What is counted.
        new: How many of them are of this run, for a column of its own; None where no run ended.
    """
    if not failures:
        return
    out.print()
    if out.width < (_MEANINGS_BESIDE if new is None else _MEANINGS_BESIDE_BOTH):
        for code, count in failures.items():
            own = "" if new is None else f" ({new.get(code, 0):,} in this run)"
            print_line(out, f"{count:,} {code}{own}: {FAILURE_CODES[code].meaning}")
    else:
        table = _table("failure", *([] if new is None else ["this run"]), of)
        table.add_column("meaning", overflow="fold")
        for code, count in failures.items():
            counts = [count] if new is None else [new.get(code, 0), count]
            table.add_row(code, *(f"{n:,}" for n in counts), FAILURE_CODES[code].meaning)
        _print_table(out, table)
    out.print()


def _table(title: str, *counts: str) -> Table:
    from rich import box  # A quiet run shows no table.
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(title, no_wrap=True)
    for count in counts:
        table.add_column(count, justify="right", no_wrap=True)
    return table


def _print_table(out: Console, table: Table) -> None:
    """Print a table without the blanks that fill its lines up."""
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), file=out.file)
