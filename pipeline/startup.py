"""Prepares the process before the libraries are loaded, which takes most of a short command.

Imports nothing but what the interpreter has loaded already, or nearly so: until this has run, an
interrupt would show a traceback.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys

ADDRESS_SPACE_MIN = 256 * 1024 * 1024
"""In less than this no command can be loaded; libraries would end the process in their own ways."""

SEARCHES_FOR_CYCLES = (20_000, 20, 200)
"""Python 3.11 looks for unreachable cycles after 700 more containers, and through all that there is
after 70,000. Few of ours are in cycles, and rows come by the thousand."""

_LOCAL_TROUBLE = 5
_CONTAINERS_OF_A_START = 250_000
"""More than what a small run has loaded and made when it ends: no search for cycles is worth it.

To look through all of that again and again took a tenth of a run's time."""


def prepare() -> None:
    """Make this process fit to load a command, or end it in words."""
    end_quietly_on_interrupt()
    _search_seldom_for_cycles()
    # We multiply no matrices; for each thread that could, numpy reserves 30 MB of addresses.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _load_no_more_than_we_use()
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ADDRESS_SPACE_MIN:
        os.write(
            2,
            b"cardferry: this machine could not go on: Cannot allocate memory (ENOMEM)\n"
            b"  Raise `ulimit -v` to 1 GB or more, then run the same command again.\n",
        )
        sys.exit(_LOCAL_TROUBLE)


def _search_seldom_for_cycles() -> None:
    """Look for unreachable cycles only once more is there than what was loaded at the start."""
    gc.set_threshold(_CONTAINERS_OF_A_START, *SEARCHES_FOR_CYCLES[1:])
    gc.callbacks.append(_search_as_usual)


def _search_as_usual(phase: str, _: dict[str, int]) -> None:
    """After the first search leave out what has outlived it: it stays to the end."""
    if phase == "stop":
        gc.callbacks.remove(_search_as_usual)
        gc.freeze()
        gc.set_threshold(*SEARCHES_FOR_CYCLES)


def _load_no_more_than_we_use() -> None:
    """Keep libraries from loading what none of our commands asks of them."""
    # The command line of httpx's own, which loads every lexer of pygments and half of rich.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    # pydantic looks through all that is installed for plugins; nothing we do has one.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def end_quietly_on_interrupt() -> None:
    """Let SIGINT end this process at once with 130: nothing has begun, so nothing is to be said.

    Where SIGINT is ignored (a shell's job in the background) it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def allow_interrupts() -> None:
    """Let SIGINT raise `KeyboardInterrupt` again, from where a command can deal with it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, _frame: object) -> None:
    os._exit(128 + number)
