"""Reads single settings from the command line and the environment, and lays them over those of the file."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

from pipeline.config.models import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXAMPLES: Final = {"[": '["a", "b"]', "{": '{ file = "a" }'}
"""How a list and a table are written."""
_PREFIX: Final = "CARDFERRY_"
_SECTIONS: Final = tuple(Settings.model_fields)
_POSTGRES: Final = ("postgresql://", "postgres://")
_TAB: Final = "\t"
_TAB_WRITTEN: Final = r"\t"


def from_environment(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Give section, key and value of each variable that is a setting."""
    found = []
    for name in sorted(environ):
        if not name.startswith(_PREFIX):
            continue
        section, _, key = name.removeprefix(_PREFIX).lower().partition("_")
        # Other CARDFERRY_ variables (shell completion) are nobody's settings.
        if section in _SECTIONS and key:
            value = environ[name]
            if (section, key) == ("ledger", "url") and value.startswith(_POSTGRES):
                # The URL itself, which holds a password: it stays where it is.
                value = f'{{ env = "{name}" }}'
            found.append((section, key, value))
    return found


def split_override(text: str) -> tuple[str, str, str]:
    """Give section, key and value of what `--set` was given."""
    name, _, value = text.partition("=")
    section, _, key = name.strip().partition(".")
    return section, key, value


def lay_over(
    tree: dict[str, Any], layer: Sequence[tuple[str, str, str]], problems: list[str], origin: str
) -> None:
    r"""Lay settings over a tree.

    A value is TOML, or a text as it stands. Of a word alone for `export.key` only the file can be
    meant, of `\t` only a tab.

    Args:
        tree: The settings so far.
        layer: Section, key and value of each.
        problems: Learns what cannot be read, without a value.
        origin: Where they stand, for that.
    """
    for section, dotted, value in layer:
        *parents, key = dotted.split(".")
        table: Any = tree if section and key else None
        for name in (section, *parents):
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            problems.append(f"{origin} holds something that is not section.key=value")
        elif _is_unquoted(value):
            problems.append(
                f"{section}.{dotted}: {origin} has texts without quotes in a list or a table; they "
                f"stand in quotes, and all of it in the shell's: '{_EXAMPLES[value.strip()[0]]}'"
            )
        else:
            table[key] = _toml_value(value)
            if (section, dotted) == ("export", "key") and isinstance(table[key], str):
                table[key] = {"file": table[key]}


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return _TAB if text == _TAB_WRITTEN else text


def _is_unquoted(text: str) -> bool:
    """Tell a list or a table that is no TOML from a text such as the column `[id]`."""
    bare = text.strip()
    is_list = bare[:1] == "[" and bare[-1:] == "]" and any(sign in bare for sign in ",/\"'")
    is_table = bare[:1] == "{" and "=" in bare
    return (is_list or is_table) and _toml_value(text) == text
