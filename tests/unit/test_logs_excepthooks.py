"""Exceptions nobody caught, in a real interpreter: types and places, never texts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.support.canaries import make_number

NUMBER = make_number(Random(10))
HEAD = (
    f"from pipeline.excepthooks import install_excepthooks\ninstall_excepthooks()\nn = {NUMBER!r}\n"
)

LEAKS = {
    "main program": "int('x' + n)",
    "a cause": "try:\n    {}[n]\nexcept KeyError as e:\n    raise ValueError(n) from e",
    "a context": "try:\n    {}[n]\nexcept KeyError:\n    raise ValueError(n)",
    "a group": "raise ExceptionGroup(n, [ValueError(n), KeyError(n)])",
    "a note": "e = ValueError(n); e.add_note(n); raise e",
    "a decoder": "b''.join([n.encode(), b'\\xff']).decode()",
    "json": "import json; json.loads(n + '{')",
    "a thread": "import threading\ndef leak(): int('x' + n)\nthreading.Thread(target=leak, name=n).start()",
    "a finalizer": "class A:\n    def __del__(self): int('x' + n)\nA()",
}


@pytest.mark.parametrize("developing", [False, True], ids=["plain", "dev mode"])
@pytest.mark.parametrize("leak", LEAKS)
def test_an_exception_nobody_caught_keeps_its_text(tmp_path, leak, developing):
    """Every way out of Python is closed, also in development mode."""
    program = tmp_path / "program.py"
    program.write_text(HEAD + LEAKS[leak])
    ended = subprocess.run(
        [sys.executable, program],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            **({"PYTHONDEVMODE": "1"} if developing else {}),
        },
    )

    assert NUMBER not in ended.stdout + ended.stderr
    assert "withheld" in ended.stderr
    assert f"{program}:" in ended.stderr


def test_a_librarys_warning_reaches_nobody_but_developers(tmp_path):
    """Standard error stays empty; at the lowest level the log names kind and place, no text."""
    program = tmp_path / "program.py"
    head = HEAD + "import logging, warnings\nfrom pipeline import logs\n"
    program.write_text(f"{head}logs.configure(logging.WARNING)\nwarnings.warn(n)\n")
    quiet = subprocess.run(
        [sys.executable, program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    program.write_text(f"{head}logs.configure(logging.DEBUG)\nwarnings.warn(n)\n")
    told = subprocess.run(
        [sys.executable, program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )

    assert "" == quiet.stderr
    assert "a library warned kind=UserWarning place=program.py:7" in told.stderr
    assert NUMBER not in told.stderr


def test_what_a_task_lets_go_is_logged_by_type_and_place(tmp_path):
    """An event loop logs what nobody awaited; the log keeps the type and the line of ours."""
    program = tmp_path / "program.py"
    program.write_text(
        f"import asyncio\nfrom pipeline import logs\nlogs.configure()\nn = {NUMBER!r}\n"
        "async def main():\n"
        "    asyncio.get_running_loop().call_soon(int, 'x' + n)\n"
        "    asyncio.create_task(lost(), name=n)\n"
        "    await asyncio.sleep(0.01)\n"
        "async def lost(): raise ValueError(n)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )

    assert NUMBER not in ended.stdout + ended.stderr
    assert "exception=ValueError raised=program.py:9" in ended.stderr


def test_the_whole_chain_is_named(tmp_path):
    """The type of what was raised, of what caused it, and the line of each are told."""
    program = tmp_path / "program.py"
    program.write_text(HEAD + LEAKS["a cause"])
    ended = subprocess.run(
        [sys.executable, program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )

    assert ended.stderr.splitlines() == [
        "ValueError stopped the program; this is a bug (texts are withheld: they may hold card data)",
        f"  at {program}:7 in <module>",
        "after KeyError",
        f"  at {program}:5 in <module>",
    ]
    assert ended.returncode == 1
