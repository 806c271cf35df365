"""`status` beside a living run, after a death, and after the end; it never stands in the way."""

import signal
import time

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.crash import need_strace, wait_until, zygote
from tests.support.migrations import Migration, new_rows
from tests.support.sandbox import running, spawned


def test_status_beside_a_living_run_counts_and_does_not_disturb_it(tmp_path):
    """Looked at again and again, the run ends as if nobody had looked."""
    with spawned("--latency-ms", "20", journal=tmp_path / "journal") as vault:
        migration = Migration(tmp_path / "m", vault)
        migration.configure(vault=("read_timeout_s = 300", "total_timeout_s = 300"))
        migration.add(new_rows(200))
        began = time.monotonic()
        started = migration.start()
        wait_until(lambda: len(migration.journal) >= 20)
        # However long the looks take, the run is still there: its vault keeps it waiting.
        vault.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: migration.status_of("tokenized"))
            looks = [migration.status() for _ in range(5)]
            words = zygote().run("status", migration.out).said
        finally:
            vault.process.send_signal(signal.SIGCONT)
        took = time.monotonic() - began
        migration.status()
        assert looks[0]["running"]
        # The run has that file, and needs no other command.
        assert "rows of export-1.csv wait" in words
        assert "give that file again" not in words
        assert "next:" not in words
        assert [200] * 5 == [look["rows"] for look in looks]
        assert all(look["unseen_tokens_max"] <= 8 for look in looks)
        # What ran before the first answer, or in an earlier minute, does not slow the rate down.
        assert looks[4]["rows_per_s"] >= looks[4]["states"]["tokenized"] / took
        assert 0 < looks[4]["seconds_left"]
        ended = started.wait()
        after = migration.status()

        assert ended.code == 0, ended.said
        assert not after["running"]
        assert 200 == after["states"]["tokenized"]
        assert 0 == after["last_run"]["exit_code"]
        assert {"tokenized": 200} == dict(migration.check().states)


def test_status_after_a_death_in_the_middle_of_a_commit_tells_of_it(tmp_path):
    """The half commit is rolled back by whoever looks first, and the open intents are shown."""
    need_strace()
    with running(journal=tmp_path / "journal") as vault:
        # Two commits a row; with more rows at once a busy machine may make any number of them in one.
        migration = Migration(tmp_path / "m", vault, in_flight_max=1)
        migration.add(new_rows(160))
        # The journal is complete and the database half written when the run dies.
        ended, _ = migration.traced(
            inject=["pwrite64:signal=SIGKILL:when=80"], only=[migration.out / "ledger.sqlite"]
        )
        assert ended.killed
        assert (migration.out / "ledger.sqlite-journal").stat().st_size > 0
        look = migration.status()
        words = zygote().run("status", migration.out)

        assert not look["running"]
        assert not look["last_run"]["ended"]
        assert look["states"]["sent"] == look["unseen_tokens_max"] <= 1
        assert "the last run died" in words.said
        assert look["unseen_tokens_max"] == migration.check_after_death().unseen_max


def test_status_tells_how_a_stopped_run_ended(tmp_path):
    """The exit code of the last run is kept and explained, whoever looks later."""
    with running(journal=tmp_path / "journal", latency_s=0.2) as vault:
        migration = Migration(tmp_path / "m", vault)
        # Half a minute of answers, of which the signal leaves a second: looking may take its time.
        migration.add(new_rows(1_000))
        started = migration.start()
        wait_until(lambda: migration.journal)
        look = migration.status()
        assert look["running"]
        started.signal(signal.SIGTERM)

        assert 143 == started.wait().code
        assert 143 == migration.status()["last_run"]["exit_code"]
        words = zygote().run("status", migration.out).said
        assert "the last run ended with 143: stopped by the system" in words


def test_status_of_a_folder_without_a_ledger_says_so(tmp_path):
    """Exit 8 and a next step."""
    ended = zygote().run("status", tmp_path)

    assert ended.code == 8
    assert "there is no ledger in this folder" in ended.said


def test_status_of_a_ledger_that_a_kill_left_empty_says_that_nothing_was_begun(tmp_path):
    """The folder is the right one; only the first commit never came."""
    (tmp_path / "ledger.sqlite").touch()
    ended = zygote().run("status", tmp_path)

    assert ended.code == 8
    assert "no run has come as far as beginning a ledger" in ended.said


@pytest.fixture
def carried(tmp_path):
    """A folder that carried two good rows and one bad one, with limit and without."""
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        good = sealed(tmp_path, rows_csv(2), "good.csv.pgp")
        bad = sealed(tmp_path, rows_csv(1, first=9) + b"x,Ann,12,1,2031,Bangkok,c\n")
        yield (
            lambda *words, **how: cardferry(
                *words[:1], *({"good": good, "bad": bad}.get(w, w) for w in words[1:]), **how
            ),
            ("-c", config, "-o", tmp_path / "out"),
        )


def test_check_ends_with_0_after_a_clean_success(carried, tmp_path):
    """All settled and the success young enough: 0, one line, and nothing at all with -q."""
    command, options = carried
    command("run", "good", *options)

    said = command("status", tmp_path / "out", "--check", "--max-age", "26h").out
    silent = command("status", tmp_path / "out", "--check", "-q")

    assert "all is well" in said
    assert ("", "") == (silent.out, silent.err)


def test_check_ends_with_3_for_open_failures(carried, tmp_path):
    """A run with a bad row is a success, and its failure is open until it is mended."""
    command, options = carried
    command("run", "bad", *options, code=3)

    done = command("status", tmp_path / "out", "--check", "--json", code=3).json

    assert (3, "1 failure is open: look at failures.csv") == (done["exit_code"], done["verdict"])
    assert done["last_success_age_s"] >= 0


def test_check_ends_with_4_for_rows_that_wait_and_names_the_export(carried, tmp_path):
    """Rows that wait outweigh failures: the file that has to be given again is named."""
    command, options = carried
    command("run", "good", *options, "--limit", "1", code=4)
    command("run", "bad", *options, code=None)

    told = command("status", tmp_path / "out", "--check", code=4).out
    shown = command("status", tmp_path / "out").out

    assert "out: 1 row of good.csv.pgp waits: give that file again" in told
    assert "1 row of good.csv.pgp waits: give that file again" in shown


def test_check_ends_with_4_for_a_success_that_is_too_old(carried, tmp_path):
    """The night before last is no success of last night."""
    command, options = carried
    command("run", "good", *options)
    time.sleep(1.1)

    told = command("status", tmp_path / "out", "--check", "--max-age", "1s", code=4).out

    assert "the last success was" in told


def test_an_age_without_check_is_a_wrong_command_line(carried, tmp_path):
    """--max-age alone would be ignored in silence; it is refused."""
    command, options = carried
    command("run", "good", *options)

    assert "goes with --check" in command("status", tmp_path / "out", "--max-age", "1h", code=2).err


def test_open_rows_are_named_by_number_and_so_is_the_file_that_lists_all_of_them(carried, tmp_path):
    """Whoever asks how things are learns which row of which export has to be mended."""
    command, options = carried
    out = tmp_path / "out"
    command("run", "bad", *options, code=3)

    shown = command("status", out)
    tree = command("status", out, "--json").json

    assert f"1 row rejected (row 2 of cards.csv.pgp): look at {out}/failures.csv" in shown.err
    assert [2] == tree["open"][0]["first_rows"]
    assert tree["lists_are_current"]
    assert "publish" not in shown.err


def test_rows_that_were_mended_are_said_to_be_so(carried, tmp_path):
    """A count of rejected rows without any open failure would puzzle whoever looks."""
    command, options = carried
    command("run", "bad", *options, code=3)
    mended = sealed(tmp_path, rows_csv(1, first=7).replace(b"id-7", b"x"), "mended.csv.pgp")
    command("run", mended, *options)

    shown = command("status", tmp_path / "out")
    assert (
        "1 row of those that failed or were rejected is mended: a later row moved its" in shown.out
    )
    assert "rejected" not in shown.err
    assert 1 == command("status", tmp_path / "out", "--json").json["resolved"]


def test_lists_that_a_killed_run_left_old_are_said_to_be_so(carried, tmp_path):
    """What is open stands in the ledger alone then, and the command that writes the lists is named."""
    command, options = carried
    out, death = tmp_path / "out", {"CARDFERRY_TEST_DEATH": "send-before:1"}
    command("run", "bad", *options, hook="tests.support.hooks:die", environment=death, code=-9)

    shown = command("status", out)
    assert f"{out}/failures.csv is older than what is open here" in shown.err
    assert f"publish {out}" in shown.err.replace(" \\\n", " ")
    command("publish", out)
    assert "is older than" not in command("status", out).err


def test_a_refused_export_makes_no_list_old(carried, tmp_path):
    """Nothing of it was entered, so the rows that are open are those that were listed."""
    command, options = carried
    command("run", "bad", *options, code=3)
    damaged = sealed(tmp_path, rows_csv(1, first=5), "damaged.csv.pgp")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    command("run", damaged, *options, code=6)

    assert command("status", tmp_path / "out", "--json").json["lists_are_current"]
