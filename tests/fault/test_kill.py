"""SIGKILL at the n-th durable step, at every n, and at random instants: nothing lost or doubled."""

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from pipeline.ledger.ledger_url import LEDGER_NAME
from pipeline.ledger.sections import EARLY_CARDS, EARLY_REQUESTS
from tests.support.commands import sealed
from tests.support.crash import calls_by_thread, need_strace
from tests.support.exports import keyring
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

DISK = ("fdatasync", "fsync", "pwrite64", "ftruncate", "rename,renameat", "unlink,unlinkat")
TALK = ("write,sendto,writev", "read,recvfrom,readv")
PHASES = {
    # strace counts for every thread by itself, and the thread that plans and publishes is not
    # the one that commits: counted from the start alone, its calls would hide the other's.
    None: (*DISK, "write,sendto,writev"),
    "stop_before_sending": ("fdatasync", "fsync", "pwrite64", "ftruncate", *TALK),
    "stop_before_ending": (*DISK, "write,sendto,writev"),
}
"""The calls that change the disk or talk to the vault, by where the counting begins."""

STEPS = [(begins, step) for begins, steps in PHASES.items() for step in steps]


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    need_strace()
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def kill_and_resume(migration, call, when, begins=None):
    """Kill a run at its n-th call of a thread, check, resume, check.

    Returns:
        Where it died: while "planning", "sending" or "publishing"; None if it got through.
    """
    ended, _ = migration.traced(inject=[f"{call}:signal=SIGKILL:when={when}"], begins=begins)
    if not ended.killed:
        assert ended.code == 0, ended.said
        migration.check()
        return None
    died = "sending" if migration.journal else "planning"
    after = migration.check_after_death()
    unseen = 0 if after is None else after.unseen_max
    if after is not None and after.rows and after.settled:
        died = "publishing"
    resumed = migration.run()
    assert resumed.code == 0, resumed.said
    facts = migration.check()
    rows = sum(len(export) for export in migration.exports)
    assert {"tokenized": rows} == dict(facts.states)
    assert unseen == facts.unseen_max
    return died


def counted(folder, vault, rows, begins=None):
    """Count the calls of an undisturbed run, for the thread that makes the most of them."""
    migration = Migration(folder, vault)
    migration.add(new_rows(rows))
    steps = PHASES[begins]
    ended, trace = migration.traced(calls=",".join(steps).split(","), begins=begins)
    assert ended.code == 0, ended.said
    most = calls_by_thread(trace)
    return {step: max(most.get(name, 0) for name in step.split(",")) for step in steps}


@pytest.mark.parametrize(
    ("rows", "every", "begins"),
    [
        # Counted from the start, a run of a sealed export is killed below.
        *((40, 4, begins) if begins else slow(40, 4, begins) for begins in PHASES),
        *(slow(rows, 1, begins) for rows in (40, 1) for begins in PHASES),
    ],
)
def test_killed_at_a_sample_of_durable_steps_a_run_loses_and_doubles_nothing(
    tmp_path, vault, rows, every, begins
):
    """Whatever call dies: at most C rows in doubt, all counted, and the same command ends it."""
    calls = {step: n for step, n in counted(tmp_path / "counted", vault, rows, begins).items() if n}
    seeded = random.Random(f"{rows}{begins}")
    killed = 0
    chosen = list(calls.items())[::every]
    for step, most in chosen:
        # Two runs need not make the same number of calls: the last ones may not come again.
        when = seeded.randint(1, 1 + most // 2)
        migration = Migration(tmp_path / f"{step}-{when}", vault)
        migration.add(new_rows(rows))
        killed += kill_and_resume(migration, step, when, begins) is not None

    assert killed == len(chosen) > 1


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("begins", "step"), STEPS)
@pytest.mark.parametrize(("rows", "stride"), [(1, 1), (40, 1), (400, 25)])
def test_killed_at_every_durable_step_a_run_loses_and_doubles_nothing(
    tmp_path, vault, rows, stride, begins, step
):
    """The same at n = 1, 2, 3 ... until a run gets through or dies where another count begins.

    `CARDFERRY_KILL_STRIDE` thins it out; `test_images` has every call of the largest workload.
    """
    stride = int(os.environ.get("CARDFERRY_KILL_STRIDE", stride))
    last = {None: "planning", "stop_before_sending": "sending"}.get(begins, "publishing")
    when, died = 1, []
    while True:
        migration = Migration(tmp_path / f"{when}", vault)
        migration.add(new_rows(rows))
        died.append(kill_and_resume(migration, step, when, begins))
        shutil.rmtree(migration.base)
        if died[-1] not in {"planning", last}:
            break
        when += stride
    print(f"{rows} rows, {step} from {begins or 'the start'}: killed at {len(died) - 1} places")

    made = counted(tmp_path / "counted", vault, rows, begins)[step]
    assert made == 0 or died[0] is not None


@pytest.mark.parametrize("when", [slow(2), 25, slow(40)])
def test_killed_with_a_decrypting_child_a_run_of_a_sealed_export_goes_on(tmp_path, vault, when):
    """The child that holds the key dies with the run; nothing of it stands in the way."""
    migration = Migration(tmp_path / "m", vault)
    plain = migration.add(new_rows(40))
    migration.paths = [sealed(tmp_path, plain.read_bytes())]
    key = f'key = {{ file = "{keyring().secret("cv25519")}" }}'
    text = migration.settings.read_text("utf-8").replace("allow_plaintext = true", key)
    migration.settings.write_text(text, "utf-8")

    assert kill_and_resume(migration, "fdatasync", when) is not None


def kill_again_and_again(migration, seeded, kills, longest_s, **how):
    """Start a run, kill it at a random instant, check; as often as asked."""
    killed = 0
    for _ in range(kills):
        started = migration.start(**how)
        time.sleep(seeded.uniform(0, longest_s))
        started.signal(signal.SIGKILL)
        killed += started.wait().killed
        facts = migration.check_after_death()
        assert facts is None or facts.unseen_max <= killed * migration.in_flight_max
    return killed


@pytest.mark.parametrize(
    ("migrations", "kills", "rows"),
    [(1, 3, 500), pytest.param(10, 20, 1500, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_killed_at_random_instants_in_a_chain_a_migration_ends_balanced(
    tmp_path, vault, migrations, kills, rows
):
    """Up to twenty kills in one migration: U stays within C a kill and every row ends once."""
    seeded = random.Random(20261123)
    for number in range(migrations):
        migration = Migration(tmp_path / f"{number}", vault)
        migration.configure(pace=rows)
        migration.add(new_rows(rows))
        killed = kill_again_and_again(migration, seeded, kills, 0.5)
        ended = migration.run()
        facts = migration.check()

        assert ended.code in {0, 3}, ended.said
        assert {"tokenized", "held"} >= set(facts.states)
        assert facts.unseen_max <= killed * migration.in_flight_max


@pytest.mark.parametrize(
    ("migrations", "kills"),
    [(1, 2), pytest.param(10, 8, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_killed_while_it_works_early_a_migration_ends_balanced(tmp_path, vault, migrations, kills):
    """Marks that are left say nothing, and no process of a killed run leaves a copy behind."""
    seeded = random.Random(20261128)
    copies = tmp_path / "copies"
    copies.mkdir()
    how = {
        "hook": "tests.support.hooks:work_early",
        "environment": {"TMPDIR": str(copies)},
    }
    for number in range(migrations):
        migration = Migration(tmp_path / f"{number}", vault)
        migration.configure(pace=3_000)
        migration.add(new_rows(4_000))
        killed = kill_again_and_again(migration, seeded, kills, 3, **how)
        ended = migration.run(**how)
        facts = migration.check()

        assert ended.code in {0, 3}, ended.said
        assert {"tokenized", "held"} >= set(facts.states)
        assert facts.unseen_max <= killed * migration.in_flight_max
        with closing(sqlite3.connect(migration.out / LEDGER_NAME)) as driver:
            marks = "SELECT * FROM sections WHERE of IN (?, ?)"
            assert not driver.execute(marks, (EARLY_CARDS, EARLY_REQUESTS)).fetchall()
    assert not list(copies.iterdir())
