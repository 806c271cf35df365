"""Tells which members of an archive are files that somebody meant to send."""

from __future__ import annotations

from typing import Final

from pipeline import counts

_LEFT_BY_SYSTEMS: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})


def is_meant(name: str) -> bool:
    """Tell a file from folders and from what systems add by themselves."""
    *folders, last = name.replace("\\", "/").split("/")
    return not (
        not last
        or "__MACOSX" in folders
        or last.startswith("._")
        or last.lower() in _LEFT_BY_SYSTEMS
    )


def counted(files: int) -> str:
    """Say how many files an archive has."""
    return counts.counted(files, "file") if files else "no file"
