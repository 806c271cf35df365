"""Collects the figures of a ledger's report: one JSON-ready tree that every report shows.

Only what the ledger holds goes in, no clock and no folder, so that the same ledger always
gives the same figures.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pipeline.clock import timestamp
from pipeline.errors import VerificationFailed
from pipeline.hashing import shown
from pipeline.ledger.count_questions import pending
from pipeline.ledger.listings import RESOLVED
from pipeline.ledger.section_figures import SUPERSEDED
from pipeline.ledger.section_sums import UNATTACHED
from pipeline.model import FAILURE_STATES, OPEN_STATES, RowState
from pipeline.outputs.failure_figures import open_failures
from pipeline.outputs.status_figures import attached, refused
from pipeline.outputs.timeline import timeline
from pipeline.outputs.wording import verdict_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.ledger.records import ExportRecord, RunRecord
    from pipeline.ledger.snapshot import Snapshot

FIGURES_VERSION: Final = 1
CHANGES_SHOWN: Final = 20

_ENDINGS: Final = {
    RowState.TOKENIZED.value: "mapping",
    SUPERSEDED: SUPERSEDED,
    RESOLVED: RESOLVED,
    UNATTACHED: UNATTACHED,
    RowState.ALREADY_TOKENIZED.value: "already_tokenized",
    RowState.SKIPPED.value: "skipped",
    **dict.fromkeys([state.value for state in FAILURE_STATES], "failures"),
    **dict.fromkeys([state.value for state in OPEN_STATES], "pending"),
}
"""Row states as the hash totals group them."""


def gather(
    look: Snapshot,
    version: str,
    files: Iterable[str],
    signed_by: str | None,
    published: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Collect the report's figures.

    Args:
        look: A look at the ledger; one look, one state.
        version: Cardferry's version.
        files: The files that are published with this report.
        signed_by: Fingerprint of the key that signs the manifest, or None.
        published: The figures of an earlier report of the same rows; default: count them.

    Returns:
        What `report.json` holds; times are text in UTC, latencies microseconds.
    """
    history = look.publication_history()
    runs = look.runs(history.epoch)
    of_runs = {
        "vault": _vault(runs),
        "runs": [_run(run) for run in runs],
        "refused": refused(look, history.length),
        "refused_planned": refused(look, history.length, planned=True),
        "given_up": [export._asdict() for export in look.given_up_exports(history.length)],
        "trail": {"head": history.head, "length": history.length},
        "files": list(files),
        "signed_by": signed_by,
    }
    of_rows = _of_rows(look) if published is None else published
    return {
        "version": FIGURES_VERSION,
        "cardferry": version,
        **{name: told for name, told in of_rows.items() if name not in of_runs},
        **of_runs,
    }


def _of_rows(look: Snapshot) -> dict[str, Any]:
    """Collect what rows came to; no run without new rows changes any of it."""
    states = look.by_state()
    exports = look.exports()
    sums = balance(sum(export.rows for export in exports), states)
    unseen = look.unseen_tokens_max()
    resolved = {state.value: count for state, count in look.resolved().items()}
    attach = attached(look)
    answers = timeline(look)
    return {
        "verdict": verdict_of(sums, unseen, resolved, attach, look.left_out()),
        "balance": sums,
        "states": {state.value: count for state, count in states.items()},
        "unseen_tokens_max": unseen,
        "ids": look.legacy_ids(),
        "resolved": resolved,
        "attach": attach,
        "hash_totals": hash_totals(look),
        "exports": _exports(look, exports),
        "failures": open_failures(look),
        "attempts": {
            "made": look.attempts_made(),
            "by_outcome": answers.pop("by_outcome"),
        },
        **answers,
        "brands": look.mix("brand"),
        "countries": look.mix("country"),
        "expiration_years": look.mix("expiration_year"),
        "cards": _whole(cards(look), look),
        "changes": _changes(look),
    }


def _vault(runs: list[RunRecord]) -> dict[str, str | None]:
    """Say where the cards went, and in which mode, as the last run was set."""
    told = runs[-1].facts.get("settings", {}).get("vault", {}) if runs else {}
    return {"url": told.get("url"), "mode": told.get("mode")}


def balance(rows_read: int, states: dict[RowState, int]) -> dict[str, int]:
    """Give the balance: the rows read and what became of them.

    `difference` is zero, or rows were lost or invented between the exports and the ledger.
    """
    parts = {
        "tokenized": states[RowState.TOKENIZED],
        "rejected": states[RowState.REJECTED],
        "failed": states[RowState.FAILED],
        "held": states[RowState.HELD],
        "skipped": states[RowState.SKIPPED],
        "already_tokenized": states[RowState.ALREADY_TOKENIZED],
        "pending": pending(states),
    }
    return {"rows": rows_read, **parts, "difference": rows_read - sum(parts.values())}


def hash_totals(look: Snapshot) -> dict[str, str]:
    """Add up the legacy ids that were read and where each ended.

    Rows without a readable id are in no total. `read` and `ledger` are the same, and so is the
    sum of all others, or an id was lost, added or changed on its way.
    """
    totals: defaultdict[str, int] = defaultdict(int)
    for ending, total in look.ids_by_ending().items():
        totals[_ENDINGS[ending]] += total
    # Whether a failed row was moved later depends on other rows, so the sums of states have it still.
    for state, total in look.resolved_ids().items():
        totals[_ENDINGS[state]] -= total
        totals[RESOLVED] += total
    read = sum(int(export.legacy_id_sum, 16) for export in look.exports())
    return {
        "read": shown(read % (1 << 256)),
        "ledger": shown(sum(totals.values()) % (1 << 256)),
        **{ending: shown(totals[ending] % (1 << 256)) for ending in _ENDINGS.values()},
    }


def _whole(counted: dict[str, int], look: Snapshot) -> dict[str, int]:
    """Make sure that every token in force, or on a customer, is in the mapping, and nothing else.

    Raises:
        VerificationFailed: The ledger's tables do not agree on it; nothing is published.
    """
    tokens = look.attach_balance()
    mapped = tokens["tokenized"] - tokens["superseded"]
    if look.is_attaching():
        mapped = tokens["attached"] + tokens["reused"]
    if counted["mapped"] != mapped:
        raise VerificationFailed(
            "the ledger has other tokens than tokenized rows",
            next_step="Keep the folder as it is; restore the ledger from a backup.",
        )
    return counted


def cards(look: Snapshot) -> dict[str, int]:
    """Count the mapping's different cards, by the vault's own fingerprint.

    `on_shared_cards` counts the legacy ids whose card some other legacy id has as well.
    """
    counted = look.shared_cards()
    return {
        "mapped": look.mapped_tokens(),
        "with_fingerprint": counted.with_fingerprint,
        "distinct": counted.distinct,
        "on_shared_cards": counted.shared,
        "most_ids_on_one": counted.most,
    }


def _exports(look: Snapshot, exports: list[ExportRecord]) -> list[dict[str, Any]]:
    counted = look.by_export()
    return [
        {
            "name": export.name,
            "size": export.size,
            "sha256": export.sha256,
            "kind": export.kind,
            "engine": export.engine,
            "rows": export.rows,
            "rows_in_ledger": sum(counted.get(export.id, {}).values()),
            "states": counted.get(export.id, {}),
            "key_fingerprint": export.key_fingerprint,
            "signer": export.signer,
            "origin": "signed" if export.signer else "unauthenticated",
            "as_of": export.as_of,
            "legacy_id_sum": export.legacy_id_sum,
        }
        for export in exports
    ]


def _changes(look: Snapshot) -> dict[str, Any]:
    count, found = look.superseded_rows(CHANGES_SHOWN)
    names = ("legacy_id", "old_file", "old_row", "new_file", "new_row")
    return {
        "rows": count,
        "examples": [dict(zip(names, row, strict=True)) for row in found],
        "other_details": look.with_other_details(),
    }


def _run(run: RunRecord) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": _moment(run.started_ms),
        "ended_at": None if run.ended_ms is None else _moment(run.ended_ms),
        "exit_code": run.exit_code,
        "facts": run.facts,
        "statistics": run.statistics,
    }


def _moment(milliseconds: int) -> str:
    return timestamp(datetime.fromtimestamp(milliseconds / 1000, UTC))
