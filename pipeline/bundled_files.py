"""Finds the files that come with the program: the sample, its settings and the example."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pipeline

_PACKAGE: Final = Path(pipeline.__file__).parent


def beside(name: str) -> Path:
    """Find a folder that a checkout has beside the package and a wheel inside it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
