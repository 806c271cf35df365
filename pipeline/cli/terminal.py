"""Holds what every command shares: how words, results and troubles reach people and programs."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import logs
from pipeline.cli.folding import folded
from pipeline.cli.streams import forget_results
from pipeline.errors import CardferryError, SettingsRefused, exit_status
from pipeline.logs import Word, wants_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from pipeline.cli.live_progress import Lines

ENVELOPE_VERSION: Final = 1
PIPE_COLUMNS: Final = 160
_LEAK_EXIT_CODE: Final = 9


class Terminal:
    """Standard output for results, standard error for everything else."""

    def __init__(self) -> None:
        self.as_json = False
        self.verbosity = 0
        self.log_format = "text"
        self.log_file: Path | None = None
        self.given: tuple[str | None, Mapping[str, Any]] = (None, {})
        """The command's name, and what it was given."""
        self.answer: dict[str, Any] = {}
        """What `--json` shows of how the command ended, whether it was asked for or not."""
        self.when_ended: Callable[[int, dict[str, Any]], None] | None = None
        """Is told the exit code and the answer when everything else is done."""
        self.tells_errors = True
        """Whether people read here what stopped a command; a log reads it always."""
        self.unwritten: OSError | None = None
        """Why a result could not be written, if that is so and its reader has not just gone."""
        self._held = io.TextIOWrapper(
            io.BytesIO(), sys.stdout.encoding or "utf-8", errors="backslashreplace", newline=""
        )

    def start_logs(self) -> None:
        """Begin to log as the options of this command say."""
        levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
        level = levels.get(max(self.verbosity, -1), logging.DEBUG)
        if self.logs_json:
            # Whoever asks for JSON alone wants all events, not only troubles.
            level = logging.INFO if self.verbosity == 0 else level
            logs.configure(level, "json", self.log_file)
        else:
            logs.configure(level, "text", self.log_file)

    @property
    def logs_json(self) -> bool:
        """Whether standard error holds JSON lines and nothing else."""
        return self.log_format == "json"

    @property
    def quiet(self) -> bool:
        """Whether only troubles are told."""
        return self.verbosity < 0

    @property
    def shows_progress(self) -> bool:
        """Whether people follow this command on standard error."""
        return not (self.quiet or self.logs_json)

    def shows_results_at(self, code: int) -> bool:
        """Whether anybody reads results of a command that ends so; what draws them loads long."""
        return bool(code or logs.counts.leaks_caught) or not self.quiet

    def progress_lines(self) -> Lines:
        """Give what shows there how a run goes."""
        from pipeline.cli.live_progress import Lines  # Most runs are watched by nobody.

        return Lines(sys.stderr)

    @contextmanager
    def long_work(self, words: str) -> Iterator[None]:
        """Tell what is going on if it takes long, to people who follow the command."""
        if not self.shows_progress:
            yield
            return
        from pipeline.cli.long_work import told_when_long  # Most runs are watched by nobody.

        with told_when_long(lambda: self.say(words)):
            yield

    def out(self) -> Console:
        """Give the console for results; in a pipe a line ends where it ends, not at 80.

        With -q a result is held back until the exit code is known: nothing is said at 0.
        """
        from pipeline.cli.results_console import ResultsConsole  # A quiet run shows nothing.

        fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
        return ResultsConsole(
            file=self._held if self.quiet else sys.stdout,
            width=None if fixed else PIPE_COLUMNS,
            no_color=not wants_colour(sys.stdout),
            highlight=False,
            soft_wrap=True,
        )

    @contextmanager
    def results(self) -> Iterator[None]:
        """Show results of what is done, to somebody who may have gone or onto a disk that is full."""
        try:
            yield
            sys.stdout.flush()
        except BrokenPipeError:
            forget_results()
        except OSError as trouble:
            self.unwritten = trouble
            forget_results()

    def show_held(self) -> None:
        """Show what -q has held back, as there is something to look at."""
        with self.results():
            self._held.seek(0)
            click.echo(self._held.read(), nl=False)
            self._held.seek(0)
            self._held.truncate()

    def say(self, *lines: str, always: bool = False) -> None:
        """Tell the operator something beside the result; a log file is told whatever -q hides.

        Args:
            lines: What to tell, a line each.
            always: Tell it even with -q.
        """
        for line in lines:
            if line:
                self.note(line.strip(), always=always)
            if not self.logs_json and (always or not self.quiet):
                click.echo("\n".join(folded(line, self._columns())), err=True)

    def note(self, line: str, *, always: bool = False) -> None:
        """Tell the log only, as people read the same among the results.

        Args:
            line: What to tell.
            always: Show it even with -q to whoever reads JSON lines on standard error.
        """
        logs.tell(logging.INFO, "message", line, always=always)

    def say_command(self, command: str, *, always: bool = False) -> None:
        """Tell a command line; folded, where it must be, so that it can be pasted all the same."""
        self.note(command, always=always)
        if not self.logs_json and (always or not self.quiet):
            columns = self._columns()
            # Where one word fills the line, not even the sign that goes on may wrap.
            deep = columns is None or max(map(len, command.split())) + 8 <= columns
            indents = ("    ", "      ") if deep else ("", "")
            click.echo(" \\\n".join(folded(command, columns, *indents, 2)), err=True)

    def _columns(self) -> int | None:
        """Give how wide standard error is; None where nobody reads it on a screen."""
        from shutil import get_terminal_size  # It loads every kind of compression.

        return get_terminal_size().columns if sys.stderr.isatty() else None

    def print_json(self, answer: dict[str, Any]) -> None:
        """Print the one JSON object of a `--json` command."""
        import orjson

        self.answer = answer
        option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
        text = orjson.dumps({"version": ENVELOPE_VERSION, **answer}, option=option).decode()
        with self.results():
            click.echo(text)

    def tell(self, trouble: CardferryError, more: Mapping[str, Any] | None = None) -> None:
        """Tell a trouble: what happened, and in a second line what to do next.

        Args:
            trouble: What stopped the command.
            more: What programs are told of it besides.
        """
        self.answer = {
            **(more or {}),
            "exit_code": exit_status(trouble),
            "error": trouble.message,
            "next_step": self.pasteable(trouble.next_step),
            "kind": type(trouble).__name__,
        }
        if (run_id := logs.bound_run()) is not None:
            self.answer["run_id"] = run_id
        if isinstance(trouble, SettingsRefused):
            self.answer["problems"] = list(trouble.problems)
        if self.as_json:
            self.print_json(self.answer)
        self.tell_stop(trouble)

    def tell_stop(self, trouble: CardferryError) -> None:
        """Tell a trouble in words, on standard error and in the log, below what was shown so far."""
        self.show_held()
        self.tell_error(
            trouble.message, trouble.next_step, exit_status(trouble), type(trouble).__name__
        )

    def tell_error(self, message: str, next_step: str, code: int, kind: str) -> None:
        """Tell what stopped a command, with the exit code that it will end with."""
        next_step = self.pasteable(next_step)
        text = f"{message}\n{next_step}"
        logs.tell(logging.ERROR, "error", text, exit_code=code, kind=Word(kind))
        if self.tells_errors and not self.logs_json:
            red = wants_colour(sys.stderr)
            head = click.style("cardferry:", fg="red", bold=True) if red else "cardferry:"
            for line in folded(f"{head} {message}", self._columns(), "", "  "):
                click.echo(line, err=True)
            for line in folded(next_step, self._columns(), "  ", "  "):
                click.echo(line, err=True)

    def tell_wrong_use(self, text: str) -> None:
        """Tell what is wrong with a command line, folded as everything else is."""
        for line in self.pasteable(text).splitlines():
            click.echo("\n".join(folded(line, self._columns())), err=True)

    def pasteable(self, text: str) -> str:
        """Give a message whose command lines name what this command was given."""
        from pipeline.cli.pasteable import advice  # Who is told nothing needs none.

        return advice(text, *self.given)

    def ending(self, code: int) -> int:
        """Show what -q held back, log the end, and give the exit code.

        A card number that the log caught outweighs every other code.
        """
        if logs.counts.leaks_caught:
            code = _LEAK_EXIT_CODE
            self.tell_error(
                "a log line held a card number and was withheld",
                "Report this as a bug; keep the log.",
                code,
                "CardNumberFound",
            )
        if code:
            self.show_held()
        logs.tell(logging.INFO, "ended", f"exit code {code}", always=code != 0, exit_code=code)
        return code

    def tell_ended(self, code: int) -> None:
        """Tell whoever watches this command how it ended."""
        if self.when_ended is not None:
            self.when_ended(code, {"version": ENVELOPE_VERSION, **self.answer, "exit_code": code})
