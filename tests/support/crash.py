"""Commands that are killed, starved and traced: a zygote for speed, strace for the n-th call."""

import contextlib
import functools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.leftovers import at_the_end, folder_until_the_end

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


def need_strace():
    """Skip without strace, or fail where it has to be there."""
    if shutil.which("strace"):
        return
    if os.environ.get("CARDFERRY_REQUIRE_STRACE") == "1":
        pytest.fail("strace is not installed and CARDFERRY_REQUIRE_STRACE is 1")
    pytest.skip("strace is not installed (apt-get install strace)")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it, and its words."""

    code: int
    said: str

    @property
    def killed(self):
        return self.code == -signal.SIGKILL


class Started:
    """A command that is under way."""

    def __init__(self, zygote, pid, said):
        self._zygote = zygote
        self._said = said
        self.pid = pid

    def signal(self, number):
        """Send a signal; one that comes too late does nothing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stops(self):
        """Wait until the command has stopped; tell whether it did, or False where it ended."""
        wait_until(lambda: _status_of(self.pid, "State")[:1] in {"T", "Z", ""})
        return _status_of(self.pid, "State").startswith("T")

    def has_signals_to_take(self):
        """Tell whether a signal waits that the command has not been given yet."""
        return any(int(_status_of(self.pid, name) or "0", 16) for name in ("SigPnd", "ShdPnd"))

    def has_ended(self):
        """Tell whether the command is over, however it ended."""
        return _status_of(self.pid, "State")[:1] in {"Z", ""}

    def wait(self, timeout=PATIENCE_S):
        code = self._zygote.code_of(self.pid, timeout)
        return Ended(code, self._said.read_text("utf-8", "replace"))


class Zygote:
    """One process that has imported everything and forks for every command."""

    def __init__(self):
        self._folder = folder_until_the_end("cf-said-")
        at_the_end(self._close)
        self._serial = 0
        self._codes = {}
        self._rest = b""
        quiet = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **quiet},
            cwd=ROOT,
        )
        self.pid = self._until("ready")

    def start(self, *arguments, hook=None, stopped=False, environment=None, limits=None):
        """Start a command; `hook` names a function to call in the child before it."""
        self._serial += 1
        said = self._folder / str(self._serial)
        # One that is killed before it gets there has said nothing.
        said.touch(0o600)
        job = {
            "arguments": [str(argument) for argument in arguments],
            "hook": hook,
            "stopped": stopped,
            "environment": environment or {},
            "limits": limits or {},
            "said": str(said),
            "errors": None,
        }
        return self._begin(job, said)

    def begin(self, arguments, environment, folder, hook=None):
        """Start a command as `python -m pipeline` would be; give it and its standard error's file.

        Args:
            arguments: Its words.
            environment: All of its variables.
            folder: Where it starts.
            hook: Names a function to call in the child before it.
        """
        self._serial += 1
        said, errors = (self._folder / f"{self._serial}-{name}" for name in ("out", "err"))
        said.touch(0o600)
        job = {
            "arguments": [str(argument) for argument in arguments],
            "environment": environment,
            "folder": str(folder),
            "hook": hook,
            "said": str(said),
            "errors": str(errors),
        }
        return self._begin(job, said), errors

    def _begin(self, job, said):
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return Started(self, self._until("started"), said)

    def run(self, *arguments, timeout=PATIENCE_S, **options):
        """Run a command to its end."""
        return self.start(*arguments, **options).wait(timeout)

    def code_of(self, pid, timeout):
        deadline = time.monotonic() + timeout
        while pid not in self._codes:
            self._read(deadline)
        return self._codes.pop(pid)

    def _close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()

    def _until(self, word):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self._read(deadline)
            if word in answer:
                return answer[word]

    def _read(self, deadline):
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            stdout = self._process.stdout.fileno()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise TimeoutError("a command did not end in time")
            read = os.read(stdout, 65536)
            if not read:
                raise AssertionError("the zygote died")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        if "ended" in answer:
            self._codes[answer["ended"]] = answer["code"]
        return answer


@functools.cache
def zygote():
    """Give the test process's zygote; it leaves when that process ends."""
    return Zygote()


def traced(*arguments, inject=(), calls=(), only=(), whole=False, begins=None, **options):
    """Run a command under strace; give how it ended and the trace.

    Args:
        *arguments: The command's.
        inject: strace injections, such as `fdatasync:signal=SIGKILL:when=3`. strace counts
            calls for every thread by itself.
        calls: Further calls to have in the trace.
        only: Paths; calls on other files are neither traced nor counted. `PID` in one stands
            for the command's process id.
        whole: Whether texts stand in the trace with every byte, in hexadecimal.
        begins: A hook that stops the command where the trace is to begin; else at its start.
        **options: Of `Zygote.start`.
    """
    need_strace()
    if begins is not None:
        options["hook"] = f"tests.support.hooks:{begins}"
    started = zygote().start(*arguments, stopped=begins is None, **options)
    if not started.stops():
        pytest.fail(f"the command ended before it was traced: {started.wait()}")
    with tempfile.NamedTemporaryFile(prefix="cf-trace-") as trace:
        names = sorted({rule.partition(":")[0] for rule in inject} | set(calls))
        words = ["strace", "-f", "-qq", "-y", "-o", trace.name]
        words += ["-xx", "-s", "100000000"] if whole else ["-s", "32"]
        # What is injected has to be traced, too; names that this machine lacks are passed over.
        words += ["-e", "trace=" + ",".join("?" + name for name in ",".join(names).split(","))]
        words += [word for rule in inject for word in ("-e", f"inject={rule}")]
        paths = [str(path).replace("PID", str(started.pid)) for path in only]
        words += [word for path in paths for word in ("-P", path)]
        tracer = subprocess.Popen(
            [*words, "-p", str(started.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            wait_until(
                lambda: (
                    _status_of(started.pid, "TracerPid") not in {"", "0"}
                    or tracer.poll() is not None
                )
            )
            if tracer.poll() is not None:
                started.signal(signal.SIGKILL)
                pytest.fail(f"strace refuses: {tracer.stderr.read().decode()}")
            started.signal(signal.SIGCONT)
            ended = started.wait()
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGTERM)
            tracer.communicate(timeout=PATIENCE_S)
        return ended, Path(trace.name).read_text("utf-8", "replace")


_CALL = re.compile(r"^(\d+)\s+(\w+)\(", re.MULTILINE)


def calls_by_thread(trace):
    """Count a trace's calls: name → the largest count of any thread."""
    counted = Counter(_CALL.findall(trace))
    most = {}
    for (_, name), count in counted.items():
        most[name] = max(most.get(name, 0), count)
    return most


def wait_until(condition, timeout=PATIENCE_S):
    """Wait for a condition; polling is the only thing another process's state allows."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what the test waits for did not happen")
        time.sleep(0.005)


def _status_of(pid, name):
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split()[1] for line in lines if line.startswith(f"{name}:")), "")
