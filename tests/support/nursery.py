"""Lets `cardferry inbox` fork its runs from a process that has loaded the program already.

Each run is a process of its own with its own exit code, and can be stopped and killed like one that
began with Python; only the seconds that loading takes are saved. `fork_runs` is a hook of the
zygote: it is called before the command, when nothing is open that a run must not inherit.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

NOTES = "CARDFERRY_TEST_NOTES"
"""Names a file that gets a line of JSON for every run: its code, memory, descriptors and time."""
FORK_RUNS = "tests.support.nursery:fork_runs"


def fork_runs():
    """Let the inbox of this process start its runs here."""
    ours, its = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        _serve(its)
        os._exit(0)
    its.close()
    lines = ours.makefile("rw")

    class Forked(_Forked):
        stream = lines

    children = importlib.import_module("pipeline.child_process")
    children.subprocess = SimpleNamespace(Popen=Forked)


class _Forked:
    """What the inbox uses of `subprocess.Popen`, for a process that the nursery forks."""

    def __init__(self, command, **_):
        place = command.index("run")
        self.stream.write(json.dumps(command[place:]) + "\n")
        self.stream.flush()
        self.pid = json.loads(self.stream.readline())["pid"]
        self.returncode = None

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def communicate(self):
        ended = json.loads(self.stream.readline())
        self.returncode = ended["code"]
        return ended["said"].encode(), None


def _serve(stream):
    """Fork a process for each line, and tell how it ended, until the inbox has ended."""
    lines = stream.makefile("rw")
    for line in lines:
        said, kept = os.memfd_create("said"), os.memfd_create("kept")
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line), said, kept)
        lines.write(json.dumps({"pid": pid}) + "\n")
        lines.flush()
        _, status, used = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        note = {"code": code, "memory_kb": used.ru_maxrss, "cpu_s": used.ru_utime + used.ru_stime}
        note["descriptors"] = int(_read(kept) or 0)
        if NOTES in os.environ:
            with Path(os.environ[NOTES]).open("a", encoding="utf-8") as notes:
                notes.write(json.dumps(note) + "\n")
        lines.write(json.dumps({"code": code, "said": _read(said)}) + "\n")
        lines.flush()


def _read(descriptor):
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()
    os.close(descriptor)
    return text


def _become(words, said, kept):
    """Turn a forked child into `cardferry run`; never returns."""
    os.setpgid(0, 0)
    os.dup2(said, 1)
    os.dup2(kept, 3)
    os.closerange(4, 64)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = ["cardferry", *words]
    code = 1
    try:
        importlib.import_module("pipeline.startup").prepare()
        importlib.import_module("pipeline.cli.command_line").main(words)
    except SystemExit as ending:
        code = ending.code or 0
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os.write(3, str(len(list(Path("/proc/self/fd").iterdir()))).encode())
        os._exit(code)
