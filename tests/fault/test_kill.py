"""SIGKILL at the n-th durable step, at every n, and at random instants: nothing lost or doubled."""

import os
import random
import signal
import time

import pytest

from tests.support.commands import sealed
from tests.support.crash import calls_by_thread, need_strace
from tests.support.exports import keyring
from tests.support.migrations import Migration, new_rows
from tests.support.sandbox import running

STEPS = (
    "fdatasync",
    "fsync",
    "pwrite64",
    "ftruncate",
    "rename,renameat,renameat2",
    "write,sendto,writev",
    "read,recvfrom,readv",
)
"""The calls that change the disk or talk to the vault, as a trace of a run shows them."""


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    need_strace()
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def kill_and_resume(migration, call, when):
    """Kill a run at its n-th call of a thread, check, resume, check; tell whether it was killed."""
    ended, _ = migration.traced(inject=[f"{call}:signal=SIGKILL:when={when}"])
    if not ended.killed:
        assert ended.code == 0, ended.said
        migration.check()
        return False
    after = migration.check_after_death()
    unseen = 0 if after is None else after.unseen_max
    resumed = migration.run()
    assert resumed.code == 0, resumed.said
    facts = migration.check()
    rows = sum(len(export) for export in migration.exports)
    assert {"tokenized": rows} == dict(facts.states)
    assert unseen == facts.unseen_max
    return True


def counted(folder, vault, rows):
    """Count the calls of an undisturbed run, for the thread that makes the most of them."""
    migration = Migration(folder, vault)
    migration.add(new_rows(rows))
    names = ",".join(STEPS).split(",")
    ended, trace = migration.traced(calls=names)
    assert ended.code == 0, ended.said
    most = calls_by_thread(trace)
    return {step: max(most.get(name, 0) for name in step.split(",")) for step in STEPS}


@pytest.mark.parametrize(("rows", "points"), [(1, 1), (40, 2), (400, 1)])
def test_killed_at_a_sample_of_durable_steps_a_run_loses_and_doubles_nothing(
    tmp_path, vault, rows, points
):
    """Whatever call dies: at most C rows in doubt, all counted, and the same command ends it."""
    calls = counted(tmp_path / "counted", vault, rows)
    seeded = random.Random(f"{rows}")
    killed = 0
    if rows == 400:
        calls = {step: calls[step] for step in ("fdatasync", "pwrite64", "write,sendto,writev")}
    for step, most in calls.items():
        for when in sorted(seeded.sample(range(1, most + 1), min(points, most))):
            migration = Migration(tmp_path / f"{step}-{when}", vault)
            migration.add(new_rows(rows))
            killed += kill_and_resume(migration, step, when)

    assert killed >= len(calls)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("rows", [1, 40, 400])
def test_killed_at_every_durable_step_a_run_loses_and_doubles_nothing(tmp_path, vault, rows, step):
    """The same at n = 1, 2, 3 ... until a run gets through; `CARDFERRY_KILL_STRIDE` thins it out."""
    when, stride = 1, int(os.environ.get("CARDFERRY_KILL_STRIDE", "1"))
    while True:
        migration = Migration(tmp_path / f"{when}", vault)
        migration.add(new_rows(rows))
        if not kill_and_resume(migration, step, when):
            break
        when += stride

    assert when > 1


@pytest.mark.parametrize("when", [2, 25, 60])
def test_killed_with_a_decrypting_child_a_run_of_a_sealed_export_goes_on(tmp_path, vault, when):
    """The child that holds the key dies with the run; nothing of it stands in the way."""
    migration = Migration(tmp_path / "m", vault)
    plain = migration.add(new_rows(40))
    migration.paths = [sealed(tmp_path, plain.read_bytes())]
    key = f'key = {{ file = "{keyring().secret("cv25519")}" }}'
    text = migration.settings.read_text("utf-8").replace("allow_plaintext = true", key)
    migration.settings.write_text(text, "utf-8")

    assert kill_and_resume(migration, "fdatasync", when)


def kill_again_and_again(migration, seeded, kills, longest_s):
    """Start a run, kill it at a random instant, check; as often as asked."""
    killed = 0
    for _ in range(kills):
        started = migration.start()
        time.sleep(seeded.uniform(0, longest_s))
        started.signal(signal.SIGKILL)
        killed += started.wait().killed
        facts = migration.check_after_death()
        assert facts is None or facts.unseen_max <= killed * migration.in_flight_max
    return killed


@pytest.mark.parametrize(
    ("migrations", "kills"),
    [(1, 6), pytest.param(10, 20, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_killed_at_random_instants_in_a_chain_a_migration_ends_balanced(
    tmp_path, vault, migrations, kills
):
    """Up to twenty kills in one migration: U stays within C a kill and every row ends once."""
    seeded = random.Random(20261123)
    for number in range(migrations):
        migration = Migration(tmp_path / f"{number}", vault)
        migration.configure(pace=1500)
        migration.add(new_rows(1500))
        killed = kill_again_and_again(migration, seeded, kills, 0.5)
        ended = migration.run()
        facts = migration.check()

        assert ended.code in {0, 3}, ended.said
        assert {"tokenized", "held"} >= set(facts.states)
        assert facts.unseen_max <= killed * migration.in_flight_max
