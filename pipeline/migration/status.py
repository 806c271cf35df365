"""Tells how far a migration is, from its ledger and beside any run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from pipeline.clock import timestamp_of_ms
from pipeline.errors import VerificationFailed
from pipeline.ledger.count_questions import pending
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import is_begun, ledger_url
from pipeline.ledger.lock import is_locked
from pipeline.ledger.records import EXPORTS_IN, SETTINGS_FILE
from pipeline.ledger.sharing.coordinator import carriers_state
from pipeline.migration.inbox import last_success_ms
from pipeline.migration.run_account import ROWS_NAMED, WaitingExport
from pipeline.model import FAILURE_STATES, RowState
from pipeline.outputs.status_figures import attached, refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.ledger.records import RunRecord
    from pipeline.ledger.snapshot import Snapshot

_SEEN_MS: Final = 300_000


def status_of(folder: Path, clock: Clock) -> dict[str, Any]:
    """Give counts by state, waiting exports, the last success, rate and time left, as JSON knows them.

    Args:
        folder: The migration folder.
        clock: For ages, and for the rate over the last minutes.

    Raises:
        VerificationFailed: There is no ledger in the folder, or it does not verify.
    """
    if not is_begun(folder):
        raise VerificationFailed(
            "there is no ledger in this folder",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    ledger = Ledger(ledger_url(folder), clock, read_only=True)
    try:
        running = is_locked(folder) or ledger.is_held()
        if not running:
            ledger.prove()
        with ledger.look() as look:
            last_look_ms = last_success_ms(folder)
            tree = _tree(look, ledger.now_ms(), last_look_ms, running=running)
        return tree | {"carriers": _carriers(ledger)}
    finally:
        ledger.close()


def _tree(
    look: Snapshot, now_ms: int, last_look_ms: int | None, *, running: bool
) -> dict[str, Any]:
    states = look.by_state()
    runs = look.runs()
    last = runs[-1] if runs else None
    rate = _rate(look, last.started_ms, now_ms) if running and last else None
    unattached = look.unattached() if look.is_attaching() else 0
    waiting = pending(states) + unattached
    failures = look.by_code()
    return {
        "running": running,
        "rows": sum(states.values()),
        "states": {state.value: count for state, count in states.items()},
        "resolved": _resolved(look, states),
        "left_out": look.left_out() if states[RowState.SKIPPED] else 0,
        "pending": waiting,
        "failures": failures,
        "open": _open(look) if failures else [],
        "lists_are_current": look.lists_are_current() if failures else None,
        "waiting_exports": _waiting_exports(look, last if running else None),
        "refused": refused(look),
        "in_doubt": None if running or last is None else _in_doubt(states, last),
        **_last_success(runs, last_look_ms, now_ms),
        "unseen_tokens_max": look.unseen_tokens_max(),
        "attach": attached(look),
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
            "settings_file": last.facts.get(SETTINGS_FILE),
            # A run that gave exports up was given none.
            "exports_in": next(
                (o for run in reversed(runs) if (o := run.facts.get(EXPORTS_IN))), []
            ),
        },
    }


def _resolved(look: Snapshot, states: Mapping[RowState, int]) -> int:
    """Count the rows that failed and whose legacy id a later row moved."""
    any_failed = any(states[state] for state in FAILURE_STATES)
    return sum(look.resolved().values()) if any_failed else 0


def _open(look: Snapshot) -> list[dict[str, Any]]:
    """Give each export with rows that somebody has to decide about, by how those ended."""
    known = {export.id: export for export in look.exports()}
    return [
        {
            "export": known[number].name,
            "sha256": known[number].sha256,
            "state": state,
            "rows": count,
            "first_rows": [row for _, row in look.first_open_rows([number], state, ROWS_NAMED)],
            "unseen_tokens_max": look.unseen_tokens_max([number]),
        }
        for number, state, count in look.open_by_export()
    ]


def _in_doubt(states: Mapping[RowState, int], last: RunRecord) -> dict[str, Any] | None:
    """Give how many rows a run that died had under way, and what the next one does with them."""
    rows = states[RowState.SENT] + states[RowState.AMBIGUOUS]
    if last.ended_ms is not None or not rows:
        return None
    return {"rows": rows, "then": last.facts.get("on_ambiguous")}


def _waiting_exports(look: Snapshot, under_way: RunRecord | None) -> list[dict[str, Any]]:
    """Give the exports that wait; the run that is under way has not been cut off."""
    now = None if under_way is None else under_way.started_ms
    waiting = [
        found._replace(cut_off_ms=None) if found.cut_off_ms == now else found
        for found in look.waiting_by_export()
    ]
    refused = look.why_refused()
    return [asdict(WaitingExport.of(found, refused)) for found in waiting]


def _carriers(ledger: Ledger) -> dict[str, Any] | None:
    """Give the chunks and sessions of the last run that had carriers; None where none ever had."""
    state = carriers_state(ledger)
    if state is None:
        return None
    chunks = state.progress
    return {
        "chunks": {
            "all": chunks.all,
            "done": chunks.done,
            "taken": chunks.taken,
            "free": chunks.free,
        },
        "sessions": [
            {
                "id": session.id,
                "origin": session.origin,
                "state": session.state,
                "slots": session.slots,
                "chunks": session.chunks,
                "sent": session.figures.get("sent", 0),
                "trouble": (session.trouble or {}).get("message"),
            }
            for session in state.sessions
        ],
    }


def _last_success(
    runs: Sequence[RunRecord], last_look_ms: int | None, now_ms: int
) -> dict[str, Any]:
    """Give the last run that settled every row of its exports, or look that found nothing to do."""
    moments = [run.ended_ms for run in runs if run.ended_ms and run.is_success]
    moments += [] if last_look_ms is None else [last_look_ms]
    last_ms = max(moments, default=None)
    return {
        "last_success": None if last_ms is None else timestamp_of_ms(last_ms),
        "last_success_age_s": None if last_ms is None else (now_ms - last_ms) / 1_000,
    }


def _rate(look: Snapshot, begun_ms: int, now_ms: int) -> float | None:
    """Give answered rows a second over the last minutes of this run; None before any answer."""
    answers, first_ms = look.answered_since(max(begun_ms, now_ms - _SEEN_MS))
    if first_ms is None or now_ms <= first_ms:
        return None
    return round(answers * 1_000 / (now_ms - first_ms), 2)
