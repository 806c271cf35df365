"""Writes `manifest.json`, the one file whose signature vouches for all others, and reads it back.

It names every output with size and SHA-256, the totals, the end of the chain of events, what
each table of the ledger held, and the manifest before it, so that a missing run shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.json.sig"
MANIFEST_VERSION: Final = 1

_WANTED: Final = {
    "version": int,
    "cardferry": str,
    "files": list,
    "totals": dict,
    "hash_totals": dict,
    "chain": dict,
    "ledger": dict,
}


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


def parse_manifest(content: bytes) -> dict[str, Any] | None:
    """Read a manifest; None if it is none, or not one that this version understands."""
    try:
        manifest = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(manifest, dict) or manifest.get("version") != MANIFEST_VERSION:
        return None
    shaped = all(isinstance(manifest.get(name), kind) for name, kind in _WANTED.items())
    entries = all(
        isinstance(entry, dict) and entry.keys() >= {"name", "size", "sha256"}
        for entry in manifest.get("files") or [None]
    )
    chained = shaped and manifest["chain"].keys() >= {"head", "length"}
    return manifest if entries and chained else None
