"""Writes `manifest.json`, the one file whose signature vouches for all others, and reads it back.

It names every output with size and SHA-256, the totals, the end of the chain of events, what
each table of the ledger held, and the manifest before it, so that a missing run shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_VERSION: Final = 1

_Members = TypeVar("_Members", bound=dict[str, Any])
_Count: TypeAlias = Annotated[int, Field(ge=0, le=2**63)]
_Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Totals: TypeAlias = Annotated[
    dict[str, Annotated[int, Field(ge=-(2**63), le=2**63)]],
    AfterValidator(lambda totals: _with("rows difference rejected failed held", totals)),
]
_HashTotals: TypeAlias = Annotated[
    dict[str, _Digest], AfterValidator(lambda sums: _with("read ledger mapping failures", sums))
]
_Text: TypeAlias = Annotated[str, Field(max_length=4096)]


def _with(names: str, members: _Members) -> _Members:
    if not members.keys() >= set(names.split()):
        raise ValueError("a member is missing")
    return members


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class PublishedFile(_Part):
    """A file that the manifest answers for."""

    name: _Text
    size: _Count
    sha256: _Digest


class ReadExport(_Part):
    """An export whose rows are in the ledger."""

    name: _Text
    size: _Count
    sha256: _Digest
    rows: _Count


class TableDigest(_Part):
    """What a table of the ledger held."""

    rows: _Count
    sha256: _Digest


class Chain(_Part):
    """The last event that the files speak of."""

    head: _Digest
    length: _Count


class Manifest(_Part):
    """A manifest as it was read, every member of the type that Cardferry writes."""

    version: Literal[1]
    cardferry: _Text
    files: Annotated[list[PublishedFile], Field(min_length=1, max_length=100)]
    totals: _Totals
    mapped: _Count
    unseen_tokens_max: _Count
    resolved: dict[str, _Count]
    hash_totals: _HashTotals
    exports: list[ReadExport]
    chain: Chain
    ledger: dict[str, TableDigest]


def manifest_bytes(
    figures: Mapping[str, Any],
    files: Mapping[str, tuple[int, str]],
    *,
    tables: Mapping[str, Mapping[str, int | str]],
    settings_digest: str | None,
    previous_manifest: str | None,
) -> bytes:
    """Give the manifest's bytes.

    Args:
        figures: The report's figures.
        files: Size in bytes and SHA-256 by name, in the order of publishing.
        tables: Rows and SHA-256 of the ledger's tables.
        settings_digest: What results mean (`config.loading.meaning_digest`).
        previous_manifest: SHA-256 of the manifest before this one, or None for the first.
    """
    manifest = {
        "version": MANIFEST_VERSION,
        "cardferry": figures["cardferry"],
        "files": [
            {"name": name, "size": size, "sha256": sha256} for name, (size, sha256) in files.items()
        ],
        "totals": figures["balance"],
        "resolved": figures["resolved"],
        "mapped": figures["cards"]["mapped"],
        "unseen_tokens_max": figures["unseen_tokens_max"],
        "hash_totals": figures["hash_totals"],
        "exports": [
            {name: export[name] for name in ("name", "size", "sha256", "rows")}
            for export in figures["exports"]
        ],
        "runs": [run["run_id"] for run in figures["runs"]],
        "settings_digest": settings_digest,
        "chain": figures["trail"],
        "ledger": dict(tables),
        "previous_manifest": previous_manifest,
    }
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def parse_manifest(content: bytes) -> Manifest | None:
    """Read a manifest; None if it is none, or not one that this version understands."""
    try:
        return Manifest.model_validate_json(content)
    except ValueError:
        return None
