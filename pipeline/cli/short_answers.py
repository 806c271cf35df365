"""Answers `--version` and `--help` with nothing loaded that only commands need."""

from __future__ import annotations

import os
import sys

from pipeline import __version__


def answer(words: list[str]) -> bool:
    """Answer a command line that asks for no more than the version or the list of commands.

    Args:
        words: The command line without the program's name.

    Returns:
        Whether it was answered. If not, nothing was written, or the output took nothing more: the
        whole command line then says so in its words.
    """
    if words == ["--version"]:
        return _written(f"cardferry, version {__version__}\n")
    if words in (["--help"], ["-h"]):
        from pipeline.cli.commands import cardferry  # The version needs no click.

        context = cardferry.make_context("cardferry", [], resilient_parsing=True)
        return _written(cardferry.get_help(context) + "\n")
    return False


def _written(text: str) -> bool:
    if sys.stdout is None or not text.isascii():
        return False
    left = text.encode("ascii")
    try:
        while left:
            left = left[os.write(1, left) :]
    except OSError:
        return False
    return True
