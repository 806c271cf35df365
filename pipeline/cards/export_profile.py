"""Counts what a person wants to know of an export before a card of it is sent.

Chunks of rows in, counts out; no text of the export is kept but the names of columns.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.cards.damage import damages
from pipeline.cards.field_formats import YEARS_AHEAD_MAX
from pipeline.cards.name_letters import accented, script_of
from pipeline.cards.rows import ADDRESS_COLUMNS, CARRY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from pipeline.cards.rows import Chunk
    from pipeline.cards.validator import Validated

NETWORK_ID: Final = "profile:network_transaction_id"
"""The column that a profile asks the reader for, where a header has one of that kind."""

_NETWORK_NAMES: Final = frozenset(
    (
        *("networktransactionid", "schemetransactionid", "originaltransactionid", "ntid", "tlid"),
        *("networktransactionreference", "networktxid", "originalnetworktransactionid"),
        *("networktransactionidentifier", "schemetransactionidentifier", "transactionlinkid"),
    )
)
_COLUMN_NAME_MAX: Final = 80
_SOON_MONTHS: Final = 3
_MONTHS_A_YEAR: Final = 12
_IDS: Final = frozenset(("legacy_id", "customer", "customer_id"))
_LOOKED_AT: Final = ("legacy_id", "name", "customer", "customer_id", *ADDRESS_COLUMNS)
# What a text in another encoding shows where letters should be: Latin-1's signs.
_WRONG_SIGNS: Final = re.compile(
    "[\u0080-\u00a9\u00ab-\u00b6\u00b8\u00b9\u00bb-\u00bf\u00d7\u00f7\ufffd]"
)
_OF_WRONG_ENCODING: Final = "has signs that no name has; look at `export.encoding`"


def is_network_id(name: str) -> bool:
    """Tell whether a column is called like the ids that card networks give to transactions."""
    last = re.split(r"[.\[\]/]+", name.strip("[]"))[-1]
    return re.sub("[^a-z]", "", last.casefold()) in _NETWORK_NAMES


class ExportProfile:
    """What is in exports, counted while they are judged; one for all exports of a command."""

    def __init__(self) -> None:
        self.expiring_soon = 0
        self.expiring_far_ahead = 0
        self.scripts: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.suspicious: Counter[tuple[str, str]] = Counter()
        self.lookalikes: Counter[str] = Counter()
        self.unmapped: dict[str, None] = {}
        self._cards: Counter[str] = Counter()
        self._without_network_id: Counter[str] = Counter()
        self._has_network_ids = False

    def see_header(self, names: Sequence[str], mapped: Collection[str]) -> dict[str, int]:
        """Note the columns that nothing is mapped to, and ask for those worth a look.

        Args:
            names: The header's names; none of them holds a card number.
            mapped: Those that the settings map or carry.

        Returns:
            Columns to be read beside the mapped ones, and their places, counted from 0.
        """
        rest = [name for name in names if name not in mapped]
        self.unmapped |= dict.fromkeys(map(_shown, filter(None, rest)))
        place = next((at for at, name in enumerate(names) if is_network_id(name)), None)
        return {} if place is None else {NETWORK_ID: place}

    def add(self, chunk: Chunk, validated: Validated, as_of: date) -> None:
        """Count a chunk of rows and what was judged of it."""
        columns = validated.cards.columns
        years, in_year = (
            np.asarray(columns[name], dtype=np.int32)
            for name in ("expiration_year", "expiration_month")
        )
        left = years * _MONTHS_A_YEAR + in_year - (as_of.year * _MONTHS_A_YEAR + as_of.month)
        self.expiring_soon += int(((left >= 0) & (left < _SOON_MONTHS)).sum())
        self.expiring_far_ahead += int((left > YEARS_AHEAD_MAX * _MONTHS_A_YEAR).sum())
        self.lookalikes.update(validated.lookalikes)
        names = chunk.columns["name"]
        beyond_ascii = _beyond_ascii(names)
        self.scripts.update(_scripts_of(names, beyond_ascii))
        self.letters.update(accented(beyond_ascii))
        for column in _LOOKED_AT:
            if column in chunk.columns and column not in validated.plain:
                found = damages(chunk.columns[column], ids=column in _IDS)
                self.suspicious.update((column, phrase) for phrase in found.values())
        wrong = sum(map(bool, map(_WRONG_SIGNS.search, beyond_ascii)))
        if wrong:
            self.suspicious["name", _OF_WRONG_ENCODING] += wrong
        self._add_network_ids(chunk)

    def _add_network_ids(self, chunk: Chunk) -> None:
        columns = [
            name
            for name in chunk.columns
            if name == NETWORK_ID
            or (name.startswith(CARRY_PREFIX) and is_network_id(name.removeprefix(CARRY_PREFIX)))
        ]
        if not columns:
            return
        self._has_network_ids = True
        brands = chunk.numbers.brands().tolist()
        texts = chunk.columns[columns[0]]
        self._cards.update(filter(None, brands))
        self._without_network_id.update(
            brand for brand, text in zip(brands, texts, strict=True) if brand and not text
        )

    def figures(self) -> dict[str, Any]:
        """Give the counts as a tree for `check --json`.

        `network_transaction_ids` is None where no export has a column of that kind.
        """
        network = {
            brand: {"cards": count, "missing": self._without_network_id[brand]}
            for brand, count in sorted(self._cards.items())
        }
        return {
            "expiring_within_3_months": self.expiring_soon,
            "expiring_far_ahead": self.expiring_far_ahead,
            "name_scripts": dict(self.scripts.most_common()),
            "name_letters": dict(self.letters.most_common()),
            "suspicious_values": [
                {"field": field, "what": what, "rows": rows}
                for (field, what), rows in self.suspicious.most_common()
            ],
            "lookalike_ids": {
                name.removeprefix(CARRY_PREFIX): n for name, n in sorted(self.lookalikes.items())
            },
            "unmapped_columns": list(self.unmapped),
            "network_transaction_ids": network if self._has_network_ids else None,
        }


def _shown(name: str) -> str:
    """Give a column's name as it may stand on a terminal."""
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
    return text if len(text) <= _COLUMN_NAME_MAX else text[: _COLUMN_NAME_MAX - 1] + "…"


def _beyond_ascii(texts: Sequence[str]) -> list[str]:
    if "".join(texts).isascii():
        return []
    return [text for text in texts if not text.isascii()]


def _scripts_of(names: Sequence[str], others: Sequence[str]) -> Counter[str]:
    """Count names, `others` beyond ASCII, by their scripts, such as `Latin` or `Latin, Thai`."""
    counted: Counter[str] = Counter()
    plain = len(names) - len(others) - names.count("")
    if plain:
        counted["Latin"] = plain
    known = {sign: script_of(sign) for sign in set("".join(others))}
    for name in others:
        scripts = sorted({known[sign] for sign in name} - {""})
        counted[", ".join(scripts) or "no letters"] += 1
    return counted
