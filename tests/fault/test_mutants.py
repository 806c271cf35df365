"""The checks are checked: deliberate bugs, each caught by the scenario that is to catch it.

A scenario passes on the pipeline as it is, and fails on every one of its bugs. Of bugs and scenarios
that are alike one is tried by default, and all among the slow tests.
"""

import re
import signal
from dataclasses import replace

import pytest

from tests.support.crash import need_strace, wait_until
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

MUTANTS = "tests.support.mutants:"


def killed_in_commits(tmp_path, hook):
    """Kill runs whose disk is slow in the middle of a commit, resume, check."""
    need_strace()
    with running(journal=tmp_path / "journal") as vault:
        for when in (6, 8, 12):
            migration = Migration(tmp_path / f"{when}", vault)
            migration.add(new_rows(40))
            inject = [f"ftruncate:signal=SIGKILL:when={when}", "fdatasync:delay_enter=10000"]
            ended, _ = migration.traced(inject=inject, hook=hook)
            assert ended.killed, ended.said
            migration.check_after_death()
            resumed = migration.run(hook=hook)
            assert resumed.code == 0, resumed.said
            assert {"tokenized": 40} == dict(migration.check().states)


def killed_while_the_vault_is_slow(tmp_path, hook):
    """Kill a run with all slots waiting for an answer, resume, check."""
    with running(journal=tmp_path / "journal", latency_s=0.05) as vault:
        for answers in (17, 8):
            migration = Migration(tmp_path / f"{answers}", vault)
            migration.add(new_rows(40))
            started = migration.start(hook=hook)
            wait_until(lambda m=migration, n=answers: len(m.journal) >= n)
            started.signal(signal.SIGKILL)
            assert started.wait().killed
            migration.check_after_death()
            resumed = migration.run(hook=hook)
            assert resumed.code == 0, resumed.said
            assert {"tokenized": 40} == dict(migration.check().states)


def answers_lost(tmp_path, hook):
    """Lose answers of tokens that were made, with `on_ambiguous = "hold"`."""
    with running(journal=tmp_path / "journal", faults="..D...T.") as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        migration.configure('on_ambiguous = "hold"')
        migration.add(new_rows(20))
        ended = migration.run(hook=hook)
        assert ended.code == 3, ended.said
        assert {"tokenized": 18, "held": 2} == dict(migration.check().states)


def carried(tmp_path, hook):
    """Carry two exports that share ids, with duplicates inside the first.

    The vault takes longer than it takes to come to the second, whose rows have to wait.
    """
    with running(journal=tmp_path / "journal", latency_s=0.4) as vault:
        migration = Migration(tmp_path / "m", vault, in_flight_max=16)
        first = new_rows(12)
        first[9] = replace(first[9], legacy_id=first[1].legacy_id)
        migration.add(first)
        migration.add([replace(row, name=f"{row.name} again") for row in first[3:6]])
        ended = migration.run(hook=hook)
        assert ended.code == 3, ended.said
        facts = migration.check()
        assert {"tokenized": 10, "rejected": 2, "already_tokenized": 3} == dict(facts.states)
        assert 10 == len(migration.journal)


def export_changed_between_the_passes(tmp_path, hook):
    """Let somebody write into the export after it was proved: nothing of it may be sent."""
    with running(journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(10))
        migration.run(hook=hook or f"{MUTANTS}change_the_export_between_the_passes")
        everything = (tmp_path / "journal").read_text("utf-8")
        assert everything == ""


def synced_before_sending(tmp_path, hook):
    """Read in a trace that the first card left only after its intent's commit was synced.

    Another commit may have begun by then. So what is read of the ledger's calls before the card
    is whole commits, each of which ends where the journal is cut to nothing.
    """
    need_strace()
    with running(journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(8))
        ended, trace = migration.traced(
            inject=["fdatasync:delay_enter=10000"],
            calls=("pwrite64", "ftruncate", "write", "sendto", "writev"),
            hook=hook,
        )
        assert ended.code == 0, ended.said
        before = trace[: trace.index('"POST /tokens')]
        *commits, _ = re.split(r"ftruncate\(\d+<\S*ledger\.sqlite-journal>, 0", before)
        touched = [
            re.findall(
                r"^(\d+) +(pwrite64|fdatasync)\(\d+<\S*ledger\.sqlite>", commit, re.MULTILINE
            )
            for commit in commits
        ]
        unsynced = [calls for calls in touched if calls and calls[-1][1] != "fdatasync"]
        assert [] == unsynced
        # The plan is written by the thread that made it, intents by the ledger's own.
        assert 2 == len({calls[-1][0] for calls in touched if calls})


def sync_failed(tmp_path, hook):
    """Let one sync fail: not a byte is written to the ledger after its rollback."""
    need_strace()
    with running(journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(40))
        ended, trace = migration.traced(
            inject=["fdatasync:error=EIO:when=14"], calls=("pwrite64",), hook=hook
        )
        assert ended.code == 5, ended.said
        after = trace[trace.index("(INJECTED)") :]
        assert not re.search(r"pwrite64\(\d+<\S*-journal>", after)


def two_at_once(tmp_path, hook):
    """Start four runs of one folder together: one works when all have come, three leave with 11."""
    with running(journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(40))
        hook = hook or "tests.support.hooks:stop_before_sending"
        racing = [migration.start(hook=hook) for _ in range(4)]
        # Nobody goes on before all have come: a late one would find the folder free.
        for started in [one for one in racing if one.stops()]:
            started.signal(signal.SIGCONT)
        ended = [started.wait() for started in racing]
        said = "\n".join(run.said for run in ended)
        assert [0, 11, 11, 11] == sorted(run.code for run in ended), said
        migration.check()


def overtaken(tmp_path, hook):
    """Let a run sleep while another does its work: the sleeper writes and sends nothing more."""
    with running(journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.add(new_rows(40))
        older = migration.start(hook=hook or f"{MUTANTS}stop_unlocked_before_sending")
        if not older.stops():
            pytest.fail(f"the run did not sleep: {older.wait()}")
        try:
            newer = migration.run()
        finally:
            older.signal(signal.SIGCONT)
        ended = older.wait()
        assert newer.code == 0, newer.said
        assert ended.code == 8, ended.said
        assert "a later run has taken this ledger over" in ended.said
        assert {"tokenized": 40} == dict(migration.check().states)
        assert 40 == len(migration.journal)


SCENARIOS = {
    killed_in_commits: ["intent_not_awaited"],
    killed_while_the_vault_is_slow: [
        "commit_after_send",
        "slot_freed_early",
        "recovery_not_run",
        "unknowns_not_counted",
    ],
    answers_lost: ["timeout_taken_as_not_sent", "outcome_not_recorded"],
    carried: ["duplicates_not_found", "known_cards_not_found", "rivals_not_awaited"],
    export_changed_between_the_passes: ["digest_not_compared"],
    synced_before_sending: ["sync_dropped", "intent_not_awaited"],
    sync_failed: ["sync_tried_again"],
    two_at_once: ["stop_unlocked_before_sending"],
    overtaken: ["fence_not_checked"],
}
DAILY = {
    killed_while_the_vault_is_slow: ["recovery_not_run"],
    answers_lost: ["outcome_not_recorded"],
    carried: ["duplicates_not_found"],
    export_changed_between_the_passes: ["digest_not_compared"],
    synced_before_sending: ["intent_not_awaited"],
    sync_failed: ["sync_tried_again"],
    two_at_once: ["stop_unlocked_before_sending"],
    overtaken: ["fence_not_checked"],
}
"""What is tried by default: no two bugs of one kind."""


@pytest.mark.parametrize(
    "scenario",
    [scenario if scenario in DAILY else slow(scenario) for scenario in SCENARIOS],
    ids=lambda scenario: scenario.__name__,
)
def test_the_pipeline_as_it_is_passes(tmp_path, scenario):
    """Otherwise a scenario that catches a bug would prove nothing."""
    scenario(tmp_path, None)


@pytest.mark.parametrize(
    ("scenario", "bug"),
    [
        (scenario, bug) if bug in DAILY.get(scenario, ()) else slow(scenario, bug)
        for scenario, bugs in SCENARIOS.items()
        for bug in bugs
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_deliberate_bug_is_caught(tmp_path, scenario, bug):
    """The bug is in the forked command only; the scenario's checks must notice it."""
    with pytest.raises(AssertionError) as caught:
        scenario(tmp_path, MUTANTS + bug)

    # A bug that crashed the command on the spot would prove nothing about the checks.
    assert "(a bug:" not in str(caught.value)
