"""Starts one carrier on a worker of a Dask cluster, and waits for it: the task that a run submits.

The carrier is a process of its own, so that the worker's process never sees a card number or a key.
It takes settings, exports and keys from what its machine names in `CARDFERRY_CARRY`; the run sends
nothing but the name of the ledger. To run the task twice is to start another carrier, as anybody may.

A worker that goes lets its carrier go by the end of a pipe: the carrier drains, leaves, and nothing
is in doubt. A signal at the parent's death (prctl) would come when the thread ends that started it,
which here is any thread of a pool, and one that kills would leave rows in doubt. A carrier that does
not even notice the pipe is given up by its term.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from pipeline.child_process import start_child
from pipeline.errors import CardferryError, SettingsRefused

WORDS_NAME: Final = "CARDFERRY_CARRY"
"""What a worker's machine has `cardferry carry` called with: settings, and a folder of exports."""

LOG_NAME: Final = "cardferry-carriers.log"
_BETWEEN_LOOKS_S: Final = 0.5
_AT_WORK: Final = frozenset({"running", "paused"})
"""States of a worker that goes on; in any other it closes, and waits for its tasks."""


class CarrierEnd(NamedTuple):
    """How a carrier ended; only plain values, as every machine between reads them.

    Attributes:
        exit_code: Its exit code; negative where a signal ended it.
        host: Its machine's name.
        error: What it said of why it could not carry, in words without values.
        next_step: What to do about that.
    """

    exit_code: int
    host: str
    error: str = ""
    next_step: str = ""


def carry_here(ledger: str) -> tuple[Any, ...]:
    """Carry rows of a run on this machine until no chunk is free.

    Args:
        ledger: The schema that is the run's ledger, in the database that this machine names.

    Returns:
        The fields of a `CarrierEnd`.
    """
    worker: Any = import_module("distributed").get_worker()
    log = Path(worker.local_directory, LOG_NAME).absolute()
    try:
        command = carry_command(ledger, log, os.environ.get(WORDS_NAME, ""))
        return tuple(carried(command, worker))
    except CardferryError as trouble:
        host = socket.gethostname()
        return tuple(CarrierEnd(trouble.exit_code, host, trouble.message, trouble.next_step))


def carry_command(ledger: str, log: Path, words: str) -> list[str]:
    """Give the command line of a carrier; what the machine says wins over what we say.

    Args:
        ledger: The schema that is the run's ledger.
        log: Where the carrier's log goes, unless the machine names another place.
        words: What the machine has `cardferry carry` called with, quoted as in a shell.

    Raises:
        SettingsRefused: The words are not quoted as in a shell.
    """
    # -P: a folder named like our package in the current folder must not be taken for it.
    command = [sys.executable, "-P", "-m", "pipeline", "carry", "--log-file", str(log)]
    command += ["--until-input-ends", "--json", "--ledger", ledger]
    try:
        return command + shlex.split(words)
    except ValueError:
        raise SettingsRefused([f"{WORDS_NAME}: a quote in it does not end"]) from None


def carried(command: list[str], worker: Any) -> CarrierEnd:
    """Run a carrier to its end; once the worker or its process closes, let it drain and leave.

    A worker's process that is asked to stop ends without its tasks, and in a container or a job of
    SLURM everything else ends with it. So a thread that Python waits for sees the carrier off.

    Args:
        command: The carrier's command line.
        worker: Dask's worker, of which only the state is looked at.

    Raises:
        CardferryError: This machine cannot start a process now.
    """
    ended: Future[CarrierEnd] = Future()

    def see_off() -> None:
        try:
            ended.set_result(_seen_off(command, worker))
        except Exception as trouble:  # noqa: BLE001 - whoever waits for it raises it.
            ended.set_exception(trouble)

    threading.Thread(target=see_off, name="carrier", daemon=False).start()
    return ended.result()


def _seen_off(command: list[str], worker: Any) -> CarrierEnd:
    theirs, ours = os.pipe()
    try:
        child = start_child(command, stdin=theirs, stdout=subprocess.PIPE)
    except CardferryError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    said = None
    while said is None:
        is_closing = worker.status.name not in _AT_WORK or not threading.main_thread().is_alive()
        if ours >= 0 and is_closing:
            os.close(ours)
            ours = -1
        with suppress(subprocess.TimeoutExpired):
            said, _ = child.communicate(timeout=_BETWEEN_LOOKS_S)
    if ours >= 0:
        os.close(ours)
    told = _object(said)
    return CarrierEnd(
        child.returncode,
        socket.gethostname(),
        str(told.get("error", "")),
        str(told.get("next_step", "")),
    )


def _object(said: bytes) -> dict[str, Any]:
    """Give the JSON object that a carrier printed; empty when it printed none."""
    try:
        told = orjson.loads(said)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
