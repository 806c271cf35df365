"""Counts what one run changes, apart from what the ledger holds of all runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.clock import timestamp_of_ms
from pipeline.errors import VaultUnavailable, exit_status
from pipeline.failure_codes import Code
from pipeline.ledger.bearing import unit
from pipeline.ledger.count_questions import pending
from pipeline.migration.attach_plan import AttachPlan
from pipeline.model import FAILURE_STATES, OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.config.attach import AttachSettings
    from pipeline.errors import CardferryError
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.plan_records import KnownExport
    from pipeline.ledger.records import WaitingRows
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.metrics import Flow
    from pipeline.vault.interface import Account

FINISHED_WITH_FAILURES = 3
ROWS_NAMED: Final = 5
"""How many rows of a kind are named by number; `failures.csv` names all."""
_NAMED: Final = (RowState.REJECTED, RowState.HELD)
CARD_ENDINGS = ("attached", "reused", "attach_failed", "attach_held")
"""How cards end on their way to customers, as the attach balance calls it."""


@dataclass(frozen=True, slots=True)
class WaitingExport:
    """An export with rows that wait to be sent; only a run that is given it, and takes it, can do so.

    Attributes:
        name: The file's name.
        sha256: Of its sealed bytes.
        rows: How many wait.
        cut_off_run: When the run began that read it, if that run was killed; else None.
        unseen_tokens_max: How many tokens of these rows may exist that nobody saw, at most.
        refused: Why it was refused when it was given last, if it was: too many of its rows fail.
        rows_in_file: How many rows the file has; None where only a run's own figures are known.
    """

    name: str
    sha256: str
    rows: int
    cut_off_run: str | None = None
    unseen_tokens_max: int = 0
    refused: str | None = None
    rows_in_file: int | None = None

    @classmethod
    def of(cls, found: WaitingRows, refused: Mapping[str | None, str]) -> WaitingExport:
        """Give what the ledger found, with its moment as a text.

        Args:
            found: What it found.
            refused: Why exports were refused and not taken since, by their digests.
        """
        began = None if found.cut_off_ms is None else timestamp_of_ms(found.cut_off_ms)
        unseen, why = found.unseen_tokens_max, refused.get(found.sha256)
        return cls(found.name, found.sha256, found.rows, began, unseen, why, found.rows_in_file)


@dataclass(frozen=True, slots=True)
class ThisRun:
    """What a run changed.

    Attributes:
        rows: Rows of the given exports that this run settled, by state.
        failures: The failed, rejected and held ones among them, by code.
        waiting: Rows of the given exports that still wait.
        unfinished: Every export of this migration whose rows wait, by name.
        figures: sent, retries, throttled (429s), seconds, rows_per_s, and troubles: what
            requests met that neither made nor rejected anything (`status 503`), with how many;
            rejected_rows, held_rows: export and row number of the first of them;
            unseen_tokens_max: tokens of the given exports that this run may have left unseen;
            other_details: rows of known cards whose carried columns or customer are not as then.
        unseen_of_exports: Tokens of the given exports that may exist unseen, over all runs: what
            sending held rows came to is not of one run.
    """

    rows: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    unfinished: Sequence[str] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    unseen_of_exports: int = 0

    def exit_code(self, trouble: CardferryError | None) -> int:
        """Give the exit code: of what stopped the run, or of what it left and changed."""
        if trouble is not None:
            return exit_status(trouble)
        if self.waiting:
            return VaultUnavailable.exit_code
        failed = any(self.rows.get(state.value) for state in FAILURE_STATES)
        return FINISHED_WITH_FAILURES if failed or self.failures else 0

    @property
    def did_something(self) -> bool:
        """Whether it sent or settled anything, or rows of the given exports wait after it."""
        asked = (self.figures.get(name) for name in ("sent", "api_requests"))
        return bool(self.waiting or self.failures or any(self.rows.values()) or any(asked))

    def as_dict(self) -> dict[str, Any]:
        """Give it as `--json` shows it."""
        return {
            "rows": self.rows,
            "failures": self.failures,
            "waiting": self.waiting,
            **self.figures,
        }


class RunAccount:
    """Compares the given exports before and after a run.

    Args:
        ledger: The open ledger of the run.
        held_at_start: Rows that the run held because an earlier one died with them in doubt.
        is_attaching: Whether a row is settled only when its card is on a customer.
    """

    def __init__(
        self, ledger: Ledger, held_at_start: int = 0, *, is_attaching: bool = False
    ) -> None:
        self._ledger = ledger
        self.again = ledger.again
        self._is_attaching = is_attaching
        self._cards: Counter[str] = Counter()
        self._held_at_start = held_at_start
        self._given: list[int] = []
        self._before_sending: dict[int, dict[RowState, int]] | None = None
        self._states: Counter[RowState] = Counter()
        self._codes: Counter[str] = Counter()
        self._other_details = 0
        self._unseen_tokens_max = 0

    @unit
    def begin(self, exports: Sequence[KnownExport]) -> None:
        """Take down how the exports stand once everything is planned and nothing is sent.

        Whatever was planned in this run counts as its own, so only those planned before matter.
        """
        self._given = [export.id for export in exports]
        self._before_sending = None
        before = [export.id for export in exports if export.is_planned]
        if before:
            with self._ledger.look() as look:
                self._states = Counter(look.states_of(before))
                self._codes = Counter(look.by_code(before))
                self._cards = Counter(look.attach_balance(before))
                self._other_details = look.with_other_details(before)
                self._unseen_tokens_max = look.unseen_tokens_max(before)

    @unit
    def close(self, flow: Flow, seconds: float) -> ThisRun:
        """Give what the run has changed by now.

        Args:
            flow: The run's moving figures.
            seconds: How long the sending took.
        """
        statistics = flow.statistics(seconds)
        figures = {
            name: statistics[name]
            for name in ("sent", "retries", "throttled", "seconds", "rows_per_s")
        }
        figures["troubles"] = flow.all_troubles()
        if flow.api is not None:
            figures["api_requests"] = flow.api.sent
            figures["api_throttled"] = flow.api.throttled
        states: dict[RowState, int] = {}
        codes: dict[str, int] = {}
        cards: dict[str, int] = {}
        unattached = unseen = 0
        figures["other_details"] = figures["unseen_tokens_max"] = 0
        figures["rejected_rows"] = figures["held_rows"] = []
        if self._given:
            with self._ledger.look() as look:
                states, codes = look.states_of(self._given), look.by_code(self._given)
                cards = look.attach_balance(self._given)
                unattached = self._unattached(look)
                other_details = look.with_other_details(self._given)
                for state in _NAMED:
                    figures[f"{state.value}_rows"] = self._first(look, state, states)
                unseen = look.unseen_tokens_max(self._given)
                figures["unseen_tokens_max"] = max(unseen - self._unseen_tokens_max, 0)
                figures["other_details"] = max(other_details - self._other_details, 0)
        changed = {
            state.value: max(states.get(state, 0) - self._states[state], 0)
            for state in RowState
            if state not in OPEN_STATES
        }
        if self._is_attaching:
            changed |= {n: max(cards.get(n, 0) - self._cards[n], 0) for n in CARD_ENDINGS}
        failures = Counter(codes) - self._codes
        if self._held_at_start:
            changed[RowState.HELD.value] += self._held_at_start
            failures[Code.OUTCOME_UNKNOWN.value] += self._held_at_start
        return ThisRun(
            rows=changed,
            failures=dict(sorted(failures.items())),
            waiting=sum(states.get(state, 0) for state in OPEN_STATES) + unattached,
            unfinished=self._ledger.ask(_unfinished),
            figures=figures,
            unseen_of_exports=unseen,
        )

    def _first(
        self, look: Snapshot, state: RowState, now: Mapping[RowState, int]
    ) -> list[dict[str, Any]]:
        """Name the first rows of the given exports in a state, if this run brought rows there."""
        held_at_start = self._held_at_start if state is RowState.HELD else 0
        if now.get(state, 0) + held_at_start <= self._states[state]:
            return []
        found = look.first_open_rows(self._given, state, ROWS_NAMED)
        return [{"export": name, "row": row} for name, row in found]

    @unit
    def states(self) -> dict[int, dict[RowState, int]]:
        """Count the rows of each given export by state, as they are before anything is sent.

        They are counted once, as nothing changes them from the plan to the first send.
        """
        if self._before_sending is None:
            with self._ledger.look() as look:
                self._before_sending = {one: look.states_of([one]) for one in self._given}
        return self._before_sending

    @unit
    def plan(self) -> dict[str, int]:
        """Give how the given exports stand: rows, to_send, done, rejected, already_tokenized."""
        states: Counter[RowState] = Counter()
        for found in self.states().values():
            states.update(found)
        with self._ledger.look() as look:
            unattached = self._unattached(look)
            other_details = look.with_other_details(self._given)
        return {
            "rows": sum(states.values()),
            "to_send": pending(states),
            "to_attach": unattached,
            "done": states[RowState.TOKENIZED],
            "rejected": states[RowState.REJECTED],
            "failed": states[RowState.FAILED],
            "held": states[RowState.HELD],
            "already_tokenized": states[RowState.ALREADY_TOKENIZED],
            "other_details": other_details,
            "failures": sum(states[state] for state in FAILURE_STATES),
        }

    @unit
    def attach_plan(
        self, attach: AttachSettings | None, account: Account | None
    ) -> AttachPlan | None:
        """Give what attaching the given exports' cards needs; None for tokens alone."""
        if attach is None:
            return None
        with self._ledger.look() as look:
            needs = look.cards_to_attach(self._given)
            deletes = look.cards_to_replace(self._given) if attach.on_changed == "delete" else 0
        has_webhook = account is not None and account.webhook_url is not None
        return AttachPlan(needs, attach.rate_per_s, has_webhook, deletes)

    def _unattached(self, look: Snapshot) -> int:
        return look.unattached(self._given) if self._is_attaching else 0

    def codes(self) -> dict[str, int]:
        """Count the failed, rejected and held rows of the given exports by code."""
        return self._ledger.ask(lambda look: look.by_code(self._given))

    @unit
    def waiting_exports(self) -> list[WaitingExport]:
        """Name the exports whose rows this run could not send: it was not given them, or they were refused."""
        with self._ledger.look() as look:
            refused = look.why_refused()
            others = [
                export.id
                for export in look.exports()
                if export.id not in self._given or export.sha256 in refused
            ]
            return [WaitingExport.of(export, refused) for export in look.waiting_by_export(others)]


def _unfinished(look: Snapshot) -> list[str]:
    return [export.name for export in look.waiting_by_export()]
