"""Shows an object of the newest API version as an older version shows it.

Also the Markdown tables of all objects, from the same description.
"""

from __future__ import annotations

from typing import Any, Final

from pipeline.sandbox.description import NEWEST, OBJECTS, VERSIONS, Attribute

_STUB: Final = ("object", "id", "livemode", "deleted")


def as_of(version: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Give an object as a version of the API shows it.

    Args:
        version: One of `VERSIONS`.
        shown: An object in the newest shape; it is not changed.
    """
    if version == NEWEST:
        return shown
    kind = shown["object"]
    if shown.get("deleted"):
        # Recorded: before 2019 a deleted object keeps nothing but these four.
        return {name: shown[name] for name in _STUB}
    older: dict[str, Any] = {}
    for attribute in OBJECTS[kind]:
        name = attribute.name_in(version)
        if name is None or attribute.name not in shown:
            continue
        value = _older_value(version, attribute.name, shown[attribute.name])
        if not (kind == "card" and name == "location" and value is None):
            older[name] = value
    return older


def _older_value(version: str, name: str, value: Any) -> Any:
    if name == "currency":
        return value.lower()
    if isinstance(value, dict) and name == "card":
        return as_of(version, value)
    if isinstance(value, dict) and name in {"cards", "refunds"}:
        return {**as_of(version, value), "order": None}  # Recorded: null inside another object.
    if isinstance(value, list) and name == "data":
        return [as_of(version, item) for item in value]
    return value


def _type_text(shape: dict[str, Any]) -> str:
    if "enum" in shape:
        return ", ".join("null" if value is None else f"`{value}`" for value in shape["enum"])
    if "anyOf" in shape:
        return " or ".join(_type_text(part) for part in shape["anyOf"])
    if "$ref" in shape:
        return str(shape["$ref"]).rpartition("/")[2]
    kind = shape["type"]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _versions_text(attribute: Attribute) -> str:
    notes = []
    if attribute.since != VERSIONS[0]:
        notes.append(f"since {attribute.since}")
    if attribute.before_2019:
        notes.append(f"`{attribute.before_2019}` before {NEWEST}")
    if attribute.in_2014:
        notes.append(f"`{attribute.in_2014}` in {VERSIONS[0]}")
    return ", ".join(notes) or "all"


def markdown() -> str:
    """Give the objects as Markdown tables: attribute, type, versions, meaning."""
    lines = ["# Objects of the sandbox vault", ""]
    for kind, attributes in OBJECTS.items():
        lines += [
            f"## {kind}",
            "",
            "| attribute | type | versions | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{attribute.name}` | {_type_text(attribute.shape)} "
            f"| {_versions_text(attribute)} | {attribute.meaning} |"
            for attribute in attributes
        ]
        lines.append("")
    return "\n".join(lines)
