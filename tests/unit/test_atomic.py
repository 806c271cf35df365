"""Writing whole files or none, on a real disk."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from contextlib import suppress

import pytest

from pipeline.disk import private_folder, write_atomically, write_together
from pipeline.errors import LocalStorageFailed


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_bytes_stand_under_the_name_afterwards(tmp_path):
    """What was written is there, private, with nothing beside it."""
    with write_atomically(tmp_path / "out") as file:
        file.write(b"whole")

    assert [tmp_path / "out"] == list(tmp_path.iterdir())
    assert ((tmp_path / "out").read_bytes(), mode_of(tmp_path / "out")) == (b"whole", 0o600)


def test_the_name_is_not_given_before_the_end(tmp_path):
    """A reader sees the old bytes until all new ones are synced."""
    (tmp_path / "out").write_bytes(b"old")
    with write_atomically(tmp_path / "out") as file:
        file.write(b"new")
        file.flush()
        seen = (tmp_path / "out").read_bytes()

    assert seen == b"old"
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize("trouble", [ValueError, KeyboardInterrupt, OSError(28, "full")])
def test_a_failure_inside_leaves_what_was_there(tmp_path, trouble):
    """Whatever is raised inside, the old file stays and no other appears."""
    (tmp_path / "out").write_bytes(b"old")
    with (
        suppress(ValueError, KeyboardInterrupt, LocalStorageFailed),
        write_atomically(tmp_path / "out") as file,
    ):
        file.write(b"half")
        raise trouble

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_full_disk_inside_is_a_storage_failure_with_advice(tmp_path):
    """An operating system's error ends as exit 5 and says what to do."""
    with (
        pytest.raises(LocalStorageFailed, match="No space left") as caught,
        write_atomically(tmp_path / "out"),
    ):
        raise OSError(28, "full")

    assert caught.value.next_step.startswith("Free some space")


def test_a_file_size_limit_is_a_storage_failure(tmp_path):
    """A real refusal by the kernel, in the middle of the bytes, leaves nothing."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from pipeline.errors import LocalStorageFailed\n"
        "from pipeline.disk import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with write_atomically(Path(sys.argv[1])) as file: file.write(bytes(100_000))\n"
        "except LocalStorageFailed as trouble: sys.exit(trouble.exit_code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "out"], check=False)

    assert ended.returncode == 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["link", "broken link", "pipe", "folder"])
def test_a_name_that_is_no_plain_file_is_refused(tmp_path, kind):
    """Nothing is written through a link or into a pipe, and neither is replaced."""
    target, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    if kind == "link":
        elsewhere.write_bytes(b"keep")
    if "link" in kind:
        target.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.mkdir()
    before = target.lstat()
    with pytest.raises(LocalStorageFailed, match="not a plain file"), write_atomically(target):
        pass

    assert (before.st_ino, before.st_mode) == (target.lstat().st_ino, target.lstat().st_mode)


def test_a_missing_folder_is_a_storage_failure(tmp_path):
    """The folder is not created by the way."""
    with (
        pytest.raises(LocalStorageFailed, match="No such file"),
        write_atomically(tmp_path / "gone" / "out"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_another_users_file_is_refused(tmp_path):
    """A file of somebody else under our name is not replaced."""
    (tmp_path / "out").touch()
    os.chown(tmp_path / "out", 12345, -1)
    with (
        pytest.raises(LocalStorageFailed, match="another user"),
        write_atomically(tmp_path / "out"),
    ):
        pass


def test_the_leftover_of_a_killed_run_is_removed(tmp_path):
    """A temporary file without a living writer goes at the next write of the same name."""
    (tmp_path / ".out.123-4.tmp").write_bytes(b"half")
    (tmp_path / ".other.123-4.tmp").write_bytes(b"not ours to remove")
    with write_atomically(tmp_path / "out") as file:
        file.write(b"whole")

    assert {".other.123-4.tmp", "out"} == {path.name for path in tmp_path.iterdir()}


def test_the_file_of_a_living_writer_is_kept(tmp_path):
    """A temporary file that is locked belongs to somebody who is still writing."""
    busy = tmp_path / ".out.123-4.tmp"
    with busy.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with write_atomically(tmp_path / "out"):
            pass

    assert busy.exists()


def test_files_written_together_appear_together(tmp_path):
    """None has its name before all are complete; a failure at the end leaves none."""
    with suppress(ValueError), write_together(tmp_path) as staged:
        staged.new_file("first").write(b"1")
        staged.new_file("last").write(b"2")
        raise ValueError
    with write_together(tmp_path) as staged:
        staged.new_file("other").write(b"3")
        staged.new_file("manifest").write(b"4")

    assert {"other", "manifest"} == {path.name for path in tmp_path.iterdir()}


def test_a_new_folder_is_private(tmp_path):
    """A missing folder is made with mode 0700."""
    assert mode_of(private_folder(tmp_path / "deep" / "out")) == 0o700


def test_an_empty_folder_is_made_private(tmp_path):
    """`mkdir out` before a run leaves it open to readers; the run closes it."""
    (tmp_path / "out").mkdir(mode=0o755)

    assert mode_of(private_folder(tmp_path / "out")) == 0o700


def test_a_folder_in_use_keeps_its_mode(tmp_path):
    """`-o .` never changes who may read a folder full of other things."""
    (tmp_path / "out").mkdir(mode=0o755)
    (tmp_path / "out" / "notes").touch()

    assert mode_of(private_folder(tmp_path / "out")) == 0o755


@pytest.mark.parametrize(
    ("mode", "reason"), [(0o777, "everybody may write"), (0o775, "its group may write")]
)
def test_a_folder_in_use_that_others_may_write_to_is_refused(tmp_path, mode, reason):
    """Where others can put files, ours are not safe."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").touch()
    (tmp_path / "out").chmod(mode)
    with pytest.raises(LocalStorageFailed, match=reason):
        private_folder(tmp_path / "out")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_is_refused(tmp_path, kind):
    """A link to a folder is refused too: it may lead elsewhere tomorrow."""
    path = tmp_path / "out"
    path.symlink_to(tmp_path) if kind == "link" else path.touch()
    with pytest.raises(LocalStorageFailed, match="is refused"):
        private_folder(path)
