"""Puts what a command was given into the command lines that its messages advise."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.advice import Given, program, shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_ADVISED: Final = re.compile(r"`cardferry ([^`]+)`")
_SETTINGS: Final = "-c CONFIG"
_NAMES_A_SETTING: Final = re.compile(
    r"`(?:vault|export|rules|flow|attach|ledger|cluster|audit|watch)\.[a-z_]+`"
)
_IN_THE_FILE: Final = "in the settings file"
_WITHOUT_FILE: Final = (
    " No settings file was named (-c): built-in defaults and CARDFERRY_* variables count."
)


def advice(text: str, command: str | None, options: Mapping[str, Any]) -> str:
    """Give what is to be done next, for whoever called a command as it was called.

    Args:
        text: The advice in general.
        command: The command's name.
        options: What it was given, by the names of its parameters.
    """
    told = filled_in(text, places_of(command, options))
    if "config_file" not in options:
        return told
    if (file := options["config_file"]) is None:
        return told + _WITHOUT_FILE if _NAMES_A_SETTING.search(told) else told
    named = f"in {shown_path(file)}"
    if _IN_THE_FILE in told:
        return told.replace(_IN_THE_FILE, named)
    return _NAMES_A_SETTING.sub(lambda at: f"{at[0]} {named}", told, count=1)


def places_of(command: str | None, options: Mapping[str, Any]) -> dict[str, str]:
    """Give what DIR, EXPORT and `-c CONFIG` stand for in the messages of a command.

    Args:
        command: Its name.
        options: Its arguments and options, by the names of their parameters.

    Returns:
        By each of these words, what a shell takes in its place; a word that means nothing to this
        command is left out.
    """
    folder = options.get("out" if command == "inbox" else "folder")
    exports = [quote(shown_path(Path(each))) for each in options.get("exports") or ()]
    places = {}
    if isinstance(folder, Path):
        places["DIR"] = quote(shown_path(folder))
    if exports:
        places |= dict.fromkeys(("EXPORT...", "EXPORT"), " ".join(exports))
    if "config_file" in options:
        given = Given(Path(), (), options["config_file"], options.get("overrides") or ())
        places[_SETTINGS] = " ".join(map(quote, given.settings))
    return places


def filled_in(text: str, places: Mapping[str, str]) -> str:
    """Give a message whose command lines, between backticks, work when they are pasted.

    Args:
        text: The message; a word that nothing is known for stays as it is.
        places: As `places_of` gives them.
    """
    longest_first = sorted(places, key=len, reverse=True)
    known = re.compile(rf"(?<!\S)({'|'.join(map(re.escape, longest_first))})(?!\S)")

    def with_words(found: re.Match[str]) -> str:
        words = known.sub(lambda at: places[at[1]], found[1]) if places else found[1]
        return f"`{program()} {words.rstrip()}`"

    return _ADVISED.sub(with_words, text)
