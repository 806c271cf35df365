"""Runs a command line and turns every trouble into an exit code, in one place."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

import click

from pipeline.cli.commands import cardferry
from pipeline.cli.streams import flush_results, guard_streams
from pipeline.cli.terminal import Terminal
from pipeline.errors import CardferryError, LocalStorageFailed, exit_status
from pipeline.excepthooks import describe, install_excepthooks, raised_from

_INTERRUPTED: Final = 130
_NO_THREAD: Final = "can't start new thread"
_NO_ROOM_TO_LOAD: Final = ("failed to map segment", "cannot allocate memory")
_NEXT_STEPS: Final = {
    errno.ENOSPC: "Free some space, then run the same command again.",
    errno.EDQUOT: "Free some space, then run the same command again.",
    errno.EMFILE: "Raise `ulimit -n` or lower `flow.in_flight_max`, then run again.",
    errno.ENFILE: "Close programs that hold many files, then run the same command again.",
    errno.ENOMEM: "Give it more memory or raise `ulimit -v`, then run the same command again.",
    errno.EAGAIN: "Raise `ulimit -u` or end other processes, then run the same command again.",
}
_LACKS: Final = frozenset(_NEXT_STEPS)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code.

    Args:
        arguments: The command line without the program's name; default `sys.argv`.
    """
    install_excepthooks()
    guard_streams()
    terminal = Terminal()
    code = _exit_code(terminal, arguments)
    unwritten = terminal.unwritten or flush_results()
    if unwritten is not None and not code:
        code = _tell_local_trouble(terminal, unwritten)
    terminal.tell_ended(code)
    # The system takes all of it back at once; Python's own last search takes a third of a second.
    gc.freeze()
    sys.exit(code)


def _exit_code(terminal: Terminal, arguments: list[str] | None) -> int:
    try:
        answer: Any = cardferry.main(
            args=arguments, prog_name="cardferry", standalone_mode=False, obj=terminal
        )
        return terminal.ending(answer if isinstance(answer, int) else 0)
    except click.ClickException as wrong:
        return _tell_wrong_command(terminal, wrong, arguments or sys.argv[1:])
    except (click.Abort, KeyboardInterrupt):
        terminal.say("stopped", "Run the same command again to go on.")
        return terminal.ending(_INTERRUPTED)
    except CardferryError as trouble:
        terminal.tell(trouble)
        return terminal.ending(exit_status(trouble))
    except Exception as bug:  # noqa: BLE001 - printed without values.
        cause = _lack_of_resources(bug)
        if cause is not None:
            return terminal.ending(_tell_local_trouble(terminal, cause))
        click.echo(describe(bug, where="(a bug: please report these lines)"), err=True)
        return terminal.ending(1)


def _tell_wrong_command(
    terminal: Terminal, wrong: click.ClickException, arguments: list[str]
) -> int:
    """Tell what is wrong with a command line, as JSON where that was asked for."""
    words = " ".join(arguments)
    if "--log-format json" in words or "--log-format=json" in words:
        terminal.log_format = "json"
        # Standard error is logged to then; the command line has to be mended before its log file.
        with suppress(LocalStorageFailed):
            terminal.start_logs()
        next_step = "Look at `cardferry --help`."
        terminal.tell_error(wrong.format_message(), next_step, wrong.exit_code, "UsageError")
    else:
        said = io.StringIO()
        wrong.show(said)
        terminal.tell_wrong_use(said.getvalue())
    return wrong.exit_code


def _tell_local_trouble(terminal: Terminal, trouble: OSError | MemoryError) -> int:
    """Tell what this machine refused; whoever read our output and went needs to be told nothing."""
    code = LocalStorageFailed.exit_code
    if not isinstance(trouble, BrokenPipeError):
        terminal.tell(_in_words(trouble))
    return code


def _lack_of_resources(error: BaseException) -> OSError | MemoryError | None:
    """Give what the machine refused, if that is why this exception was raised; else None.

    Args:
        error: What nobody caught; a lack of something counts where it was raised from one, too.
    """
    if isinstance(error, OSError):
        return error
    for each in raised_from(error, hidden_too=True):
        if isinstance(each, MemoryError) or (isinstance(each, OSError) and each.errno in _LACKS):
            return each
        if isinstance(each, RuntimeError) and _NO_THREAD in str(each):
            return OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if isinstance(each, ImportError) and any(w in str(each) for w in _NO_ROOM_TO_LOAD):
            return MemoryError()
    return None


def _in_words(cause: OSError | MemoryError) -> LocalStorageFailed:
    """Give the trouble in words: the machine's own name for it, and what helps."""
    number = errno.ENOMEM if isinstance(cause, MemoryError) else cause.errno or 0
    name = errno.errorcode.get(number, type(cause).__name__)
    what = os.strerror(number) if number else "the machine refused"
    return LocalStorageFailed(
        f"this machine could not go on: {what} ({name}); nothing is lost",
        next_step=_NEXT_STEPS.get(number, "Mend that, then run the same command again."),
    )
