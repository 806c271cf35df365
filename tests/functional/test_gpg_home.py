"""What gpg is lent is of no use to whoever finds it: keys under a passphrase, folders that are swept."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pipeline.errors import LocalStorageFailed
from pipeline.exports.decryptor import gpg_home
from pipeline.exports.decryptor.gpg_home import HOME_PREFIX, private_home, sweep_homes
from pipeline.exports.decryptor.locked_keys import locked
from pipeline.exports.verdict import Refused, Verdict
from tests.support import exports
from tests.support.exports import keyring
from tests.support.programs import require
from tests.support.sampled import sampled

ROOT = Path(__file__).resolve().parents[2]
PLAIN = b"".join(b"row %09d of an export that fills several pipes\n" % n for n in range(200_000))
OPEN_KEY = b"(private-key"
"""What gpg's agent writes of a key that has no passphrase."""


@pytest.fixture
def memory(monkeypatch):
    """Give a folder in memory for homes that no other test makes, looks at or sweeps."""
    place = Path("/dev/shm")  # noqa: S108 - the folder itself has a random name.
    with tempfile.TemporaryDirectory(prefix="cfgh-", dir=place if place.is_dir() else None) as name:
        monkeypatch.setattr(gpg_home, "_MEMORY_FOLDER", Path(name))
        yield Path(name)


def secret_files(home):
    return [path.read_bytes() for path in (home / "private-keys-v1.d").iterdir()]


def gpg(home, *words, stdin=b"", passphrase=""):
    """Run gpg in a home of its own."""
    fixed = ("--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase)
    command = ["gpg", "--homedir", str(home), "--trust-model", "always", *fixed, *words]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


@pytest.fixture
def home():
    require("gpg")
    with private_home() as path:
        yield Path(path)
        gpg_home.clear_home(path)


@pytest.mark.parametrize(
    ("name", "armored"),
    sampled(
        [*((name, True) for name in exports.SUITES), ("cv25519", False), ("made by gpg", False)], 3
    ),
)
def test_a_key_without_a_passphrase_is_locked_before_gpg_is_given_it(home, name, armored):
    """Every secret key of it: opened by the passphrase, and by nothing else."""
    key, certificate = key_of(name)
    if not armored:
        key = gpg(home, "--dearmor", stdin=key).stdout
    ready = locked(key, "only the child knows")
    gpg(home, "--import", stdin=ready.octets)
    gpg(home, "--import", stdin=certificate)
    sealed = gpg(home, "--recipient", "example.org", "--encrypt", stdin=b"a row").stdout

    assert ready.were_open
    assert secret_files(home)
    assert not any(OPEN_KEY in content for content in secret_files(home))
    assert b"a row" != gpg(home, "--decrypt", stdin=sealed).stdout
    opened = gpg(home, "--decrypt", stdin=sealed, passphrase="only the child knows")
    assert b"a row" == opened.stdout, opened.stderr


def key_of(name):
    """Give an armored secret key without a passphrase, and its certificate."""
    if name in exports.PEOPLE:
        return keyring().secret(name).read_bytes(), keyring().public(name).read_bytes()
    with private_home() as other:
        gpg(other, "--quick-generate-key", "gpg@example.org", "rsa1024", "default", "never")
        print_ = gpg(other, "--list-keys", "--with-colons").stdout.split(b"fpr:::::::::")[1][:40]
        gpg(other, "--quick-add-key", print_.decode(), "rsa1024", "encrypt", "never")
        gpg(other, "--quick-add-key", print_.decode(), "nistp256", "sign", "never")
        key = gpg(other, "--armor", "--export-secret-keys").stdout
        gpg_home.clear_home(other)
    return key, b""


def test_a_key_that_has_its_passphrase_keeps_it_and_what_is_no_key_is_left_to_gpg():
    """Nothing is opened to be locked anew, and nothing that is not understood is guessed at."""
    key = keyring().secret("locked").read_bytes()

    assert not locked(key, "another").were_open
    assert key == locked(key, "another").octets
    for odd in (b"no key", b"\x99\x00\x05abc", b"\x95\x00\x06\x05" + bytes(5)):
        assert locked(odd, "any") is None


MAKES_HOMES_IN = """
from pathlib import Path
from pipeline.exports.decryptor import gpg_home
gpg_home._MEMORY_FOLDER = Path({})
"""


def killed_run(tmp_path, memory):
    """Kill all processes of a run that decrypts with gpg, and give the folder that it left."""
    require("gpg")
    path, keys = exports.large_export(tmp_path, "gpg", PLAIN)
    code = MAKES_HOMES_IN.format(repr(str(memory))) + exports.READS_ONE_BLOCK
    with subprocess.Popen(
        list(map(str, [sys.executable, "-B", "-c", code, path, keys.key_file, *keys.signer_files])),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as run:
        try:
            assert run.stdout.readline().strip()
        finally:
            os.killpg(run.pid, signal.SIGKILL)
    (left,) = memory.glob(f"{HOME_PREFIX}*")
    return left


def test_what_a_killed_run_leaves_opens_nothing_and_is_swept_by_the_next(tmp_path, memory):
    """SIGKILL of the whole group: its folder holds no key without a passphrase, and is removed."""
    left = killed_run(tmp_path, memory)

    assert secret_files(left)
    assert not any(OPEN_KEY in content for content in secret_files(left))
    sealed = exports.by_gpg(b"a row", "cv25519", compressed=False)
    assert b"a row" not in gpg(left, "--decrypt", stdin=sealed).stdout
    sweep_again(until=lambda: not left.exists())
    assert not left.exists()


def sweep_again(until=lambda: True, seconds=10.0):
    """Sweep as the next process does; children of a killed run may need a moment to end."""
    end = time.monotonic() + seconds
    while True:
        sweep_homes.cache_clear()
        sweep_homes()
        if until() or time.monotonic() > end:
            return
        time.sleep(0.05)


def test_sweeping_takes_no_living_runs_folder_follows_no_link_and_touches_nothing_of_others(
    tmp_path,
):
    """Only a private folder of this user, of our name, that nobody holds."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (target / "kept").touch()
    with private_home() as living:
        place = Path(living).parent
        names = {
            kind: place / f"{HOME_PREFIX}{os.getpid()}-{kind}"
            for kind in ("link", "file", "open", "stale")
        }
        names["link"].symlink_to(target)
        names["file"].touch(mode=0o600)
        names["open"].mkdir()
        names["open"].chmod(0o755)
        names["stale"].mkdir(mode=0o700)
        try:
            sweep_again()
            left = {kind for kind, path in names.items() if os.path.lexists(path)}
            assert left == {"link", "file", "open"}
            assert Path(living).is_dir()
            assert (target / "kept").exists()
        finally:
            names["link"].unlink()
            names["file"].unlink()
            names["open"].rmdir()


def test_without_room_for_a_folder_this_machine_is_named_and_not_the_export(monkeypatch, tmp_path):
    """What gpg says where it cannot write its keys is a disk's word: 5, and the export stays."""
    monkeypatch.setattr(gpg_home, "_MEMORY_FOLDER", tmp_path / "absent")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))

    with pytest.raises(LocalStorageFailed, match="gpg has no room"), private_home():
        pass


def test_a_refusal_while_the_folder_is_full_is_the_disks(monkeypatch):
    """The room was there and went; with room the refusal stands as it is."""

    def refuse(room):
        monkeypatch.setattr(gpg_home, "_ROOM_BYTES", room)
        raise Refused(Verdict.DAMAGED)

    with pytest.raises(Refused), private_home():
        refuse(1)
    with pytest.raises(LocalStorageFailed), private_home() as home:
        refuse(1 << 62)

    assert not Path(home).exists()
