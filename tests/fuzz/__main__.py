"""A target's name in, a bounded, repeatable, coverage-guided search for an input that breaks it.

`python -m tests.fuzz TARGET [RUNS] [SEED]` needs atheris, which the `dev` extra has where it can
be built. It ends with an error at the first input that breaks a claim, after showing the input;
such an input belongs into the ordinary tests. Nothing fuzzed here is a real card's number.
"""

from __future__ import annotations

import operator
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import atheris
import numpy as np
from atheris.version_dependent import CMP_OP_SHIFT_AMOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

# The standard library's readers of dates and JSON are written in Python too.
with atheris.instrument_imports(
    include=["pipeline", "email", "json"], enable_loader_override=False
):
    from tests.fuzz.targets import BROKEN, TARGETS


_COMPARISONS: Final = (
    *(operator.lt, operator.le, operator.eq),
    *(operator.ne, operator.gt, operator.ge),
)
"""In the order of `dis.cmp_op`."""


def main(name: str, runs: str = "200000", seed: str = "6") -> None:
    """Search; never returns."""
    target = {**TARGETS, "broken": BROKEN}[name]
    with tempfile.TemporaryDirectory() as folder:
        for place, given in enumerate(target.seeds):
            Path(folder, f"{place:03d}").write_bytes(given)
        limits = (f"-runs={runs}", f"-seed={seed}", f"-max_len={target.bytes_max}", "-timeout=20")
        more = ("-rss_limit_mb=2048", f"-artifact_prefix={folder}/")
        atheris.Setup([sys.argv[0], *limits, *more, folder], _shown_when_broken(target.claim))
        atheris.Fuzz()


def _shown_when_broken(claim: Callable[[bytes], None]) -> Callable[[bytes], None]:
    is_first = True

    def tried(given: bytes) -> None:
        nonlocal is_first
        if is_first:
            # Only now: `Fuzz` puts the search's own function there.
            atheris._trace_cmp = _freeing_arrays(atheris._trace_cmp)
            is_first = False
        try:
            claim(given)
        except BaseException:
            sys.stderr.write(f"the claim is broken by {given!r}\n")
            raise

    return tried


def _freeing_arrays(traced: Callable[..., Any]) -> Callable[..., Any]:
    """Compare arrays without the search, which never frees what it made of two of them."""

    def compared(left: Any, right: Any, kind: int, *more: Any) -> Any:
        if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
            return _COMPARISONS[kind >> CMP_OP_SHIFT_AMOUNT](left, right)
        return traced(left, right, kind, *more)

    return compared


if __name__ == "__main__":
    main(*sys.argv[1:])
