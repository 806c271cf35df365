"""Reads a fault script, and gives each request its letter: how the sandbox misbehaves on purpose.

A script is made of words. A word of letters is taken one letter a request, in order of arrival;
`seed=N` and `LETTER=CHANCE` words draw a letter for every request after those (and `.` for the
chance that is left). Without chances the last letter is repeated for ever. `@FILE` reads the
words from a file, in which `#` starts a comment.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

LETTERS: Final = {
    ".": "answer",
    "R": "reset the connection before answering; nothing is made",
    "D": "do the work, then drop the connection",
    "Z": "drop the connection, then do the work --late-s later",
    "H": "hang until the client gives up; nothing is made",
    "5": "500; nothing is made",
    "3": "503; nothing is made",
    "9": "429 with Retry-After 1; nothing is made",
    "8": "429 without Retry-After; nothing is made",
    "T": "do the work, then answer with half of the JSON",
    "J": "200 with an HTML page; nothing is made",
    "W": "do the work, then answer with another card's last four",
    "L": "do the work, then answer with the wrong livemode",
    "U": "do the work, then answer with the id of the answer before",
    "A": "401; nothing is made",
}


class ScriptRefused(ValueError):
    """The script cannot be read; the message says which word and why."""


class Script:
    """Gives every request its letter.

    Args:
        letters: The letters of the first requests.
        chances: The chance of each letter afterwards; empty to repeat the last letter.
        seed: The seed of the draws, so that a run can be repeated.
    """

    def __init__(self, letters: str, chances: dict[str, float], seed: int) -> None:
        self._letters = letters
        self._chances = chances
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose.
        self._taken = 0

    def take(self) -> str:
        """Give the letter of the request that has just arrived."""
        index = self._taken
        self._taken += 1
        if index < len(self._letters):
            return self._letters[index]
        if not self._chances:
            return self._letters[-1] if self._letters else "."
        point = self._random.random()
        for letter, chance in self._chances.items():
            point -= chance
            if point < 0:
                return letter
        return "."


def _number(word: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ScriptRefused(f"{word!r} needs a number after the equals sign") from None


def _seed(word: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ScriptRefused(f"{word!r} needs a whole number after the equals sign") from None


def _words(text: str) -> list[str]:
    if not text.startswith("@"):
        return text.split()
    try:
        lines = Path(text[1:]).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ScriptRefused("the script's file cannot be read as text") from None
    return [word for line in lines for word in line.partition("#")[0].split()]


def read_script(text: str) -> Script:
    """Read a script from the command line, or from the file that `@FILE` names.

    Raises:
        ScriptRefused: An unknown letter, a chance outside 0..1 or chances above 1 together.
    """
    letters, chances, seed = "", {}, 0
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals:
            letters += word
        elif name == "seed":
            seed = _seed(word, value)
        elif len(name) == 1:
            letters_known(name)
            chances[name] = _number(word, value)
        else:
            raise ScriptRefused(f"{word!r} gives a chance to no single letter")
    letters_known(letters)
    if any(not 0 <= chance <= 1 for chance in chances.values()) or sum(chances.values()) > 1:
        raise ScriptRefused("chances lie between 0 and 1, and so does their sum")
    return Script(letters, chances, seed)


def letters_known(letters: str) -> None:
    """Check that every letter has a meaning.

    Raises:
        ScriptRefused: One has none.
    """
    for letter in letters:
        if letter not in LETTERS:
            raise ScriptRefused(f"{letter!r} is none of the letters {' '.join(LETTERS)}")
