"""The guards, each tried on a real process, never on the one that runs the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.process_guards import MemoryLock, leaky_environment, system_facts

REPORT = "import json; from pipeline.process_guards import harden; print(json.dumps(harden().as_dict()))\n"


def run(program, **options):
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, **options
    )
    return ended.stdout


def test_the_report_says_what_the_kernel_says(tmp_path):
    """Core limit and no-new-privileges stand in the process's own files; new files are 0600."""
    program = (
        f"{REPORT}open({str(tmp_path / 'made')!r}, 'w').close()\n"
        "print(open('/proc/self/status').read(), open('/proc/self/limits').read())"
    )
    told, _, facts = run(program).partition("\n")
    report = json.loads(told)

    assert report["not_dumpable"]
    assert report["no_core_file"]
    assert report["no_new_privileges"] == ("NoNewPrivs:\t1" in facts)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


def test_a_crash_leaves_no_core_file(tmp_path):
    """SIGABRT after hardening leaves an empty folder, whatever the limit was before."""
    program = (
        "import os, resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        f"{REPORT}os.abort()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )

    assert ended.returncode == -6
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everybody's memory")
def test_the_memory_is_closed_to_this_user():
    """Another process of the same user cannot read the environment of a hardened one."""
    program = f"{REPORT}import sys; sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        with pytest.raises(PermissionError):
            Path(f"/proc/{child.pid}/environ").read_bytes()
        child.communicate()


def test_a_finite_limit_on_locked_memory_is_left_alone():
    """Locking under a limit would make a later allocation fail, so it is not tried."""
    program = (
        "import resource, pipeline.process_guards as guards\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))\n"
        "guards._may_lock_without_limit = lambda: False\n"
        "print(guards.harden().memory_lock)\n"
        "print(len(bytes(64 << 20)))"
    )

    assert run(program) == f"limited\n{64 << 20}\n"


def test_locking_memory_does_not_make_it_resident():
    """A reserved page that nobody touched stays out of memory, locked or not."""
    program = (
        "import mmap; from pipeline.process_guards import harden\n"
        "lock = harden().memory_lock\n"
        "reserved = mmap.mmap(-1, 256 << 20)\n"
        "resident = int(open('/proc/self/statm').read().split()[1]) * mmap.PAGESIZE\n"
        "print(lock, resident < (128 << 20))"
    )
    lock, small = run(program).split()

    assert lock in set(MemoryLock)
    assert small == "True"


def test_leaky_variables_are_named_and_never_shown():
    """Only names come back, and an empty variable counts as absent."""
    environment = {"SSLKEYLOGFILE": "/tmp/keys", "PYTHONDEVMODE": "", "PATH": "/bin"}  # noqa: S108

    assert leaky_environment(environment) == ("SSLKEYLOGFILE",)


def test_the_facts_name_who_and_where():
    """The facts are this process's; sudo's word is taken where the kernel knows no login."""
    facts = system_facts({"SUDO_USER": "somchai", "INVOCATION_ID": "1"})

    assert facts.pid == os.getpid()
    assert facts.user
    assert facts.login_user
    assert facts.scheduler == "systemd"
