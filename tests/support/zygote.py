"""Starts `cardferry` a hundred times a minute: imports once, then forks for every command.

A line of JSON on standard input is a command to start; lines of JSON on standard output tell
its process id and, later, how it ended. A forked child is a process like any other: it can be
traced, stopped, starved of disk and killed. Run as `python -m tests.support.zygote`.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import itertools
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from tests.support.compiled import share_compiled_statements

PR_SET_CHILD_SUBREAPER = 36
LOADED_ON_DEMAND = (
    *("jinja2", "orjson", "pandas", "pyarrow.dataset", "pyarrow.pandas_compat"),
    *("rich._emoji_codes", "pipeline.__main__", "pipeline.cards.scan"),
    *("pipeline.cli.launching", "pipeline.cli.examples", "pipeline.cli.results_console"),
    *("pipeline.cli.short_answers", "pipeline.ledger.sqlite.store", "pipeline.migration.send"),
    *("pipeline.migration.coordinating", "pipeline.sandbox.serve"),
    "pipeline.migration.vault_reachability",
)


def main():
    # What is imported here is imported once for all.
    from pipeline.cli import command_line  # noqa: PLC0415
    from pipeline.cli.commands import COMMANDS  # noqa: PLC0415

    for command in COMMANDS:
        importlib.import_module(f"pipeline.cli.{command.replace('-', '_')}")
    for name in LOADED_ON_DEMAND:
        importlib.import_module(name)
    share_compiled_statements()
    _publish_once()
    gc.collect()
    # A child that looks through all this for rubbish would copy every page of it.
    gc.freeze()
    awake = _wake_when_one_ends()
    # What a command leaves behind becomes ours, so that a test can see it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Tests that were started by nohup must not make commands that ignore a closed terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _tell({"ready": os.getpid()})
    for job in _jobs(awake):
        pid = os.fork()
        if pid == 0:
            if job["errors"]:
                _begin_as_always(job)
            else:
                _become(job, command_line)
        _tell({"started": pid})


def _publish_once():
    """Publish a small migration: templates and statements are compiled once for all commands."""
    from pipeline import disk  # noqa: PLC0415 - imported once for all.
    from pipeline.outputs.publisher import publish  # noqa: PLC0415
    from tests.support.ledgers import settled_builder  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="cf-zygote-") as name:
        builder = settled_builder(Path(name), 20)
        publish(builder.ledger, Path(name), "0")
        builder.ledger.close()
    # A command numbers its temporary files from 1; tests of a failing disk go by these names.
    disk._serial = itertools.count(1)


def _tell(answer):
    os.write(1, json.dumps(answer).encode() + b"\n")


def _wake_when_one_ends():
    """Give what can be read from once a child has ended.

    A handler of Python's does not do: one that is called for just before a read begins is called
    when that read is over, and nobody would be told of the child before the next job comes.
    """
    awake, wake = os.pipe()
    for end in (awake, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return awake


def _jobs(awake):
    """Give each job that is asked for, and tell meanwhile how the ones before ended."""
    rest = b""
    while True:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 65536)
            _tell_ended()
        if 0 in ready:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            yield from map(json.loads, lines)


def _tell_ended():
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _leave_to_the_command():
    """Take away in a child what the process that it was forked from listens with."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # What it would write to is closed, and the number is another file's soon.
    signal.set_wakeup_fd(-1)


def _begin_as_always(job):
    """Turn a forked child into `python -m pipeline`, from its first line to Python's own ending."""
    _leave_to_the_command()
    os.chdir(job["folder"])
    for place, name in enumerate((os.devnull, job["said"], job["errors"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, place)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = ["cardferry", *job["arguments"]]
    _change(job)
    from pipeline.__main__ import main as begin  # noqa: PLC0415 - as a command does.

    code = 0
    try:
        # It returns where nothing but the version or the list of commands was asked for.
        begin()
    except SystemExit as ending:
        code = ending.code or 0
    _end_as_python_does(code)
    sys.exit(code)


def _change(job):
    """Call the function that a test has named, if it has."""
    if job["hook"]:
        module, _, function = job["hook"].partition(":")
        getattr(importlib.import_module(module), function)()


def _end_as_python_does(code):
    """Do what Python does at its end but to take itself apart: half of a short command's time.

    Returns only where standard output cannot be flushed; what then follows is Python's own.
    """
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(job, command_line):
    """Turn a forked child into the command; never returns."""
    _leave_to_the_command()
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    os.closerange(3, 64)
    os.environ.update(job["environment"])
    sys.argv = ["cardferry", *job["arguments"]]
    for name, limit in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    code = 99
    try:
        _change(job)
        if job["stopped"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        command_line.main(job["arguments"])
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:  # noqa: BLE001 - a test reads it.
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
