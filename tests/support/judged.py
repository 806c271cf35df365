"""A bad input in, how `cardferry run` judged it out: in this process, because there are many.

Everything is the program's own but the process: `process_guards.harden` would harden the test run with
it, so it is left out here; a sample of the same inputs runs as real processes.
"""

from __future__ import annotations

import io
import json
import logging
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pyarrow.parquet as pq

from pipeline import logs, process_guards
from pipeline.cli import command_line
from pipeline.cli.terminal import Terminal
from tests.support.commands import settings
from tests.support.crowd import work_s
from tests.support.leaks import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BUSY_MAX = 100
"""How many times the processor time of a fixed piece of work, on whatever machine this is."""
HANG_S = 240.0
"""Of the clock: long, as others may have the machine for a while."""
HARDENED = process_guards.GuardReport(
    not_dumpable=False,
    no_core_file=False,
    memory_lock=process_guards.MemoryLock.UNSUPPORTED,
    swap_present=None,
    private_umask=False,
    no_new_privileges=False,
)


@dataclass(frozen=True)
class Judged:
    """How a command ended and what it left."""

    code: int
    out: str
    err: str
    seconds: float
    cpu_s: float
    folder: Path

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object on standard output."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """What it logged, without times and run ids: their digits are there by chance."""
        lines = [json.loads(line) for line in self.err.splitlines()]
        return "\n".join(str({**line, "at": "", "run_id": ""}) for line in lines)

    @property
    def balance(self) -> dict[str, int]:
        """The balance of the run."""
        return self.answer["all_time"]["balance"]

    def rows(self, name: str = "failures") -> list[dict[str, Any]]:
        """The rows of an output."""
        return pq.read_table(self.folder / f"{name}.parquet").to_pylist()

    def failures(self) -> dict[int, tuple[str, str | None]]:
        """Row number to code and field of every failure."""
        return {row["source_row"]: (row["code"], row["field"]) for row in self.rows()}


@contextmanager
def _quiet_guards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with patch.object(process_guards, "harden", lambda: HARDENED):
        try:
            yield
        finally:
            for handler in set(root.handlers) - set(handlers):
                handler.close()
            root.handlers[:], root.level = handlers, level
            logs.counts.leaks_caught = 0


def command(folder: Path, *arguments: object) -> Judged:
    """Run any command in this process; a crash of the program is the test's failure."""
    out, err = io.StringIO(), io.StringIO()
    began, worked = time.monotonic(), time.process_time()
    with _quiet_guards(), redirect_stdout(out), redirect_stderr(err):
        code = command_line._exit_code(Terminal(), [str(argument) for argument in arguments])
    took, used = time.monotonic() - began, time.process_time() - worked
    return Judged(code, out.getvalue(), err.getvalue(), took, used, folder)


def carry(
    work: Path,
    url: str,
    export: Path,
    *lines: str,
    key: str | None = "cv25519",
    options: Iterable[str] = (),
) -> Judged:
    """Carry an export into `work/out` at the highest log level, with a log file beside it."""
    config = settings(work, url, *lines, key=key)
    sets = [word for option in options for word in ("--set", option)]
    logged = ("-vv", "--log-file", work / "run.log", "--log-format", "json")
    folder = work / "out"
    return command(folder, "run", export, "-c", config, "-o", folder, "--json", *sets, *logged)


def require_clean(judged: Judged, numbers: Iterable[str] = ()) -> None:
    """Require no crash, no hang and none of the numbers in anything that was written."""
    watch = Watch(numbers)
    said = (judged.out + judged.err).encode()
    log = judged.folder.parent / "run.log"

    assert judged.code != 1, judged.err
    assert judged.cpu_s < BUSY_MAX * work_s()
    assert judged.seconds < HANG_S
    assert "Traceback" not in judged.err
    assert watch.in_bytes(said) == []
    assert watch.in_bytes(log.read_bytes() if log.exists() else b"") == []
    assert watch.in_folder(judged.folder) == []


def require_balance(judged: Judged, rows: int) -> None:
    """Require that every row that came in stands in exactly one state."""
    balance = judged.balance
    states = ("tokenized", "rejected", "failed", "held", "skipped", "already_tokenized", "pending")

    assert balance["difference"] == 0
    assert rows == balance["rows"] == sum(balance[state] for state in states)
    assert balance["tokenized"] == len(judged.rows("mapping"))
    assert balance["rejected"] + balance["failed"] + balance["held"] == len(judged.rows())
