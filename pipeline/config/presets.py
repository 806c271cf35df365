"""Reads the known export formats that come with the program, and lays settings over them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.bundled_files import beside

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIRED: Final = frozenset(("legacy_id", "number", "name"))
_EXPIRATIONS: Final = frozenset(("expiration", "expiration_month", "expiration_year"))


@dataclass(frozen=True, slots=True)
class Preset:
    """A known export format.

    Attributes:
        name: As the settings name it.
        title: What it is, in a line.
        header: Its exact columns; empty where it has none.
        export: The tree of `[export]` that reads it.
        json_name: The preset for the same export in JSON, if that has other columns.
        other_methods: Columns that hold another payment method than a card where they are filled.
        method: The column that says `card`, or which other payment method a record is.
        text: The whole file.
    """

    name: str
    title: str
    header: tuple[str, ...]
    export: Mapping[str, Any]
    json_name: str | None
    other_methods: tuple[str, ...]
    method: str | None
    text: str

    @property
    def may_lack(self) -> frozenset[str]:
        """The canonical names of columns that an export of this format need not have."""
        columns = self.export["columns"]
        needed = set(_REQUIRED)
        if "expiration" not in columns or "expiration_month" not in columns:
            needed |= _EXPIRATIONS
        return frozenset(columns) - needed


def preset_names() -> list[str]:
    """Give the names of the known formats, in order."""
    return sorted(file.stem for file in (beside("configs") / "presets").glob("*.toml"))


def read_preset(name: str) -> Preset | None:
    """Give a known format, or None when there is none of that name."""
    if name not in preset_names():
        return None
    text = (beside("configs") / "presets" / f"{name}.toml").read_text("utf-8")
    tree = tomllib.loads(text)
    return Preset(
        name,
        tree["title"],
        tuple(tree.get("header", ())),
        tree["export"],
        tree.get("json"),
        tuple(tree.get("other_methods", ())),
        tree.get("method"),
        text,
    )


def laid_over(preset: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Give a preset's `[export]` with one's own over it, column by column.

    Whoever names an expiration of their own names all of it.
    """
    merged = {**preset, **own}
    columns, own_columns = preset["columns"], own.get("columns", {})
    if isinstance(own_columns, dict):
        given = _EXPIRATIONS & own_columns.keys()
        kept = {k: v for k, v in columns.items() if not (given and k in _EXPIRATIONS)}
        merged["columns"] = {**kept, **own_columns}
    return merged
