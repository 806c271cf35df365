"""The decryptor's process: it ends when it should, leaves nothing behind and shows nothing.

Goal: no zombie, no hang, no secret in argv or environment, no plain byte on a disk. Method: real
children, killed, stopped and watched through /proc.
"""

import errno
import gc
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pipeline.child_process import start_child
from pipeline.errors import ExportRefused, LocalStorageFailed
from pipeline.exports.decryptor.process import Decryptor
from pipeline.exports.decryptor.protocol import Request
from pipeline.exports.sealed_export import SealedExport
from pipeline.exports.verdict import WORDS, Verdict
from tests.support import exports
from tests.support.sampled import slow

ROOT = Path(__file__).resolve().parents[2]
PLAIN = b"".join(
    b"row %09d of an export that fills several pipes\n" % row for row in range(200_000)
)


@pytest.fixture
def decryptors(monkeypatch):
    """Every decryptor that was begun: a test takes its patience from it when it has to.

    A child that starts on a busy machine must not pass for one that hangs.
    """
    begun, really = [], Decryptor.__init__

    def remembered(self, *arguments, **options):
        really(self, *arguments, **options)
        begun.append(self)

    monkeypatch.setattr(Decryptor, "__init__", remembered)
    return begun


@pytest.fixture(params=["sequoia", "gpg", "age"])
def engine(request, tmp_path):
    """An export that is larger than every pipe, and what opens it with one of the engines."""
    return exports.large_export(tmp_path, request.param, PLAIN)


@pytest.fixture(params=["sequoia", slow("gpg"), "age"])
def quick_engine(request, tmp_path):
    """The same; gpg, whose start takes longest, only with the slow tests."""
    return exports.large_export(tmp_path, request.param, PLAIN)


def private_homes():
    """Give the folders that gpg was lent, wherever they are made."""
    places = (Path("/dev/shm"), Path(tempfile.gettempdir()))  # noqa: S108 - looked at only.
    return {path for place in places for path in place.glob("cardferry-*")}


def all_cleared(homes, seconds=10.0):
    """Wait until no new private folder is left; another worker's may be there for a moment."""
    end = time.monotonic() + seconds
    while not private_homes() <= homes:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def held():
    """Count our open descriptors and threads."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def gone(pid, seconds=5.0):
    """Wait until a process is no more."""
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_leaving_a_pass_early_ends_the_child(quick_engine):
    """Closing after the first bytes leaves no process, thread, descriptor or folder behind."""
    path, keys = quick_engine
    before, holding = exports.children(), held()

    with SealedExport(path, keys) as export:
        first = export.prove()
        next(first)
        started = exports.children() - before
        first.close()
        left = exports.children() & started

    assert len(started) == 1
    assert left == set()
    assert before == exports.children()
    assert all(now <= then for now, then in zip(held(), holding, strict=True))


def test_what_is_to_be_done_meanwhile_is_done_while_the_child_starts(quick_engine):
    """Once, with the child there already and no plain byte read; in the second pass it is not."""
    path, keys = quick_engine
    before, seen = exports.children(), []

    with SealedExport(path, keys) as export:
        first = export.prove(lambda: seen.append(len(exports.children() - before)))
        assert seen == []
        plain = next(first)
        rest = b"".join(first)
        again = b"".join(export.reread(first.file))

    assert seen == [1]
    assert plain + rest == again


def test_leaving_the_export_ends_every_pass(quick_engine):
    """The end of the export's own block ends what is under way."""
    path, keys = quick_engine
    before = exports.children()

    with SealedExport(path, keys) as export:
        next(export.prove())
        next(export.prove())
        during = exports.children() - before

    assert len(during) == 2
    assert exports.children() == before


def test_a_whole_pass_leaves_nothing_behind(engine):
    """After both passes there is no child, descriptor, thread or private folder more than before."""
    path, keys = engine
    before, holding = exports.children(), held()
    homes = private_homes()

    with SealedExport(path, keys) as export:
        first = export.prove()
        for _ in first:
            pass
        for _ in export.reread(first.file):
            pass

    assert before == exports.children()
    assert all(now <= then for now, then in zip(held(), holding, strict=True))
    assert all_cleared(homes)


def test_a_killed_child_refuses_the_pass(quick_engine):
    """A child that dies in the middle is no end of file: the pass is refused, nothing hangs."""
    path, keys = quick_engine
    before = exports.children()

    with SealedExport(path, keys) as export:
        first = export.prove()
        next(first)
        (child,) = exports.children() - before
        os.kill(child, signal.SIGKILL)
        with pytest.raises(ExportRefused):
            for _ in first:
                pass

        assert not first.complete
    assert exports.children() == before


def test_a_hung_child_is_noticed(engine, decryptors, monkeypatch):
    """A stopped child is given up after the stall limit, and ended."""
    monkeypatch.setattr("pipeline.exports.decryptor.process._GRACE_S", 0.2)
    path, keys = engine
    before = exports.children()

    with SealedExport(path, keys) as export:
        first = export.prove()
        next(first)
        (child,) = exports.children() - before
        for pid in (child, *grandchildren(child)):
            os.kill(pid, signal.SIGSTOP)
        decryptors[0]._stall_s = 0.2
        with pytest.raises(ExportRefused) as caught:
            for _ in first:
                pass

    assert WORDS[Verdict.DECRYPTOR_STALLED][1] == caught.value.next_step
    assert exports.children() == before


def grandchildren(pid):
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for each in lists for word in each.read_text().split()]


def test_a_slow_reader_is_no_hang(engine, decryptors):
    """The stall limit counts the decryptor's silence, not the reader's."""
    path, keys = engine

    with SealedExport(path, keys) as export:
        first = export.prove()
        next(first)
        (decryptor,) = decryptors
        assert decryptor._plain.readable(60)
        patience, decryptor._stall_s = decryptor._stall_s, 0.1
        time.sleep(0.3)
        next(first)
        decryptor._stall_s = patience
        for _ in first:
            pass

        assert first.complete


def test_an_interrupt_at_the_terminal_does_not_reach_the_child(quick_engine):
    """The child lives in a session of its own, where a Ctrl-C does not go."""
    path, keys = quick_engine
    before = exports.children()

    with SealedExport(path, keys) as export:
        first = export.prove()
        next(first)
        (child,) = exports.children() - before

        assert os.getsid(child) == child
        assert os.getpgid(child) != os.getpgid(0)


def test_a_machine_without_descriptors_is_named_and_not_the_export():
    """Where no child can be started that is local trouble, by its name, and nothing is lost."""
    limits, before = resource.getrlimit(resource.RLIMIT_NOFILE), held()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(LocalStorageFailed, match="EMFILE"):
            Decryptor(Request("age"), iter([b""]), stall_s=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert held() <= before


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.ENFILE])
def test_a_fork_that_is_refused_is_local_trouble_by_its_name(monkeypatch, number):
    """No process left, no memory for one: 5, and every pipe that was made for it is closed."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    before = held()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(LocalStorageFailed, match=errno.errorcode[number]):
        Decryptor(Request("age"), iter([b""]), stall_s=1)
    with pytest.raises(LocalStorageFailed, match=errno.errorcode[number]):
        start_child(["true"], stdin=0, stdout=1)

    assert held() <= before


def test_a_killed_parent_takes_the_child_along(engine):
    """SIGKILL to the pipeline ends the decryptor and its private folder by itself."""
    path, keys = engine
    homes = private_homes()
    command = [
        sys.executable,
        "-c",
        exports.READS_ONE_BLOCK,
        path,
        keys.key_file,
        *keys.signer_files,
    ]
    with subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        child = int(parent.stdout.readline())
        kin = [child, *grandchildren(child)]
        parent.kill()

        assert [True] * len(kin) == [gone(pid) for pid in kin]
    assert all_cleared(homes)


def test_a_pass_may_be_read_in_another_thread(quick_engine):
    """A pass survives the end of the thread that started it."""
    path, keys = quick_engine

    with SealedExport(path, keys) as export:
        first = export.prove()
        parts = []
        starter = threading.Thread(target=lambda: parts.append(next(first)))
        starter.start()
        starter.join()
        parts.extend(first)

    assert b"".join(parts) == PLAIN


def test_the_child_loads_nothing_large_to_start():
    """Two passes cost nothing to speak of: what takes long to load is not needed to decrypt."""
    ask = "import sys, pipeline.exports.decryptor.child; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in told.stdout.decode().split()}
    large = {"numpy", "pandas", "pyarrow", "pydantic", "sqlalchemy", "click", "httpx", "asyncio"}
    large |= {"dataclasses", "inspect"}

    assert "pipeline" in loaded
    assert set() == large & loaded
