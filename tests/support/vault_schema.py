"""Makes the JSON Schema of an API version from the sandbox's own description of its objects."""

from __future__ import annotations

from typing import Any, Final

from pipeline.sandbox.description import NEWEST, OBJECTS, Attribute

_STUB: Final = ("object", "id", "livemode", "deleted")
_DELETABLE: Final = ("card", "customer")


def _object_schema(version: str, attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    named = [(attribute.name_in(version), attribute) for attribute in attributes]
    return {
        "type": "object",
        "properties": {name: attribute.shape for name, attribute in named if name},
        "required": [name for name, attribute in named if name and not attribute.optional],
        "additionalProperties": False,
    }


def schema(version: str = NEWEST) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) that every answer of a version keeps to."""
    kinds = {kind: _object_schema(version, attributes) for kind, attributes in OBJECTS.items()}
    if version == NEWEST:
        # The newest version always shows a card's location, null or not.
        kinds["card"]["required"].append("location")
    else:
        kinds["deleted"] = {
            "type": "object",
            "properties": {
                "object": {"enum": list(_DELETABLE)},
                "id": {"type": "string"},
                "livemode": {"type": "boolean"},
                "deleted": {"const": True},
            },
            "required": list(_STUB),
            "additionalProperties": False,
        }
    kinds["any"] = {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Objects of the sandbox vault, API version {version}",
        "$ref": "#/$defs/any",
        "$defs": kinds,
    }
