"""The n-th write, sync or open fails, once and for ever: stop before the next send, exit 5, go on."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from tests.support.crash import calls_by_thread, need_strace
from tests.support.migrations import Migration, new_rows
from tests.support.programs import require
from tests.support.sampled import sampled, slow
from tests.support.sandbox import running

ROWS = 40
SENDING, ENDING = "stop_before_sending", "stop_before_ending"
FAILURES = (
    # strace counts for every thread by itself, so each thread's work is counted on its own.
    *(
        (call, error, begins)
        for begins in (None, SENDING, ENDING)
        for call, error in (
            ("pwrite64", "ENOSPC"),
            ("pwrite64", "EIO"),
            ("fdatasync", "EIO"),
            ("ftruncate", "EIO"),
        )
    ),
    ("fsync", "EIO", None),
    ("openat", "EMFILE", None),
    ("openat", "EROFS", None),
    ("fsync", "EIO", ENDING),
    ("openat", "EMFILE", ENDING),
    ("openat", "ENOSPC", ENDING),
    ("write", "ENOSPC", ENDING),
    ("write", "EIO", ENDING),
    ("rename,renameat,renameat2", "ENOSPC", ENDING),
    ("unlink,unlinkat", "EROFS", ENDING),
)
PLACES = [(*failure, kind) for failure in FAILURES for kind in ("once", "for ever")]
DAILY = {2, 9, 37}
"""The places that are tried by default: one while planning, one while sending, one at the end."""

OPENS = ("EROFS", "EMFILE", "ENOSPC")
SENDS = ("write", "sendto", "writev")
OUTPUTS = (
    *("mapping.parquet", "failures.parquet", "failures.csv", "report.json", "report.html"),
    *("trail.jsonl", "manifest.json"),
)


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def places(migration, call):
    """Give the paths that a call is to fail on: the folder and what is in it; or any."""
    if call not in {"openat", "write"}:
        return ()
    out = migration.out
    # Figures for monitors are written before them, as often as a minute passes.
    unnamed = [
        f".{name}.PID-{n + earlier}.tmp"
        for n, name in enumerate(OUTPUTS, 1)
        for earlier in range(4)
    ]
    return [
        out,
        *(out / name for name in ("ledger.sqlite", "ledger.sqlite-journal", ".lock")),
        *(out / name for name in unnamed),
    ]


def fail_and_resume(migration, rule, begins):
    """Let calls fail as the rule says; check that it stopped in time; resume.

    Returns:
        Where it stopped: while "planning", "sending" or "ending"; None if nothing failed.
    """
    only = places(migration, rule.partition(":")[0])
    calls = () if only else SENDS
    ended, trace = migration.traced(inject=[rule], calls=calls, only=only, begins=begins)
    if "(INJECTED)" not in trace:
        assert ended.code == 0, ended.said
        return None
    # SQLite does not look whether its sync of the folder failed; the run has synced it before.
    unseen = only_folder_syncs_failed(trace)
    if begins == ENDING and ended.code == 0:
        # Metrics, and the note of how the ledger was left: what comes when all is done fails no run.
        assert {"tokenized": ROWS} == dict(migration.check().states)
    else:
        assert ended.code == (0 if unseen else 5), ended.said
    assert "bug" not in ended.said
    assert "Traceback" not in ended.said
    stopped = "sending" if migration.journal else "planning"
    facts = migration.check_after_death()
    if facts is not None and facts.rows and facts.settled:
        stopped = "ending"
    # What was on its way when the disk failed may still leave; nothing new may.
    after = trace[trace.index("(INJECTED)") :]
    assert unseen or after.count('"POST /tokens') <= migration.in_flight_max
    resumed = migration.run()
    assert resumed.code == 0, resumed.said
    assert {"tokenized": ROWS} == dict(migration.check().states)
    return stopped


def only_folder_syncs_failed(trace):
    """Tell whether all that failed is SQLite's; the run itself opens the folder with O_DIRECTORY."""
    opened = r"openat\([^,]*, \"[^\"]*/out\", O_RDONLY\|O_CLOEXEC(?!\|)"
    syncs = rf"fdatasync\(\d+<[^>]*/out>|{opened}"
    return all(re.search(syncs, call) for call in failed_calls(trace))


def failed_calls(trace):
    """Give the calls that failed; where another thread came between, their ends name no file."""
    begun = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
        elif "(INJECTED)" in call:
            yield begun[thread] + call if call.lstrip().startswith("<... ") else call


@pytest.mark.parametrize(("flags", "is_sqlites"), [("", True), ("|O_DIRECTORY", False)])
def test_whose_sync_of_the_folder_failed_is_told_by_how_it_was_opened(flags, is_sqlites):
    """SQLite does not ask for a folder; whoever does looks whether it failed, and stops."""
    opened = f'openat(AT_FDCWD, "/m/out", O_RDONLY|O_CLOEXEC{flags}'
    whole = f"7 {opened}) = -1 EMFILE (Too many open files) (INJECTED)\n"
    cut = f"7 {opened} <unfinished ...>\n7 <... openat resumed>) = -1 EMFILE (INJECTED)\n"

    assert {only_folder_syncs_failed(trace) for trace in (whole, cut)} == {is_sqlites}


@pytest.mark.parametrize(("name", "is_folder"), [("out", True), ("out/ledger.sqlite", False)])
def test_a_call_that_another_thread_cut_in_two_is_known_by_its_beginning(name, is_folder):
    """On a busy machine the line that tells of the failure does not say of which file."""
    trace = f"""\
7 fdatasync(5</m/{name}> <unfinished ...>
8 sendto(9<socket:[4]>, "POST /tokens", 12, 0, NULL, 0) = 12
7 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)
"""
    assert only_folder_syncs_failed(trace) is is_folder


def journal_writes(trace):
    return [line for line in trace.splitlines() if re.search(r"pwrite64\(\d+<\S*-journal>", line)]


def counted(folder, vault, call, begins):
    migration = Migration(folder, vault)
    migration.add(new_rows(ROWS))
    only = places(migration, call)
    ended, trace = migration.traced(calls=call.split(","), only=only, begins=begins)
    assert ended.code == 0, ended.said
    most = calls_by_thread(trace)
    return max(most.get(name, 0) for name in call.split(","))


@pytest.mark.parametrize(
    ("call", "error", "begins", "kind"),
    [place if number in DAILY else slow(*place) for number, place in enumerate(PLACES)],
)
def test_a_failing_disk_stops_the_run_before_the_next_send(
    tmp_path, vault, call, error, begins, kind
):
    """A sample of places: exit 5, at most C answers more, and the same command ends it."""
    need_strace()
    most = counted(tmp_path / "counted", vault, call, begins)
    # Two runs need not make the same number of calls: the last ones may not come again.
    often = "+" if kind == "for ever" else ""
    when = random.Random(f"{call}{error}{begins}{often}").randint(1, 1 + most // 2)
    migration = Migration(tmp_path / f"{when}", vault)
    migration.add(new_rows(ROWS))
    rule = f"{call}:error={error}:when={when}{often}"

    assert fail_and_resume(migration, rule, begins) is not None


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["", "+"], ids=["once", "for ever"])
@pytest.mark.parametrize(("call", "error", "begins"), FAILURES)
def test_a_disk_that_fails_at_any_place_stops_the_run(tmp_path, vault, call, error, begins, kind):
    """The same for every n until a run gets through or stops where another count begins.

    `CARDFERRY_FAIL_STRIDE` thins it out.
    """
    need_strace()
    last = {None: "planning", SENDING: "sending"}.get(begins, "ending")
    when, stopped = 1, []
    while True:
        migration = Migration(tmp_path / f"{when}", vault)
        migration.add(new_rows(ROWS))
        rule = f"{call}:error={error}:when={when}{kind}"
        stopped.append(fail_and_resume(migration, rule, begins))
        shutil.rmtree(migration.base)
        if stopped[-1] not in {"planning", last}:
            break
        when += int(os.environ.get("CARDFERRY_FAIL_STRIDE", "1"))
    print(f"{call} {error}{kind} from {begins or 'the start'}: {len(stopped) - 1} places")

    assert stopped[0] is not None


@pytest.mark.parametrize("when", [slow(11), 13, slow(14), 20, slow(30)])
def test_a_sync_that_failed_is_never_tried_again(tmp_path, vault, when):
    """After a failed sync nobody knows what the disk holds: not one more commit is begun."""
    need_strace()
    migration = Migration(tmp_path / "m", vault)
    migration.add(new_rows(ROWS))
    ended, trace = migration.traced(
        inject=[f"fdatasync:error=EIO:when={when}"], calls=("pwrite64", *SENDS)
    )
    assert ended.code == 5, ended.said
    after = trace[trace.index("(INJECTED)") :]

    assert [] == journal_writes(after)


@pytest.mark.parametrize(
    ("name", "error"),
    sampled(
        [
            (name, error)
            for name in ("ledger.sqlite", "ledger.sqlite-journal", ".lock")
            for error in OPENS
        ],
        8,
    ),
)
def test_a_file_that_cannot_be_opened_stops_the_run(tmp_path, vault, name, error):
    """A folder turned read-only, no descriptors left, a full disk: exit 5 and nothing is sent."""
    need_strace()
    migration = Migration(tmp_path / "m", vault)
    migration.add(new_rows(ROWS))
    path = migration.out / name
    ended, trace = migration.traced(inject=[f"openat:error={error}:when=1+"], only=[path])
    assert "(INJECTED)" in trace
    assert ended.code == 5, ended.said

    assert [] == migration.journal
    assert migration.run().code == 0
    assert {"tokenized": ROWS} == dict(migration.check().states)


@pytest.mark.parametrize("limit", [slow(3_000), 40_000, slow(81_920), slow(90_000), slow(100_000)])
def test_a_file_size_limit_anywhere_stops_the_run(tmp_path, vault, limit):
    """EFBIG instead of ENOSPC: the ledger or an output outgrows what the system allows; one limit by default."""
    migration = Migration(tmp_path / "m", vault)
    migration.add(new_rows(400))
    ended = migration.run(limits={"RLIMIT_FSIZE": limit})
    assert ended.code == 5, ended.said
    migration.check_after_death()
    resumed = migration.run()
    assert resumed.code == 0, resumed.said

    assert {"tokenized": 400} == dict(migration.check().states)


def test_more_connections_than_descriptors_are_refused_before_anything_is_sent(tmp_path, vault):
    """The hard limit leaves too few for `in_flight_max`: 7, and with fewer the same folder goes on."""
    migration = Migration(tmp_path / "m", vault, in_flight_max=64)
    migration.add(new_rows(ROWS))
    refused = migration.run(limits={"RLIMIT_NOFILE": 128})

    assert (7, []) == (refused.code, migration.journal)
    assert "flow.in_flight_max: 160 descriptors" in refused.said
    migration.in_flight_max = 32
    migration.configure()
    assert migration.run(limits={"RLIMIT_NOFILE": 128}).code == 0
    assert {"tokenized": ROWS} == dict(migration.check().states)


@pytest.fixture
def small_disk(tmp_path):
    """Give a function that makes a disk of so many kilobytes; skip where that is not allowed."""
    mounted = []

    def mount(kilobytes):
        folder = tmp_path / f"disk-{kilobytes}"
        folder.mkdir()
        options = f"size={kilobytes}k,mode=0700"
        words = [require("mount"), "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            pytest.skip("small disks need the right to mount one")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [slow(40), 100, slow(140), 170, slow(200)])
def test_a_full_disk_stops_the_run_and_leaves_the_old_outputs_whole(
    tmp_path, vault, small_disk, kilobytes
):
    """Full in the ledger or in an output: exit 5 or through; with room the same command ends it."""
    disk = small_disk(kilobytes)
    migration = Migration(tmp_path / "m", vault)
    migration.out = disk / "out"
    migration.add(new_rows(400))
    ended = migration.run()
    assert ended.code in {0, 5}, ended.said
    migration.check_after_death()
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    resumed = migration.run()
    assert resumed.code == 0, resumed.said

    assert {"tokenized": 400} == dict(migration.check().states)


def test_without_room_for_the_plan_nothing_is_sent(tmp_path, vault, small_disk):
    """Told as 5 before the first card leaves, with what is there and what is needed."""
    migration = Migration(tmp_path / "m", vault)
    migration.out = small_disk(900) / "out"
    migration.add(new_rows(400))
    ended = migration.run()

    assert ended.code == 5
    assert "MiB" in ended.said
    assert "nothing was sent" in ended.said
    assert [] == migration.journal


def test_a_disk_that_fills_up_while_cards_are_under_way_costs_no_token(tmp_path, vault, small_disk):
    """Somebody else takes the last block: the answers that come are written all the same."""
    disk = small_disk(8_000)
    migration = Migration(tmp_path / "m", vault)
    migration.out = disk / "out"
    migration.configure(pace=400)
    migration.add(new_rows(1200))
    started = migration.start()
    while len(migration.journal) < 40:
        time.sleep(0.01)
    # What we give up must not go to whoever is just filling the disk.
    started.signal(signal.SIGSTOP)
    assert started.stops()
    fill(disk / "somebody-elses")
    started.signal(signal.SIGCONT)
    ended = started.wait()
    assert ended.code == 5, ended.said
    made = len(migration.journal)
    assert 40 <= made < 1200
    migration.check_after_death()
    (disk / "somebody-elses").unlink()
    migration.configure()
    resumed = migration.run()
    assert resumed.code == 0, resumed.said

    assert {"tokenized": 1200} == dict(migration.check().states)
    assert len(migration.journal) == 1200, "a second token was made"
    assert not (migration.out / ".reserve").exists()


def fill(path):
    """Take every block that is left."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
