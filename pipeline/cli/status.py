"""`cardferry status DIR`: a migration folder in, how far it is out; a running run is not disturbed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.summary import duration, show_failures
from pipeline.cli.terminal import Terminal, json_option, pass_terminal
from pipeline.clock import SystemClock
from pipeline.errors import VerificationFailed
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.lock import is_locked
from pipeline.ledger.store import is_begun, ledger_url
from pipeline.ledger.sums import pending
from pipeline.outputs.wording import ending

if TYPE_CHECKING:
    from pipeline.ledger.snapshot import Snapshot

_SEEN_MS = 300_000


@click.command("status")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@pass_terminal
def status(terminal: Terminal, folder: Path, *, as_json: bool) -> None:
    """Show counts by state, the rate, the time left and the open questions of FOLDER."""
    if not is_begun(folder):
        raise VerificationFailed(
            "there is no ledger in this folder",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    clock = SystemClock()
    ledger = Ledger(ledger_url(folder), clock, read_only=True)
    try:
        with ledger.look() as look:
            tree = _tree(look, ledger.now_ms(), running=is_locked(folder))
    finally:
        ledger.close()
    if as_json:
        terminal.print_json(tree)
    else:
        _show(terminal, tree)


def _tree(look: Snapshot, now_ms: int, *, running: bool) -> dict[str, Any]:
    states = look.by_state()
    runs = look.runs()
    last = runs[-1] if runs else None
    rate = _rate(look, last.started_ms, now_ms) if running and last else None
    waiting = pending(states)
    return {
        "running": running,
        "rows": sum(states.values()),
        "states": {state.value: count for state, count in states.items()},
        "pending": waiting,
        "failures": look.by_code(),
        "unseen_tokens_max": look.unseen_tokens_max(),
        "rows_per_s": rate,
        "seconds_left": round(waiting / rate, 1) if rate else None,
        "runs": len(runs),
        "last_run": None
        if last is None
        else {
            "run_id": last.run_id,
            "exit_code": last.exit_code,
            "ended": last.ended_ms is not None,
            "statistics": last.statistics,
        },
    }


def _rate(look: Snapshot, begun_ms: int, now_ms: int) -> float | None:
    """Give answered rows a second over the last minutes of this run; None before any answer."""
    answers, first_ms = look.answered_since(max(begun_ms, now_ms - _SEEN_MS))
    if first_ms is None or now_ms <= first_ms:
        return None
    return round(answers * 1_000 / (now_ms - first_ms), 2)


def _show(terminal: Terminal, tree: dict[str, Any]) -> None:
    out = terminal.out()
    last = tree["last_run"]
    if tree["running"]:
        rate, left = tree["rows_per_s"], tree["seconds_left"]
        speed = f" at {rate:,} rows a second" if rate is not None else "; no answer yet"
        rest = f", about {duration(left)} left" if left is not None else ""
        out.print(f"running{speed}{rest}", markup=False)
    elif last is None:
        out.print("no run has begun", markup=False)
    elif not last["ended"]:
        out.print("the last run died; run the same command again to go on", markup=False)
    else:
        code = last["exit_code"]
        out.print(f"not running; the last run ended with {code}: {ending(code)}", markup=False)
    for state, count in tree["states"].items():
        out.print(f"{state.replace('_', ' '):>18} {count:>12,}", markup=False)
    out.print(f"{'rows':>18} {tree['rows']:>12,}", markup=False)
    show_failures(out, tree["failures"])
    out.print(f"tokens that may exist unseen: at most {tree['unseen_tokens_max']:,}", markup=False)
