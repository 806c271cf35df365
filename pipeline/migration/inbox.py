"""Carries every finished export of a folder into one migration, oldest first, one at a time.

Each export is carried by a process of its own (`cardferry run`), so that nothing that one of them
does to memory, descriptors or libraries reaches the next. A refused export goes aside with its
reason and blocks nobody; whatever would meet every export alike (a vault that is down, settings
that are refused, a full disk) ends the pass with its own exit code.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.cards.detect import without_numbers
from pipeline.clock import timestamp
from pipeline.disk import open_regular_file, sha256_of, write_atomically
from pipeline.errors import SUCCESSES, ExportRefused, KeyUnusable, LocalStorageFailed
from pipeline.exports.sealed_file import shown_name
from pipeline.folder_files import read_in_folder
from pipeline.logs import EventLog, lines_of_run
from pipeline.migration.inbox_files import (
    DONE_FOLDER,
    REFUSED_FOLDER,
    Identity,
    InboxFile,
    identity_of,
    look,
    put_away,
    remove,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pipeline.clock import Clock

log = EventLog("inbox")

MEMORY_NAME: Final = ".inbox.json"
"""What was done with files that stay in the inbox; lost, it only costs another look at each."""

SUCCESS_NAME: Final = ".inbox-success"
"""When a look into the inbox last ended well, though there may have been nothing to carry."""

_REFUSED: Final = ExportRefused.exit_code
_KEY_UNUSABLE: Final = KeyUnusable.__name__
_MEMORY_BYTES_MAX: Final = 64 << 20
_MOMENT_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Carried:
    """How the process that carried one export ended.

    Attributes:
        exit_code: Its exit code.
        answer: The JSON object that it printed; empty when it printed none.
    """

    exit_code: int
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one pass made of one export.

    Attributes:
        name: The file's name.
        outcome: `carried`, `refused`, or `stopped` when it is still to be carried.
        exit_code: Of its process.
        reason: Why it was refused or stopped; None when it was carried.
        path: Where it lies now; None where it was removed.
        answer: What its process printed.
        sha256: Of the bytes of one that was refused; None where they cannot be read.
    """

    name: str
    outcome: str
    exit_code: int
    reason: str | None = None
    path: Path | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """What one look into the inbox led to.

    Attributes:
        entries: What became of each export that was tried.
        unfinished: The files that are still being written.
        untried: The finished exports behind the one that stopped the pass.
    """

    entries: tuple[Entry, ...]
    unfinished: tuple[str, ...]
    untried: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """What stopped the pass, else 6 if an export was refused, 3 if rows failed, else 0."""
        codes = {entry.exit_code for entry in self.entries}
        stops = codes - SUCCESSES - {_REFUSED}
        if stops:
            return stops.pop()
        return next((code for code in (_REFUSED, 3) if code in codes), 0)


@dataclass(frozen=True, slots=True)
class InboxRules:
    """Which files an inbox takes, and what it does with them.

    Attributes:
        quiet_s: How long a file without a companion must have been left alone, in seconds.
        plain: Whether unsealed exports count, too (`export.allow_plaintext`).
        when_done: `leave`, `move` or `remove` a carried export (`watch.inbox_done`).
    """

    quiet_s: float
    plain: bool
    when_done: str


class Inbox:
    """A folder into which exports are dropped.

    Args:
        folder: Where they are dropped.
        out: The migration folder that they are carried into.
        rules: What is taken, and what becomes of it.
        carry: Carries one export and says how that ended.
        clock: Tells how long a file has been left alone.
        advise: Says in lines what is done about a refused export, for the text beside it.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        rules: InboxRules,
        carry: Callable[[InboxFile], Carried],
        clock: Clock,
        advise: Callable[[Entry], Iterable[str]],
    ) -> None:
        self._folder = folder
        self._out = out
        self._rules = rules
        self._carry = carry
        self._clock = clock
        self._advise = advise
        self._settled = _remembered(out)

    def empty(self) -> Pass:
        """Carry what is finished now, until something stops it.

        Raises:
            LocalStorageFailed: The inbox cannot be read, or what is done cannot be put away.
        """
        entries: list[Entry] = []
        found = _unsettled(self._folder, self._settled, self._rules, self._clock)
        finished = [file for file in found if file.finished]
        for file in finished:
            entries.append(self._one(file))
            if entries[-1].outcome == "stopped":
                break
        unfinished = tuple(shown_name(file.path) for file in found if not file.finished)
        untried = tuple(shown_name(file.path) for file in finished[len(entries) :])
        made = Pass(tuple(entries), unfinished, untried)
        if made.exit_code in SUCCESSES:
            with write_atomically(self._out / SUCCESS_NAME) as written:
                written.write(timestamp(self._clock.now()).encode())
        return made

    def _one(self, file: InboxFile) -> Entry:
        ended = self._carry(file)
        with lines_of_run(ended.answer.get("run_id")):
            return self._settle(file, ended)

    def _settle(self, file: InboxFile, ended: Carried) -> Entry:
        name = shown_name(file.path)
        if ended.exit_code in SUCCESSES:
            path = self._put_done_away(file, ended.exit_code)
            return Entry(name, "carried", ended.exit_code, None, path, ended.answer)
        reason = str(ended.answer.get("error") or f"it ended with exit code {ended.exit_code}")
        # A key that is missing or locked refuses every export: that is nothing against this one.
        if ended.exit_code == _REFUSED and ended.answer.get("kind") != _KEY_UNUSABLE:
            return self._refuse(file, reason, ended.answer)
        return Entry(name, "stopped", ended.exit_code, reason, file.path, ended.answer)

    def _put_done_away(self, file: InboxFile, exit_code: int) -> Path | None:
        """Do with a carried export what the settings say, if it still is the one that was carried.

        Returns:
            Where it lies now; None where it was removed.
        """
        if identity_of(file.path) != file.identity:
            log.warning(
                "export changed while it was carried", export=_named(file), exit_code=exit_code
            )
        elif self._rules.when_done == "remove":
            remove(file)
            return None
        elif self._rules.when_done == "move":
            return put_away(file, DONE_FOLDER)
        else:
            self._remember(file, exit_code)
        return file.path

    def _refuse(self, file: InboxFile, reason: str, answer: Mapping[str, Any]) -> Entry:
        """Put an export aside with its reason; where that cannot be, remember it where it lies."""
        name = shown_name(file.path)
        # Two files may come under one name; this tells which of them is spoken of.
        sha256 = sha256_of(file.path)
        try:
            aside = put_away(file, REFUSED_FOLDER)
        except LocalStorageFailed:
            self._remember(file, _REFUSED)
            return Entry(name, "refused", _REFUSED, reason, None, answer, sha256)
        if next_step := answer.get("next_step"):
            # What is to be done with the file names it where it lies now.
            next_step = next_step.replace(str(file.path.absolute()), str(aside.absolute()))
            answer = {**answer, "next_step": next_step}
        entry = Entry(name, "refused", _REFUSED, reason, aside, answer, sha256)
        head = f"{timestamp(self._clock.now())} refused: {reason}"
        lines = (head, f"SHA-256 {sha256 or 'unknown'}", "", *self._advise(entry), "")
        with write_atomically(aside.with_name(f"{shown_name(aside)}.reason.txt")) as written:
            written.write("\n".join(lines).encode())
        return entry

    def _remember(self, file: InboxFile, exit_code: int) -> None:
        self._settled[file.path.name] = file.identity
        log.info("export stays in the inbox", export=_named(file), exit_code=exit_code)
        known = {
            name: asdict(identity)
            for name, identity in self._settled.items()
            # A file whose name holds a card number is looked at again each time: it is not noted.
            if without_numbers(name) == name and identity_of(self._folder / name) == identity
        }
        with write_atomically(self._out / MEMORY_NAME) as written:
            written.write(orjson.dumps(known))


def left_alone(folder: Path, out: Path, rules: InboxRules, clock: Clock) -> Pass:
    """Give what a look would find, for one that must not begin; nothing where nothing can be read.

    Args:
        folder: The inbox.
        out: The migration folder, which need not be there.
        rules: What is taken.
        clock: Tells how long a file has been left alone.
    """
    found: list[InboxFile] = []
    with suppress(LocalStorageFailed):
        found = _unsettled(folder, _remembered(out), rules, clock)
    names: dict[bool, list[str]] = {True: [], False: []}
    for file in found:
        names[file.finished].append(shown_name(file.path))
    return Pass((), tuple(names[False]), tuple(names[True]))


def _named(file: InboxFile) -> Path:
    """Give an export's path as a log line may hold it."""
    return file.path.with_name(shown_name(file.path))


def _unsettled(
    folder: Path, settled: Mapping[str, Identity], rules: InboxRules, clock: Clock
) -> list[InboxFile]:
    found = look(folder, clock.now().timestamp(), rules.quiet_s, plain=rules.plain)
    return [file for file in found if settled.get(file.path.name) != file.identity]


def _remembered(out: Path) -> dict[str, Identity]:
    try:
        with open_regular_file(out / MEMORY_NAME) as opened:
            known = orjson.loads(opened.read(_MEMORY_BYTES_MAX))
        return {name: Identity(**identity) for name, identity in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        # Absent or unreadable: every file is looked at once more, and no row is sent twice.
        return {}


def last_success_ms(out: Path) -> int | None:
    """Give when a look into an inbox of this migration last ended well, in milliseconds since 1970.

    Args:
        out: The migration folder, which may come from anywhere.
    """
    try:
        moment = datetime.fromisoformat(read_in_folder(out / SUCCESS_NAME, _MOMENT_BYTES).decode())
        return int(moment.timestamp() * 1000)
    except (OSError, ValueError, OverflowError):
        return None
