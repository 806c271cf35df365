"""Writes the facts of one log record as a line: of text for people, or of JSON for programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

WORD_SHAPE: Final = re.compile(r"[A-Za-z0-9_.:+/-]{0,128}")
Plain: TypeAlias = int | float | str | None
"""What a field is in either form."""

_HEAD_KEYS: Final = frozenset({"at", "level", "log", "event"})


def json_line(facts: Mapping[str, Plain]) -> str:
    """Give the facts as one JSON object."""
    return json.dumps(facts, separators=(",", ":"))


def text_line(facts: Mapping[str, Plain]) -> str:
    """Give time, level and event, then the other facts as NAME=VALUE."""
    fields = "".join(
        f" {name}={_quoted(value)}" for name, value in facts.items() if name not in _HEAD_KEYS
    )
    return f"{facts['at']} {facts['level']:<7} {facts['event']}{fields}"


def _quoted(value: Plain) -> str:
    """Give the value bare where it cannot be misread, else as JSON (no control characters)."""
    if isinstance(value, str) and not WORD_SHAPE.fullmatch(value):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
