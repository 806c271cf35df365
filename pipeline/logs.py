"""Writes events with typed fields as log lines, none of which holds a card number.

A field is a number, a truth, a name from our own code, a `Word` or a path that the operator
gave; free text from an export or an answer has no way in. Of other libraries' records only
level, logger and place are written: their texts may hold what they were given. Behind that
stands a detector: a finished line that holds a card number is thrown away and counted, and a
run that has counted one ends with exit code 9.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, Self, TextIO, TypeAlias

from pipeline.log_file import open_log
from pipeline.log_lines import WORD_SHAPE, Plain, json_line, text_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OUR_LOGGERS: Final = "pipeline"
_LEAK_CAUGHT: Final = "a log line held a card number and was withheld"
_NOISY: Final = (
    "aiohttp", "asyncio", "httpcore", "httpx", "sqlalchemy", "tenacity", "urllib3",
)  # fmt: skip
_EVENT_SHAPE: Final = re.compile(r"[a-z][a-z ,'-]{0,79}")
_OWN_KEYS: Final = frozenset({"at", "level", "log", "event", "run_id", "text"})
_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_COLOUR_OFF: Final = "\x1b[0m"


def _holds_number(text: str) -> bool:
    from pipeline.cards.detect import contains_pan  # noqa: PLC0415 - help writes no log.

    return contains_pan(text)


class Word(str):
    """A short text that is safe to log: a code, an id, a digest; no spaces, no card number.

    Raises:
        ValueError: The text is not of that shape; the error does not repeat it.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the text and give it as a word."""
        if not WORD_SHAPE.fullmatch(text) or _holds_number(text):
            raise ValueError("the text is not a loggable word")
        return super().__new__(cls, text)


Field: TypeAlias = int | float | bool | StrEnum | Word | Path | None


class EventLog:
    """Writes events of one part of the pipeline.

    Args:
        part: The part's name, such as `run` or `vault.client`.
    """

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"{OUR_LOGGERS}.{part}")

    def debug(self, event: str, **fields: Field) -> None:
        """Write what only a developer wants to know."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """Write what the operator may like to know."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Write what the operator should look at."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """Write what stopped something."""
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: Mapping[str, Field]) -> None:
        # Whatever the level: a wrong event would else be found only by who turns the log on.
        if not _EVENT_SHAPE.fullmatch(event) or not _OWN_KEYS.isdisjoint(fields):
            raise ValueError("an event is a short lower-case phrase, its fields have other names")
        if not self._logger.isEnabledFor(level):
            return
        plain = {name: _plain(value) for name, value in fields.items()}
        self._logger.log(level, "%s", event, extra={"event": event, "fields": plain})


def _plain(value: Field) -> Plain:
    """Give the field as JSON knows it; refuse what slipped past the type checker."""
    if isinstance(value, float):
        # Six digits say enough, and sixteen could pass for a card number.
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, StrEnum | Word | Path):
        return str(value)
    raise TypeError("a log field is a number, a truth, a word of ours or a path")


@dataclass(slots=True)
class LogCounts:
    """What went wrong with the log itself since the program began."""

    leaks_caught: int = 0
    """Lines withheld because they held a card number; more than 0 must fail the run."""


counts: Final = LogCounts()


_run: dict[str, Plain] = {}


def bind_run(run_id: str) -> None:
    """Write this run's id into every later line."""
    _run["run_id"] = Word(run_id)


@contextmanager
def lines_of_run(run_id: str | None) -> Iterator[None]:
    """Write the id of a run of another process into the lines that speak of it.

    Args:
        run_id: The run; None where none was made.
    """
    before = dict(_run)
    if run_id is not None:
        bind_run(run_id)
    try:
        yield
    finally:
        _run.clear()
        _run.update(before)


def bound_run() -> str | None:
    """Give the run whose id every line holds now; None where there is none."""
    return None if (run_id := _run.get("run_id")) is None else str(run_id)


def tell(level: int, event: str, text: str, *, always: bool = False, **fields: Field) -> None:
    """Log what the command line says to people in words of its own.

    A form for programs shows it wherever lines go; in text it goes into the log file only, for
    whoever reads the terminal has read it there. With `always` no level hides it.
    """
    plain = {"text": text, **{name: _plain(value) for name, value in fields.items()}}
    extra = {"event": event, "fields": plain, "told": True, "always": always}
    logger = logging.getLogger(f"{OUR_LOGGERS}.cli")
    if always or logger.isEnabledFor(level):
        where = (logger.name, level, __file__, 0)
        logger.handle(logger.makeRecord(*where, "%s", (event,), None, extra=extra))


def configure(
    level: int = logging.INFO,
    form: Literal["text", "json"] = "text",
    file: Path | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send every record of the program through our formatters, and through nothing else.

    Args:
        level: The lowest level of ours on the stream; others' begin at WARNING whatever it is,
            and at ERROR where only our own warnings were asked for.
        form: One line of text a record, or one JSON object.
        file: Also append to this file: INFO and above, or everything from `level` on.
        stream: Where lines go; whatever standard error is by then, if not given.

    Raises:
        LocalStorageFailed: The file cannot be a log.
    """
    # First without the file: that it cannot be opened has to be told, too.
    _install([_GuardedHandler(stream, form, level)])
    if file is not None:
        file_level = min(level, logging.INFO)
        to_file = _GuardedHandler(open_log(file), form, file_level, is_file=True)
        _install([_GuardedHandler(stream, form, level), to_file])
    _run.clear()
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _install(handlers: Sequence[_GuardedHandler]) -> None:
    """Let these and no others write records."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        if isinstance(old, _GuardedHandler):
            old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OUR_LOGGERS).setLevel(min(handler.lowest for handler in handlers))


def wants_colour(stream: IO[str]) -> bool:
    """Say whether to colour this stream: a terminal that is not dumb, and no NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


class _GuardedHandler(logging.Handler):
    """Writes records as lines, none of which holds a card number or another library's text."""

    def __init__(
        self,
        stream: TextIO | None,
        form: Literal["text", "json"],
        level: int,
        *,
        is_file: bool = False,
    ) -> None:
        super().__init__()
        # Not the level that logging itself knows: that would hide what is to be told always.
        self.lowest = level
        self._stream = stream
        self._form = form
        self._is_file = is_file

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass ours, and others' from WARNING on, even where a library lowered its level."""
        if record.levelno < self.lowest and not getattr(record, "always", False):
            return False
        if _is_ours(record):
            return self._is_file or self._form == "json" or not getattr(record, "told", False)
        # A library's warning is for developers; an operator can do nothing about it.
        asked = self._is_file or self.lowest != logging.WARNING
        return record.levelno >= (logging.WARNING if asked else logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; never raises and never prints the record when writing fails."""
        try:
            stream = self._stream or sys.stderr
            as_line = json_line if self._form == "json" else text_line
            facts = _facts(record)
            line = as_line(facts)
            if _holds_number(line):
                counts.leaks_caught += 1
                facts = {**_head(record), "level": "error", "event": _LEAK_CAUGHT}
                line = as_line(facts)
            level = str(facts["level"])
            if self._form == "text" and level in _COLOURS and wants_colour(stream):
                line = f"{_COLOURS[level]}{line}{_COLOUR_OFF}"
            stream.write(f"{line}\n")
            stream.flush()
        except Exception:  # noqa: BLE001, S110 - a log that cannot be written must not stop a run.
            pass

    def close(self) -> None:
        """Close the stream if it was opened here."""
        super().close()
        if self._is_file and self._stream is not None:
            self._stream.close()


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == OUR_LOGGERS


def _head(record: logging.LogRecord) -> dict[str, Plain]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    level = record.levelname.lower()
    return {"at": at.replace("+00:00", "Z"), "level": level, "log": record.name}


def _facts(record: logging.LogRecord) -> dict[str, Plain]:
    event = getattr(record, "event", None)
    if _is_ours(record) and isinstance(event, str):
        return {**_head(record), "event": event, **_run, **getattr(record, "fields", {})}
    facts = {**_head(record), "event": "a library spoke"}
    facts["place"] = f"{Path(record.pathname).name}:{record.lineno}"
    if record.exc_info and record.exc_info[0] is not None:
        facts["exception"] = record.exc_info[0].__qualname__
        if last := traceback.extract_tb(record.exc_info[2], limit=-1):
            facts["raised"] = f"{Path(last[0].filename).name}:{last[0].lineno}"
    return facts
