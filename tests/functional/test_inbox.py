"""The inbox: exports dropped into a folder, carried one by one by processes of their own."""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from pipeline.cli.child_runs import _killed
from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.exports import keyring
from tests.support.monitor import listening, metrics
from tests.support.nursery import FORK_RUNS
from tests.support.sampled import slow
from tests.support.sandbox import running


@pytest.fixture
def vault(tmp_path):
    """A sandbox in a thread, with a journal."""
    with running(journal=tmp_path / "journal") as sandbox:
        yield sandbox


class Place:
    """A folder that exports are dropped into, the settings and the migration beside it."""

    def __init__(self, root, url, *lines, key="cv25519"):
        self.folder = root / "drop"
        self.folder.mkdir()
        self.out = root / "out"
        self.config = settings(root, url, *lines, key=key)
        self._key = key

    def drop(self, name, plain, age_s=0):
        """Seal an export into the folder as if it had been modified some seconds ago."""
        path = sealed(self.folder, plain, name, self._key)
        then = time.time() - age_s
        os.utime(path, (then, then))
        return path

    def empty(self, *options, quiet_for="0s", code=0, environment=None, hook=FORK_RUNS):
        """Look once; the runs are forked, but for those of the tests that want none of it."""
        arguments = ("-c", self.config, "-o", self.out, "--quiet-for", quiet_for, *options)
        how = {"code": code, "environment": environment, "hook": hook}
        return cardferry("inbox", self.folder, *arguments, **how)

    def metrics(self):
        return metrics((self.out / "metrics.prom").read_text())

    def names(self, sub=""):
        return sorted(path.name for path in (self.folder / sub).iterdir() if path.is_file())

    def mapped(self):
        return pq.read_table(self.out / "mapping.parquet").column("legacy_id").to_pylist()


@pytest.fixture
def place(tmp_path, vault):
    """An inbox in front of the vault."""
    return Place(tmp_path, vault.base_url)


def test_exports_are_carried_oldest_first_and_only_once(place, vault):
    """Two exports enter one migration in the order of their age; a second look does nothing."""
    place.drop("a.csv.pgp", rows_csv(3, first=11, seed=2), age_s=100)
    place.drop("b.csv.pgp", rows_csv(3), age_s=900)

    first = place.empty("--json").json
    second = place.empty()

    assert [("b.csv.pgp", "carried", 0), ("a.csv.pgp", "carried", 0)] == [
        (entry["name"], entry["outcome"], entry["exit_code"]) for entry in first["exports"]
    ]
    assert ["id-1", "id-2", "id-3", "id-11", "id-12", "id-13"] == place.mapped()
    assert ("", "") == (second.out, second.err)
    assert 6 == len(vault.entries())
    assert ["a.csv.pgp", "b.csv.pgp"] == place.names()


def test_what_is_no_export_is_left_alone(place):
    """Notes, hidden files, links, pipes and folders are no exports."""
    (place.folder / "README").write_text("drop files here")
    (place.folder / ".upload.csv.pgp").write_bytes(b"half")
    (place.folder / "link.csv.pgp").symlink_to("/dev/zero")
    os.mkfifo(place.folder / "pipe.csv.pgp")
    (place.folder / "folder.csv.pgp").mkdir()

    done = place.empty("--json")

    assert ([], []) == (done.json["exports"], done.json["unfinished"])


def test_a_file_that_was_touched_just_now_waits(place):
    """Without a companion an export has to be left alone for a while, whatever its age says."""
    place.drop("young.csv.pgp", rows_csv(2), age_s=9_000)

    done = place.empty("--json", quiet_for="1h").json

    assert (["young.csv.pgp"], []) == (done["not_taken"], done["exports"])


def test_a_file_that_somebody_still_writes_waits(place):
    """An upload that pauses is not finished: the kernel knows that it is open for writing."""
    path = place.drop("slow.csv.pgp", rows_csv(2), age_s=9_000)

    with path.open("ab"):
        waiting = place.empty("--json").json
    carried = place.empty("--json").json

    assert (["slow.csv.pgp"], []) == (waiting["not_taken"], waiting["exports"])
    assert ["carried"] == [entry["outcome"] for entry in carried["exports"]]


@pytest.mark.parametrize("companion", ["done", slow("sha256")])
def test_a_companion_says_that_a_file_is_finished(place, companion):
    """A `.done` file, or the right digest in a `.sha256` file, makes waiting needless.

    Here the export's run is begun with Python itself, as it is on an operator's machine.
    """
    path = place.drop("a.csv.pgp", rows_csv(2))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"a.csv.pgp.{companion}").write_text(f"{digest}  a.csv.pgp\n")

    move = ("--set", "watch.inbox_done=move")
    done = place.empty("--json", *move, quiet_for="1h", hook=None).json

    assert ["carried"] == [entry["outcome"] for entry in done["exports"]]
    assert [] == place.names()
    assert ["a.csv.pgp", f"a.csv.pgp.{companion}"] == place.names("done")


def test_a_file_with_another_digest_is_put_aside_once_it_is_left_alone(place, vault):
    """What arrived is not what was sent: nothing of it is read, and the reason lies beside it."""
    path = place.drop("a.csv.pgp", rows_csv(2))
    path.with_name("a.csv.pgp.sha256").write_text("0" * 64 + "  a.csv.pgp\n")

    waiting = place.empty("--json", quiet_for="1h").json
    done = place.empty(code=6)

    assert ["a.csv.pgp"] == waiting["not_taken"]
    assert "put aside: its digest is not the one in a.csv.pgp.sha256" in done.err
    assert ["a.csv.pgp", "a.csv.pgp.reason.txt", "a.csv.pgp.sha256"] == place.names("refused")
    assert [] == vault.entries()


def test_a_refused_export_blocks_nobody(place):
    """A damaged file goes aside with its reason; the next one is carried; the night says 6 once."""
    damaged = place.drop("a.csv.pgp", rows_csv(2), age_s=900)
    damaged.write_bytes(damaged.read_bytes()[:-40])
    os.utime(damaged, (1, 1))
    place.drop("b.csv.pgp", rows_csv(2))

    done = place.empty("--json", code=6).json
    after = place.empty()

    assert ["refused", "carried"] == [entry["outcome"] for entry in done["exports"]]
    assert ["id-1", "id-2"] == place.mapped()
    assert ["a.csv.pgp", "a.csv.pgp.reason.txt"] == place.names("refused")
    reason = (place.folder / "refused" / "a.csv.pgp.reason.txt").read_text()
    assert done["exports"][0]["reason"] in reason
    assert ("", 0) == (after.err, after.code)


NUMBER = "4242424242424242"


def test_a_card_number_in_a_files_name_is_never_repeated(place):
    """Not in the mail, in its JSON, nor in what is written, whatever becomes of the file."""
    place.drop(f"{NUMBER}.csv.pgp", rows_csv(2), age_s=900)
    damaged = place.drop(f"{NUMBER}-2.csv.pgp", rows_csv(3, first=11), age_s=800)
    damaged.write_bytes(damaged.read_bytes()[:-40])
    os.utime(damaged, (1, 1))
    for finished in (f"{NUMBER}.csv.pgp", damaged.name):
        (place.folder / f"{finished}.done").touch()
    place.drop(f"{NUMBER}-3.csv.pgp", rows_csv(4, first=21))

    done = place.empty("--json", quiet_for="1h", code=6)
    again = place.empty("--json", quiet_for="1h")

    outcomes = [(entry["name"], entry["outcome"]) for entry in done.json["exports"]]
    stars = "*" * len(NUMBER)
    assert [(f"{stars}-*.csv.pgp", "refused"), (f"{stars}.csv.pgp", "carried")] == outcomes
    assert [f"{stars}-*.csv.pgp"] == done.json["not_taken"]
    written = [path for path in place.out.iterdir() if path.is_file()]
    written += [path for path in (place.folder / "refused").iterdir() if path.suffix == ".txt"]
    said = [done.out, done.err, again.out, again.err, *(path.name for path in written)]
    assert [text for text in said if NUMBER in text] == []
    assert [path for path in written if NUMBER.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_two_refused_exports_of_one_name_are_both_kept(place):
    """A second refusal never overwrites the first one's file or reason."""
    for _ in range(2):
        (place.folder / "a.csv.pgp").write_bytes(b"no sealed file")
        place.empty(code=6)

    assert ["a-2.csv.pgp", "a-2.csv.pgp.reason.txt", "a.csv.pgp", "a.csv.pgp.reason.txt"] == (
        place.names("refused")
    )


@pytest.mark.slow
def test_carried_exports_can_be_removed(place):
    """With `remove` nothing stays, and only after the outputs are there."""
    place.drop("a.csv.pgp", rows_csv(2))

    place.empty("--set", "watch.inbox_done=remove")

    assert [] == place.names()
    assert ["id-1", "id-2"] == place.mapped()


def test_an_export_that_an_earlier_night_left_unfinished_is_named(place):
    """Its rows wait until it is given again; sealed anew its cards move, and only it ends that."""
    left = place.drop("a.csv.pgp", rows_csv(3))
    cardferry("run", left, "-c", place.config, "-o", place.out, "--limit", "1", code=4)
    content = left.read_bytes()
    left.unlink()
    place.drop("b.csv.pgp", rows_csv(2, first=11))

    done = place.empty()
    place.drop("anew.csv.pgp", rows_csv(3))
    anew = place.empty()
    left.write_bytes(content)
    itself = place.empty()

    assert "b.csv.pgp: carried (2 tokenized)" in done.err
    wait = "NOT FINISHED: 2 of the 3 rows of a.csv.pgp were not moved; its run ended early, and "
    gone = f"the file is no longer in {place.folder} (Cardferry did not move it).\n"
    assert f"b.csv.pgp: carried (2 tokenized)\n  {wait}{gone}" in done.err
    back = f"1. Copy a.csv.pgp back into {place.folder}: from where it was moved to, or else have its sender "
    digest = hashlib.sha256(content).hexdigest()
    assert f"{back}send that very file again. `sha256sum` gives {digest} for it.\n" in done.err
    assert "another file here (its SHA-256 differs): drop it in under a new name" in done.err
    assert "All of it is read, and cards that were moved are not sent again.\n" in done.err
    assert f"run {left} -o {place.out} -c {place.config} --wait-lock 15m\n" in done.err
    assert f"The whole story: {place.out}/report.html" in done.err
    assert "anew.csv.pgp: carried (2 tokenized, 1 already tokenized)" in anew.err
    assert wait in anew.err
    assert "a.csv.pgp: carried (2 already tokenized)" in itself.err
    assert "wait" not in itself.err


def test_an_export_whose_run_was_killed_and_whose_file_is_gone_is_told_of(tmp_path):
    """The next night and `status --check` name it, with when its run began and what sends it."""
    with running(latency_s=0.05, journal=tmp_path / "journal") as vault:
        place = Place(tmp_path, vault.base_url, "in_flight_max = 1")
        left = place.drop("a.csv.pgp", rows_csv(50))
        run = zygote().start("run", left, "-c", place.config, "-o", place.out)
        wait_until(vault.entries)
        run.signal(signal.SIGKILL)
        assert run.wait().killed
        left.unlink()
        place.drop("b.csv.pgp", rows_csv(2, first=101))

        night = place.empty("--json")
        told = cardferry("status", place.out, "--check", code=4).out

    [waiting] = night.json["waiting_exports"]
    assert ["a.csv.pgp"] == night.json["unfinished"]
    lack, began = waiting["rows"], waiting["cut_off_run"]
    fact = (
        f"NOT FINISHED: {lack} of the 50 rows of a.csv.pgp were not moved; its run of {began} was"
    )
    assert f"{fact} killed, and the file is no longer in {place.folder} (Cardferry" in night.err
    assert f"{lack} rows of a.csv.pgp wait since the run of {began} was killed: give that" in told
    assert (1, 50) == (waiting["unseen_tokens_max"], waiting["rows_in_file"])
    spare = "t most 1 card may get a second token, which nobody can use"
    assert f"A{spare}; no card is lost.\n" in night.err
    assert f"(a{spare})" in told
    assert night.json["next"][0]["why"].startswith(fact)
    run = f"run {left} -o {place.out} -c {place.config} --wait-lock 15m"
    given_up = f"give-up {place.out} a.csv.pgp -c {place.config} --wait-lock 15m"
    assert [run, given_up, f"verify {place.out}"] == [
        step["command"].partition("cardferry ")[2] or step["command"].partition("pipeline ")[2]
        for step in night.json["next"]
        if step["command"]
    ]


def test_new_failures_are_told_and_the_file_is_done(place):
    """An export with bad rows is carried; the code says 3, and only this once."""
    place.drop("a.csv.pgp", rows_csv(2) + b"x,Ann,12,1,2031,Bangkok,c\n")

    done = place.empty(code=3)
    after = place.empty()

    assert "a.csv.pgp: carried, with new failures" in done.err
    assert "(2 tokenized, 1 rejected)" in done.err
    assert "  1 row rejected (row 3 of a.csv.pgp): look at " in done.err
    assert "have the sender correct it.\n  Drop the new export into " in done.err
    assert f"into {place.folder} under a new name, such as ab.csv.pgp (that row alone," in done.err
    assert "" == after.err


def test_a_vault_that_is_down_stops_the_night_and_keeps_the_files(tmp_path):
    """Every other export would meet the same silence: 4, nothing aside, and the next night goes on."""
    place = Place(tmp_path, "http://127.0.0.1:9", "outage_max_s = 0.5")
    place.drop("a.csv.pgp", rows_csv(2), age_s=100)
    place.drop("b.csv.pgp", rows_csv(2, first=11))

    night = place.empty("--json", code=4)
    done = night.json

    assert ["b.csv.pgp"] == done["untried"]
    assert "b.csv.pgp: not tried; the next look takes it" in night.err
    assert "a.csv.pgp: stopped (2 waiting): the vault at 127.0.0.1:9 cannot be reached" in night.err
    assert " goes on by itself with 2 rows of a.csv.pgp; or now:\n" in night.err
    assert ["a.csv.pgp"] == done["unfinished"] == done["exports"][0]["run"]["unfinished"]
    assert "again" not in " ".join(step["why"] for step in done["next"])
    assert [("a.csv.pgp", "stopped", 4)] == [
        (entry["name"], entry["outcome"], entry["exit_code"]) for entry in done["exports"]
    ]
    assert ["a.csv.pgp", "b.csv.pgp"] == place.names()


def test_settings_that_are_refused_say_which_files_wait_and_what_goes_on(place):
    """The list of programs and the words for people name the key's file, and a command stands alone."""
    place.drop("a.csv.pgp", rows_csv(2))
    gone = place.out.parent / "gone.key"

    night = place.empty("--json", "--set", f'export.key={{file="{gone}"}}', code=7)

    lists = ("exports", "unfinished", "not_taken", "waiting_exports", "untried")
    assert [[], [], [], [], ["a.csv.pgp"]] == [night.json[name] for name in lists]
    [step] = night.json["next"]
    assert f"  {step['why']}:\n    {step['command']}\n" in night.err
    assert f"goes on by itself with the export in {place.folder}; or now, once" in step["why"]
    [problem] = night.json["problems"]
    assert f"export.key: {gone}: the file cannot be read (No such file or directory)" == problem
    assert "  Correct it in " in night.err


def test_two_inboxes_never_work_on_one_migration(place):
    """The second ends with 11, or waits as long as it is told to."""
    place.out.mkdir(mode=0o700)
    with (place.out / ".inbox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place.empty(code=11)
        begun = time.monotonic()
        place.empty("--wait-lock", "2s", code=11)

    assert time.monotonic() - begun > 2
    place.empty("--wait-lock", "2s")


def test_a_signal_drains_the_export_under_way_and_is_told(tmp_path):
    """SIGTERM reaches the run once: it drains, the inbox ends with 143, and the file is kept."""
    with running(latency_s=0.1, journal=tmp_path / "journal") as vault:
        place = Place(tmp_path, vault.base_url, "in_flight_max = 1")
        place.drop("a.csv.pgp", rows_csv(200))
        command = [sys.executable, "-m", "pipeline", "inbox", place.folder, "-c", place.config]
        command += ["-o", place.out, "--quiet-for", "0s", "--json", "--every", "1h"]
        started = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        deadline = time.monotonic() + 60
        while not vault.entries() and time.monotonic() < deadline:
            time.sleep(0.05)
        started.send_signal(signal.SIGTERM)
        said, _ = started.communicate(timeout=60)

    assert 143 == started.returncode, said
    assert b'"stopped"' in said
    assert ["a.csv.pgp"] == place.names()
    assert cardferry("status", place.out, "--json").json["last_run"]["exit_code"] == 143


@pytest.mark.slow
def test_monitors_are_told_of_the_pass_and_not_of_every_export(tmp_path, vault):
    """Two exports are one start, one end and one message; an empty pass is a success and no news."""
    lines = ('[watch]\nping_url = { env = "PING" }', 'notify_url = { env = "NOTIFY" }')
    place = Place(tmp_path, vault.base_url, *lines)
    place.drop("a.csv.pgp", rows_csv(3))
    place.drop("b.csv.pgp", rows_csv(2, first=10) + b"id-99,Holder,4242,12,2031,Bangkok,cus\n")
    with listening() as monitor:
        environment = {"PING": monitor.url, "NOTIFY": monitor.url + "/mail"}
        mail = place.empty("-q", code=3, environment=environment).err
        told, monitor.told = monitor.told, []
        after_work = place.metrics()
        place.empty(environment=environment)
        after_nothing = place.metrics()

    base = "/ping/secret-id"
    assert "b.csv.pgp: carried, with new failures (2 tokenized, 1 rejected)\n" in mail
    assert "  1 number_length: the card number has a length that its brand does not have\n" in mail
    assert f"  1 row rejected (row 3 of b.csv.pgp): look at {place.out}/failures.csv" in mail
    assert "a.csv.pgp" not in mail
    assert [f"GET {base}/start", f"GET {base}", f"POST {base}/mail"] == told
    assert [f"GET {base}/start", f"GET {base}"] == monitor.told
    assert ["carried", "carried"] == [e["outcome"] for e in monitor.bodies[0]["exports"]]
    assert (3, 0) == tuple(m["cardferry_last_exit_code",] for m in (after_work, after_nothing))
    of_the_run = ("cardferry_run_answers", "ok")
    assert [2.0, 2.0] == [m[of_the_run] for m in (after_work, after_nothing)]
    success = "cardferry_last_success_timestamp_seconds"
    assert after_nothing[success,] > after_work[success,]


def test_a_key_that_cannot_be_used_puts_no_export_aside(tmp_path, vault):
    """A wrong passphrase refuses every export alike: each stays, and the pass ends with 6."""
    keyring().secret("locked")
    place = Place(tmp_path, vault.base_url, key="locked")
    place.drop("a.csv.pgp", rows_csv(2))
    told = place.empty("--json", code=6).json

    assert ["stopped"] == [entry["outcome"] for entry in told["exports"]]
    assert ["a.csv.pgp"] == place.names()
    assert not (place.folder / "refused").exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, 5), (signal.SIGSEGV, 5), (signal.SIGTERM, 143)]
)
def test_a_process_that_was_killed_is_local_trouble(number, code):
    """Most often it wanted memory; its export waits, and the code is one that people know."""
    assert code == _killed(number).exit_code


@pytest.mark.slow
def test_a_look_that_finds_nothing_is_a_success_for_status_too(place):
    """A weekend without exports is no missed night; whatever else stands in the file is none."""
    place.drop("a.csv.pgp", rows_csv(1))
    place.empty()
    first = cardferry("status", place.out, "--json").json["last_success"]
    time.sleep(1.1)
    place.empty()
    second = cardferry("status", place.out, "--json").json["last_success"]
    (place.out / ".inbox-success").write_text("4242" * 20)

    assert second > first
    assert first >= cardferry("status", place.out, "--json").json["last_success"]
