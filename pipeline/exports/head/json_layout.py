"""Finds where the records of a JSON export are, by its first bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ijson

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS_MAX: Final = 200
_MAP_KEYS_MIN: Final = 2
_EACH: Final = "*"


@dataclass(frozen=True, slots=True)
class Tree:
    """Records of a JSON export.

    Attributes:
        form: `json` or `jsonl`.
        records: Their path, as `export.records` names it; empty where each object is one.
        columns: Source column to its texts.
    """

    form: str
    records: str
    columns: dict[str, list[str]]


def read_trees(text: str) -> list[Tree]:
    """Give the lists of objects in a JSON export's first bytes, the deepest first."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    roots = list(_roots(text))
    is_lines = len(roots) > 1 or (
        bool(roots) and isinstance(roots[0], dict) and text.strip().split("\n", 1)[0].endswith("}")
    )
    for root in roots:
        _collect(root, (), [], found, is_lines=is_lines)
    trees = []
    for path, records in found.items():
        names = dict.fromkeys(name for record in records for name in record)
        columns = {name: [record.get(name, "") for record in records] for name in names}
        plain = path in {(), (_EACH,)}
        trees.append(
            Tree("jsonl" if is_lines else "json", "" if plain else ".".join(path), columns)
        )
    return sorted(trees, key=lambda tree: tree.records.count("."), reverse=True)


def _roots(text: str) -> Iterator[Any]:
    """Give the values at the top, the last one as far as it goes."""
    builder = ijson.ObjectBuilder()
    depth = 0
    begun = False
    try:
        for event, value in ijson.basic_parse(
            io.BytesIO(text.encode("utf-8", "replace")), multiple_values=True, use_float=True
        ):
            builder.event(event, value)
            begun = True
            depth += event in {"start_map", "start_array"}
            depth -= event in {"end_map", "end_array"}
            if depth == 0:
                yield builder.value
                builder, begun = ijson.ObjectBuilder(), False
    except ijson.JSONError:
        # The head was cut somewhere.
        if begun and hasattr(builder, "value"):
            yield builder.value


def _collect(
    value: Any,
    path: tuple[str, ...],
    outer: list[dict[str, Any]],
    found: dict[tuple[str, ...], list[dict[str, str]]],
    *,
    is_lines: bool,
) -> None:
    if isinstance(value, list) or _is_map(value):
        for member in value if isinstance(value, list) else value.values():
            _collect(member, (*path, _EACH), outer, found, is_lines=is_lines)
    elif isinstance(value, dict):
        records = found.setdefault(path, [])
        if len(records) < _ROWS_MAX:
            records.append(_texts(value, outer))
        # Of a document, what stands above the first `*` cannot be read.
        around = [value, *outer] if is_lines or _EACH in path else []
        for key, inner in value.items():
            if isinstance(inner, (list, dict)):
                _collect(inner, (*path, key), around, found, is_lines=is_lines)


def _is_map(value: Any) -> bool:
    """Tell a map from ids to objects from an object: all its values are objects of like keys."""
    members = list(value.values()) if isinstance(value, dict) else []
    # The last one may have been cut.
    return _are_alike(members) or _are_alike(members[:-1])


def _are_alike(members: list[Any]) -> bool:
    if len(members) < _MAP_KEYS_MIN or not all(isinstance(member, dict) for member in members):
        return False
    shared = set(members[0]).intersection(*members)
    return bool(shared) and len(shared) * 2 >= max(map(len, members))


def _texts(value: dict[str, Any], outer: list[dict[str, Any]]) -> dict[str, str]:
    texts = dict(_leaves(value, ""))
    for level, around in enumerate(outer, 1):
        texts |= {".." * level + name: text for name, text in _leaves(around, "")}
    return texts


def _leaves(value: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, dict) and not _is_map(inner):
            yield from _leaves(inner, f"{before}{key}.")
        elif not isinstance(inner, (list, dict)):
            yield before + key, "" if inner is None else str(inner)
