"""A program that runs `cardferry` with one border made to fail by an exception that holds a number.

`python -m tests.support.forced PLAN.json`: the plan names the points, the canary numbers and the
command; every point runs in a fork of this process, so that what it patches ends with it. Prints
one JSON object, point to exit code.
"""

from __future__ import annotations

import asyncio
import csv
import errno
import gc
import importlib
import inspect
import json
import logging
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import sqlalchemy.exc

from pipeline.cli import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

HANG_S = 240.0


class PanicException(BaseException):
    """No `Exception`, so it passes every `except Exception`."""


def exceptions(number: str) -> dict[str, BaseException]:
    """Give what parsers and libraries raise, each with the number wherever it can stand."""
    chained = TypeError(f"unhashable: {number}")
    chained.__cause__ = KeyError(number)
    made: dict[str, BaseException] = {
        "ValueError": ValueError(f"invalid literal for int() with base 10: '{number}'"),
        "KeyError": KeyError(number),
        "UnicodeDecodeError": UnicodeDecodeError("utf-8", number.encode(), 0, 1, number),
        "JSONDecodeError": json.JSONDecodeError(f"bad {number}", f'{{"number":"{number}"}}', 3),
        "ArrowInvalid": pa.ArrowInvalid(f"CSV conversion error: invalid value '{number}'"),
        "csv.Error": csv.Error(f"field '{number}'"),
        "IntegrityError": sqlalchemy.exc.IntegrityError(
            f"INSERT {number}", {"number": number}, ValueError(number)
        ),
        "OSError": OSError(errno.EIO, os.strerror(errno.EIO), number),
        "ReadError": httpx.ReadError(f"while sending {number}"),
        "chained": chained,
        "group": ExceptionGroup(number, [ValueError(number), KeyError(number)]),
        "MemoryError": MemoryError(number),
        "RecursionError": RecursionError(number),
        "panic": PanicException(number),
    }
    for error in made.values():
        error.add_note(f"the row was {number}")
    return made


KINDS = tuple(exceptions("0"))


def _raising(call: Any, error: BaseException, skip: int) -> Callable[..., Any]:
    counted = iter(range(skip))

    def border(*arguments: Any, **options: Any) -> Any:
        if next(counted, None) is None:
            raise error
        return call(*arguments, **options)

    return border


def patch(dotted: str, error: BaseException, skip: int) -> None:
    """Make what a dotted name means raise from its `skip`-th call on."""
    path, _, rest = dotted.partition(":")
    owner: Any = importlib.import_module(path)
    *parents, name = rest.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    static = inspect.getattr_static(owner, name)
    if isinstance(static, classmethod):
        setattr(owner, name, classmethod(_raising(static.__func__, error, skip)))
    else:
        setattr(owner, name, _raising(static, error, skip))


def _in_a_thread(number: str) -> None:
    def work() -> None:
        raise ValueError(number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


class _Ending:
    def __init__(self, number: str) -> None:
        self.number = number

    def __del__(self) -> None:
        raise ValueError(self.number)


def _in_a_task(number: str) -> None:
    """A callback of the loop that fails, a task that nobody awaits, and one that is slow."""
    from pipeline.migration.tokenizer import Tokenizer  # noqa: PLC0415 - patched below.

    really = Tokenizer.tokenize

    async def forgotten(secret: str) -> None:
        raise ValueError(secret)

    def failing(secret: str) -> None:
        time.sleep(0.15)  # Long enough for asyncio's debugging to speak of it.
        raise ValueError(secret)

    async def carried(self: Any, source: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(failing, number)
        loop.create_task(forgotten(number), name=number)  # noqa: RUF006 - forgotten on purpose.
        await really(self, source)
        gc.collect()

    Tokenizer.tokenize = carried  # type: ignore[method-assign]


def _spoken(number: str) -> None:
    """Libraries that warn and log with the number in their words."""
    from pipeline.migration import judged_chunks  # noqa: PLC0415 - as late as a library would.

    validate = judged_chunks.validate

    def loud(*arguments: Any) -> Any:
        warnings.warn(f"looks like {number}", UserWarning, stacklevel=2)
        for name in ("httpx", "httpcore.connection", "asyncio", "somebody"):
            logger = logging.getLogger(name)
            logger.debug("sending %s", number)
            logger.warning("sending %s", number, extra={"secret": number})
            logger.error("failed", exc_info=ValueError(number))
        return validate(*arguments)

    judged_chunks.validate = loud


SPECIAL = {"thread": _in_a_thread, "finalizer": _Ending, "loop": _in_a_task, "talk": _spoken}


def _run_point(point: dict[str, Any], number: str, folder: Path) -> None:
    """Become the program, with its streams in files; never returns."""
    folder.mkdir()
    for descriptor, name in ((1, "out.txt"), (2, "err.txt")):
        opened = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    command_line.install_excepthooks()
    if point["name"] in SPECIAL:
        SPECIAL[point["name"]](number)
    else:
        patch(point["target"], exceptions(number)[point["kind"]], point["skip"])
    logged = ["-vv", "--log-file", str(folder / "run.log")]
    command_line.main([*point["command"], "-o", str(folder / "migration"), *logged])


def main() -> None:
    """Run every point of the plan."""
    plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    codes = {}
    # Loaded once, before the forks.
    for module in (
        "pipeline.cli.run",
        "pipeline.outputs.files",
        "jinja2",
    ):
        importlib.import_module(module)
    for at, point in enumerate(plan["points"]):
        child = os.fork()
        if child == 0:
            _run_point(point, plan["numbers"][at % len(plan["numbers"])], Path(point["folder"]))
        began = time.monotonic()
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() - began > HANG_S:
                os.kill(child, 9)
            time.sleep(0.005)
        codes[point["name"]] = os.waitstatus_to_exitcode(status)
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
