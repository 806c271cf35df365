"""Counts what is open by failure code, with the vault's own codes, what else is known, and examples."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.failure_codes import FAILURE_CODES
from pipeline.ledger.listings import FAILED
from pipeline.ledger.sections import ids_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.ledger.snapshot import Snapshot

EXAMPLES_A_CODE: Final = 5
"""Rows that the report shows of each failure code; the failure report has them all."""

_NUMBERS: Final = re.compile(r"[0-9][0-9/.]*")
"""What differs between two hints of one kind."""

_EXAMPLE: Final = (
    "legacy_id",
    "source_file",
    "source_row",
    "field",
    "state",
    "last_digits",
    "vault_code",
    "hint",
)


def open_failures(look: Snapshot) -> list[dict[str, Any]]:
    """Give what is open by code: how many, by the vault's own code, by what else is known."""
    open_rows = _open_rows(look)
    return [
        {
            "code": code,
            "stage": FAILURE_CODES[code].stage.value,
            "rows": found.rows,
            "retryable": FAILURE_CODES[code].retryable,
            "meaning": FAILURE_CODES[code].meaning,
            "advice": FAILURE_CODES[code].advice,
            "vault_codes": dict(sorted(found.vault_codes.items())),
            "hints": dict(sorted(found.hints.items())),
            "examples": found.examples,
        }
        for code, found in sorted(open_rows.items())
    ]


@dataclass(slots=True)
class _OfOneCode:
    rows: int = 0
    vault_codes: Counter[str] = field(default_factory=Counter)
    hints: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)


def _open_rows(look: Snapshot) -> dict[str, _OfOneCode]:
    found: defaultdict[str, _OfOneCode] = defaultdict(_OfOneCode)
    shown: set[int] = set()
    for alike in look.open_failures():
        here = found[alike.code]
        if here.rows < EXAMPLES_A_CODE:
            shown.add(alike.section)
        here.rows += alike.rows
        if alike.vault_code:
            here.vault_codes[alike.vault_code] += alike.rows
        if alike.hint:
            here.hints[_NUMBERS.sub("…", alike.hint)] += alike.rows
    for section in sorted(shown):
        for block in look.failed_rows(ids_of(section)):
            _add_examples(found, block)
    return found


def _add_examples(found: Mapping[str, _OfOneCode], block: Sequence[tuple[Any, ...]]) -> None:
    for row in block:
        told = dict(zip(FAILED, row, strict=True))
        examples = found[told["code"]].examples
        if len(examples) < EXAMPLES_A_CODE:
            examples.append({name: told[name] for name in _EXAMPLE})
