"""Gives a migration's figures in Prometheus' text format, made by its own client.

What stands in the ledger is looked up when a run begins to send and when it has ended; in between
the run's own counts are added to it, so that no commit waits for a scrape.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.cards.detect import contains_pan
from pipeline.disk import write_atomically
from pipeline.folder_files import read_in_folder
from pipeline.metrics import Flow
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from prometheus_client import Metric

    from pipeline.ledger.snapshot import Snapshot
    from pipeline.metrics import Latencies

METRICS_NAME: Final = "metrics.prom"
_BYTES_MAX: Final = 1 << 20
_READABLE_BY_ALL: Final = 0o644
_WITHHELD: Final = "withheld"
_OF_A_RUN: Final = frozenset(
    f"cardferry_{name}"
    for name in (
        *("run_answers", "run_refusals", "run_retries", "rate_allowed_per_second", "in_flight"),
        *("vault_latency_seconds", "commit_seconds"),
    )
)
_LAST_SUCCESS: Final = "cardferry_last_success_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a migration stands in its ledger.

    Attributes:
        states: Rows by state, of all runs.
        waiting: Rows that wait for a run to send them, by the export's name; only exports that
            have some.
        refused: Exports that were refused and not taken or given up since.
        tokens_unseen_max: How many tokens may exist that nobody saw.
        cards_unseen_max: How many cards on customers may exist that nobody saw.
        last_success_s: When a run last settled every row of its exports, in seconds since 1970.
        last_exit_code: Of the last run that ended.
    """

    states: Mapping[RowState, int]
    waiting: Mapping[str, int]
    refused: int
    tokens_unseen_max: int
    cards_unseen_max: int
    last_success_s: float | None
    last_exit_code: int | None


def standing_of(look: Snapshot, under_way: Flow | None = None) -> Standing:
    """Give how a migration stands, as one look at its ledger finds it.

    Args:
        look: The look.
        under_way: The flow of a run that begins to send: what it sends does not wait.
    """
    ended = [run for run in look.runs() if run.ended_ms is not None]
    successes = [run.ended_ms or 0 for run in ended if run.is_success]
    return Standing(
        look.by_state(),
        _waiting(look, under_way or Flow()),
        len(look.refused_exports()),
        look.unseen_tokens_max(),
        look.unseen_cards_max(),
        successes[-1] / 1000 if successes else None,
        ended[-1].exit_code if ended else None,
    )


def _waiting(look: Snapshot, under_way: Flow) -> dict[str, int]:
    waiting: dict[str, int] = {}
    to_send = under_way.total
    for export in look.waiting_by_export():
        sent = min(export.rows, to_send) if export.export_id in under_way.exports else 0
        to_send -= sent
        if export.rows > sent:
            # Two exports may have one name; a series of metrics may not stand there twice.
            waiting[export.name] = waiting.get(export.name, 0) + export.rows - sent
    return waiting


class MigrationMetrics(Collector):
    """Everything that a monitor may ask of a migration, from its ledger and from a run under way.

    Args:
        migration: The value of the label `migration`: the folder's path.
    """

    def __init__(self, migration: str) -> None:
        self._label = _shown(migration)
        self.standing: Standing | None = None
        self.flow = Flow()
        self._adds_flow = False
        self._kept: list[Metric] = []
        self.last_success_s: float | None = None
        """A success that the ledger does not know of: an inbox with nothing to do."""
        self.exit_code: int | None = None

    def follow(self, standing: Standing | None, flow: Flow) -> None:
        """Add a run's own counts, from now on, to how the migration stood when it began to send."""
        self.standing, self.flow, self._adds_flow = standing, flow, True

    def end(self, standing: Standing | None, exit_code: int) -> None:
        """Show how the migration stands after a command ended with this exit code."""
        self.standing, self._adds_flow = standing, False
        self.exit_code = exit_code

    def keep_run(self, told: Sequence[Metric]) -> None:
        """Show the figures of the last run as an earlier process told them."""
        self._kept = [family for family in told if family.name in _OF_A_RUN]

    def text(self) -> bytes:
        """Give the metrics as Prometheus reads them."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Give every metric, for the client that writes or serves them."""
        if self.standing is not None:
            yield self._rows()
            yield self._waiting(self.standing)
            yield self._gauge(
                "exports_refused",
                "Exports that were refused and not taken or given up since.",
                self.standing.refused,
            )
            added = self.flow.ambiguous if self._adds_flow else 0
            yield self._gauge(
                "tokens_unseen_max",
                "Tokens that may exist and that nobody saw, at most.",
                self.standing.tokens_unseen_max + added,
            )
            yield self._gauge(
                "cards_unseen_max",
                "Cards on customers that may exist and that nobody saw, at most.",
                self.standing.cards_unseen_max,
            )
        yield from self._ends()
        yield from self._kept or self._of_this_run()

    def _rows(self) -> Metric:
        family = GaugeMetricFamily(
            "cardferry_rows", "Rows of all exports by state.", labels=("migration", "state")
        )
        for state, rows in self._states().items():
            family.add_metric((self._label, state.value), rows)
        return family

    def _states(self) -> dict[RowState, int]:
        """Count rows by state; while a run sends, its own counts move rows on from where they were."""
        states = dict(self.standing.states) if self.standing else {}
        if not self._adds_flow:
            return states
        flow = self.flow
        waiting = sum(states.get(state, 0) for state in OPEN_STATES)
        moved = {
            RowState.TOKENIZED: flow.tokenized,
            RowState.REJECTED: flow.rejected,
            RowState.FAILED: flow.failed,
            RowState.HELD: flow.held,
        }
        for state, rows in moved.items():
            states[state] = states.get(state, 0) + rows
        states[RowState.SENT] = flow.in_flight
        states[RowState.AMBIGUOUS] = 0
        states[RowState.PLANNED] = max(waiting - sum(moved.values()) - flow.in_flight, 0)
        return states

    def _waiting(self, standing: Standing) -> Metric:
        family = GaugeMetricFamily(
            "cardferry_rows_waiting",
            "Rows that wait for a run to send them, by export; none that a run under way sends.",
            labels=("migration", "export"),
        )
        for name, rows in standing.waiting.items():
            family.add_metric((self._label, _shown(name)), rows)
        return family

    def _ends(self) -> Iterator[Metric]:
        standing = self.standing
        known = [self.last_success_s, standing.last_success_s if standing else None]
        successes = [moment for moment in known if moment is not None]
        if successes:
            yield self._gauge(
                "last_success_timestamp_seconds",
                "When a command last settled every row of its exports (exit code 0 or 3).",
                max(successes),
            )
        code = self.exit_code
        if code is None and standing is not None:
            code = standing.last_exit_code
        if code is not None:
            yield self._gauge("last_exit_code", "Exit code of the last command that ended.", code)

    def _of_this_run(self) -> Iterator[Metric]:
        flow = self.flow
        answers = GaugeMetricFamily(
            "cardferry_run_answers",
            "Attempts of the last run by what they came to.",
            labels=("migration", "class"),
        )
        for kind, count in sorted(dict(flow.answers).items()):
            answers.add_metric((self._label, kind), count)
        yield answers
        yield self._gauge("run_refusals", "429s of the last run.", flow.throttled)
        yield self._gauge("run_retries", "Attempts that the last run made again.", flow.retries)
        yield self._gauge(
            "rate_allowed_per_second", "Sends a second that were allowed last.", flow.rate_allowed
        )
        yield self._gauge("in_flight", "Cards under way now.", flow.in_flight)
        yield self._histogram(
            "vault_latency_seconds", "How long the vault took to answer.", flow.latencies
        )
        yield self._histogram(
            "commit_seconds", "How long a commit of the ledger took.", flow.commits
        )

    def _gauge(self, name: str, meaning: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"cardferry_{name}", meaning, labels=("migration",))
        family.add_metric((self._label,), value)
        return family

    def _histogram(self, name: str, meaning: str, latencies: Latencies) -> Metric:
        family = HistogramMetricFamily(f"cardferry_{name}", meaning, labels=("migration",))
        buckets = [
            ("+Inf" if isinf(bound) else repr(bound), count)
            for bound, count in latencies.cumulative()
        ]
        family.add_metric((self._label,), buckets, sum_value=latencies.total_s)
        return family


def write_metrics(path: Path, text: bytes, *, shared: bool) -> None:
    """Replace a metrics file whole.

    Args:
        path: The file; its folder must be there.
        text: What it is to hold.
        shared: Whether others (node_exporter) may read it; it holds counts and names of exports.

    Raises:
        LocalStorageFailed: The disk refused, or the path is no plain file of ours.
    """
    with write_atomically(path) as file:
        if shared:
            os.fchmod(file.fileno(), _READABLE_BY_ALL)
        file.write(text)


def families_told(path: Path) -> list[Metric]:
    """Give what a metrics file tells; nothing where there is none of ours."""
    try:
        text = read_in_folder(path, _BYTES_MAX).decode()
        return list(text_string_to_metric_families(text))
    except (OSError, ValueError, KeyError, IndexError):
        return []


def success_of(told: Sequence[Metric]) -> float | None:
    """Give the last success that metrics tell of, in seconds since 1970; None without one."""
    values = [s.value for family in told for s in family.samples if s.name == _LAST_SUCCESS]
    return max(values, default=None)


def _shown(name: str) -> str:
    """Give a label's value, unless it could be a card number."""
    return _WITHHELD if contains_pan(name) else name
