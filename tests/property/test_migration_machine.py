"""Any sequence of exports, runs, deaths, retries and top-ups keeps every invariant."""

import shutil
import signal
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.cards import card_number
from tests.support.invariants import Row
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

HURRY = "tests.support.hooks:hurry"
DIE = "tests.support.hooks:die"
IDS = 12
FINE = {0, 3, 4}


class Life(RuleBasedStateMachine):
    """A migration's life, against a vault that loses some answers."""

    vault = None

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cf-life-"))
        self.migration = None
        self.published = False

    def teardown(self):
        shutil.rmtree(self.folder)

    @initialize(on_ambiguous=st.sampled_from(["retry", "hold"]), slots=st.sampled_from([1, 3, 8]))
    def begin(self, on_ambiguous, slots):
        """Choose what a migration keeps for its life."""
        self.migration = Migration(self.folder, self.vault, in_flight_max=slots)
        self.migration.configure(
            f'on_ambiguous = "{on_ambiguous}"', "chunk_rows = 4", "outage_max_s = 60000"
        )

    @rule(count=st.integers(1, IDS), seed=st.integers(0, 3), doubled=st.booleans())
    def add_export(self, count, seed, doubled):
        """Give an export: some ids are known, some cards changed, one id perhaps doubled."""
        if len(self.migration.exports) == 6:
            return
        random = Random(seed)
        names = [row.name for row in new_rows(count)]
        ids = random.sample(range(1, IDS + 1), count)
        if doubled:
            ids[-1] = ids[0]
        rows = [
            Row(f"id-{i}", name, card_number(Random(i + 100 * seed)))
            for i, name in zip(ids, names, strict=True)
        ]
        self.migration.add(rows)

    @precondition(lambda self: self.migration.exports)
    @rule(limit=st.none() | st.integers(1, 6))
    def run(self, limit):
        """Run to the end, or to a limit."""
        ended = self.migration.run(*self._limit(limit), hook=HURRY)
        assert ended.code in FINE, ended.said
        self.published = True

    @precondition(lambda self: self.migration.exports)
    @rule(
        step=st.sampled_from(["chunk", "finish", "commit", "send"]),
        moment=st.sampled_from(["before", "after"]),
        number=st.integers(1, 8),
    )
    def die(self, step, moment, number):
        """Run and be killed, unless the run is over before that."""
        ended = self.migration.run(
            hook=DIE, environment={"CARDFERRY_TEST_DEATH": f"{step}-{moment}:{number}"}
        )
        assert ended.killed or ended.code in FINE, ended.said
        self.published = not ended.killed

    @precondition(lambda self: self.migration.exports)
    @rule(step=st.sampled_from(["chunk", "commit", "send"]), number=st.integers(1, 8))
    def stop(self, step, number):
        """Run and be asked to stop."""
        ended = self.migration.run(
            hook=DIE, environment={"CARDFERRY_TEST_DEATH": f"{step}-signal:{number}"}
        )
        assert ended.code in FINE | {143, -signal.SIGTERM}, ended.said
        self.published = ended.code >= 0 and (self.migration.out / "report.json").exists()

    @precondition(lambda self: self.migration.exports)
    @rule(held=st.booleans(), limit=st.none() | st.integers(1, 4))
    def retry(self, held, limit):
        """Plan failures again, perhaps the held ones too, after whatever came before."""
        # What was drawn must not depend on how a run ended, or nothing could be replayed.
        if not self.migration.out.exists():
            return
        options = (*(["--held"] if held else []), *self._limit(limit))
        ended = self.migration.run(*options, command="retry", hook=HURRY)
        assert ended.code in FINE, ended.said
        self.published = True

    @precondition(lambda self: self.migration.exports)
    @rule()
    def two_runs(self):
        """Start two runs at once: one works, the other leaves or comes after it."""
        both = [self.migration.start(hook=HURRY) for _ in range(2)]
        codes = {started.wait().code for started in both}
        assert codes <= FINE | {11}
        assert codes != {11}
        self.published = True

    @invariant()
    def everything_is_accounted_for(self):
        """I1 to I10, from the outside."""
        if self.migration is None or not (self.migration.out / "ledger.sqlite").exists():
            return
        if self.published:
            self.migration.check()
        else:
            self.migration.check_after_death()

    def _limit(self, limit):
        return [] if limit is None else ["--limit", limit]


def live(vault, examples, steps):
    """Live so many lives of so many steps each."""

    class OneLife(Life):
        pass

    OneLife.vault = vault
    run_state_machine_as_test(
        OneLife,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        (2, 7),
        slow(12, 7),
        pytest.param(300, 12, marks=[pytest.mark.slow, pytest.mark.timeout(7200)]),
    ],
)
def test_any_life_of_a_migration_keeps_every_invariant(tmp_path, examples, steps):
    """Whatever is done to it in whatever order, after each step everything is accounted for."""
    faults = "seed=4 D=0.06 R=0.04 T=0.04 5=0.03 8=0.02"
    with running(journal=tmp_path / "journal", faults=faults) as vault:
        live(vault, examples, steps)
