"""Counts what is open by failure code, with the vault's own codes, what else is known, and examples."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.failure_codes import FAILURE_CODES
from pipeline.ledger.listings import FAILED

if TYPE_CHECKING:
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
    for block in look.failed_rows():
        columns = dict(zip(FAILED, zip(*block, strict=True), strict=True))
        # Counted by what few rows differ in: row by row a million failures take seconds.
        alike = Counter(zip(columns["code"], columns["vault_code"], columns["hint"], strict=True))
        for (code, vault_code, hint), rows in alike.items():
            here = found[code]
            here.rows += rows
            if vault_code:
                here.vault_codes[vault_code] += rows
            if hint:
                here.hints[_NUMBERS.sub("…", hint)] += rows
        if any(len(here.examples) < EXAMPLES_A_CODE for here in found.values()):
            _add_examples(found, columns)
    return found


def _add_examples(found: dict[str, _OfOneCode], columns: dict[str, tuple[Any, ...]]) -> None:
    shown = list(zip(*(columns[name] for name in _EXAMPLE), strict=True))
    for code, values in zip(columns["code"], shown, strict=True):
        examples = found[code].examples
        if len(examples) < EXAMPLES_A_CODE:
            examples.append(dict(zip(_EXAMPLE, values, strict=True)))
