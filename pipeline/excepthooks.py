"""Prints the types and places of exceptions that nobody caught, never their texts.

Python prints an exception's message, and `int()`, `KeyError`, decoders and parsers put the
value they choked on into it. So every hook that Python calls for an exception nobody caught
is replaced here: main program, threads, `__del__`, and warnings, whose texts may quote data as
well and which go into the log at its lowest level. An event loop logs what its callbacks let go; `pipeline.logs` withholds that text. Local
variables and source lines are not printed either.
"""

from __future__ import annotations

import sys
import threading
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.logs import EventLog, Word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import TextIO

log = EventLog("warnings")

_CHAIN_MAX: Final = 20
_FRAMES_MAX: Final = 40
_SILENT: Final = (KeyboardInterrupt, SystemExit)


def install_excepthooks() -> None:
    """Replace the hooks of main program, threads, finalizers and warnings."""
    sys.excepthook = _from_main
    sys.unraisablehook = _from_finalizer
    threading.excepthook = _from_thread
    warnings.showwarning = _show_warning


def raised_from(trouble: BaseException, *, hidden_too: bool = False) -> Iterator[BaseException]:
    """Give an exception, what an exception group holds, and what each was raised from.

    Args:
        trouble: The exception; it comes first.
        hidden_too: Whether also what `raise ... from None` hides.
    """
    waiting, seen = [trouble], set[int]()
    while waiting and len(seen) < _CHAIN_MAX:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
        hides = current.__suppress_context__ and not hidden_too
        earlier = (current.__cause__, None if hides else current.__context__)
        waiting += [each for each in earlier if each is not None]


def describe(trouble: BaseException, *, where: str) -> str:
    """Give the chain of types and the frames of an exception, one a line, values left out.

    Args:
        trouble: The exception.
        where: What let it go, in our own words.
    """
    first, *causes = raised_from(trouble)
    lines = [f"{_type_name(first)} {where} (texts are withheld: they may hold card data)"]
    lines += _frames(first.__traceback__)
    for cause in causes:
        lines.append(f"after {_type_name(cause)}")
        lines += _frames(cause.__traceback__)
    return "\n".join(lines)


def _type_name(trouble: BaseException) -> str:
    kind = type(trouble)
    return kind.__qualname__ if kind.__module__ == "builtins" else _qualified(kind)


def _qualified(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _frames(place: TracebackType | None) -> list[str]:
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(place), limit=-_FRAMES_MAX, lookup_lines=False
    )
    return [f"  at {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]


def _print(text: str) -> None:
    # A closed or full standard error must not raise out of a hook: Python would then fall back
    # to printing the exception itself.
    with suppress(Exception):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _from_main(_: type[BaseException], trouble: BaseException, __: TracebackType | None) -> None:
    if not isinstance(trouble, _SILENT):
        _print(describe(trouble, where="stopped the program; this is a bug"))


def _from_thread(facts: threading.ExceptHookArgs) -> None:
    if facts.exc_value is not None and not isinstance(facts.exc_value, _SILENT):
        _print(describe(facts.exc_value, where="ended a thread"))


def _from_finalizer(facts: sys.UnraisableHookArgs) -> None:
    if facts.exc_value is not None:
        _print(describe(facts.exc_value, where="in a finalizer"))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the hook's shape is Python's.
    line: str | None = None,  # noqa: ARG001 - the same.
) -> None:
    """Log a library's warning for developers; an operator can do nothing about it."""
    del message
    place = Path(f"{Path(filename).name}:{lineno}")
    log.debug("a library warned", kind=Word(category.__qualname__), place=place)
