"""Answers what sections add up to: totals, mixes and answers of all rows without reading them all."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import func, select

from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import ExportState
from pipeline.ledger.schema import exports, rows, tokens
from pipeline.ledger.section_figures import (
    FINGERPRINT_BYTES,
    MIXED,
    ON_CUSTOMER,
    counted_sections,
    packed_answers,
)
from pipeline.ledger.sections import ANSWER_FIGURES, ROW_FIGURES, SECTIONS_AN_EXPORT
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.ledger.sections import Counted
    from pipeline.ledger.shared_cards import SharedCards

_SPACE: Final = 1 << 256
UNATTACHED: Final = "unattached"
"""The ending of a row that has a token, where only cards on customers are in the mapping."""


class _Added(NamedTuple):
    """What all sections of rows come to."""

    sums: dict[str, int]
    mixes: dict[str, Counter[Any]]
    mapped: int
    customer_sections: dict[int, list[int]]


class SectionSums(QueryBase):
    """Questions whose answers sections add up to; each is answered once a look."""

    def ids_by_ending(self) -> dict[str, int]:
        """Give the hash totals of legacy ids by ending: a state, `superseded`, or `unattached`.

        Rows of an export that is still being proved, and rows without an id, are in none of them.
        """
        return self._added.sums

    def mix(self, column: str) -> dict[str, int]:
        """Count the mapping by `brand`, `country` or `expiration_year`; the counts add up to it."""
        found = self._added.mixes[column]
        known = {value: found[value] for value in sorted(found, key=lambda v: (v is None, v))}
        return {"unknown" if value is None else str(value): n for value, n in known.items()}

    def mapped_tokens(self) -> int:
        """Count the tokens of the mapping."""
        return self._added.mapped

    def shared_cards(self) -> SharedCards:
        """Count the different cards of the mapping, by the vault's own fingerprint."""
        if self._store.has_server:
            return self._shared_cards_by_server()
        # What only a report asks needs numpy; a look at a ledger does without.
        from pipeline.ledger.shared_cards import count_shared  # noqa: PLC0415

        return count_shared(self._prints)

    def customer_sections(self) -> dict[int, list[int]]:
        """Give of each section of rows the sections of the customers that its cards go to."""
        return self._added.customer_sections

    def answers(self) -> Iterator[Counted]:
        """Give every outcome, packed by sections (`section_figures.count_answers`)."""
        with self._store.trouble():
            if self._kept:
                yield from counted_sections(self._connection, ANSWER_FIGURES, kept=True)
            else:
                yield from packed_answers(self._connection)

    def _shared_cards_by_server(self) -> SharedCards:
        """Let the server sort fingerprints, on its own disk."""
        from pipeline.ledger.shared_cards import SharedCards  # noqa: PLC0415

        times = func.count().label("times")
        each = (
            select(times)
            .join_from(tokens, rows, rows.c.id == tokens.c.row_id)
            .where(
                rows.c.state == RowState.TOKENIZED,
                rows.c.superseded_by.is_(None),
                tokens.c.fingerprint.is_not(None),
                *self._in_mapping(),
            )
            .group_by(tokens.c.fingerprint)
            .subquery()
        )
        shared = func.sum(each.c.times).filter(each.c.times > 1)
        counted = self._first(
            select(func.sum(each.c.times), func.count(), shared, func.max(each.c.times))
        )
        return SharedCards(*(int(one or 0) for one in counted or ()))

    def _prints(self) -> Iterator[bytes]:
        """Give what tells the fingerprints of the mapping apart, some at a time, 16 bytes each."""
        on_customer = (True,) if self.is_attaching() else (False, True)
        with self._store.trouble():
            for one in counted_sections(self._connection, ROW_FIGURES, kept=self._kept):
                counts = orjson.loads(one.figures)["fingerprints"]
                for is_on in on_customer:
                    yield _prints(one.packed, counts, is_on=is_on)

    def _row_figures(self) -> Iterable[Counted]:
        """Give what sections of rows add up to; of each row nothing."""
        return counted_sections(self._connection, ROW_FIGURES, kept=self._kept)

    @cached_property
    def _added(self) -> _Added:
        attaching = self.is_attaching()
        proving = set(
            self._connection.execute(
                select(exports.c.id).where(exports.c.state == ExportState.PROVING)
            ).scalars()
        )
        sums: defaultdict[str, int] = defaultdict(int)
        mixes = {name: Counter[Any]() for name in MIXED}
        mapped, owners = 0, {}
        with self._store.trouble():
            for one in self._row_figures():
                figures = orjson.loads(one.figures)
                if figures["owners"]:
                    owners[one.number] = figures["owners"]
                if one.number // SECTIONS_AN_EXPORT not in proving:
                    for ending, total in figures["sums"].items():
                        sums[_named(ending, attaching=attaching)] += int(total, 16)
                for is_on in (True,) if attaching else (False, True):
                    mapped += figures["mapped"][is_on]
                    for name, pairs in figures["mixes"][is_on].items():
                        for value, count in pairs:
                            mixes[name][value] += count
        totals = {ending: total % _SPACE for ending, total in sums.items()}
        return _Added(totals, mixes, mapped, owners)


def _named(ending: str, *, attaching: bool) -> str:
    """Give the ending under which a report has it."""
    if ending == ON_CUSTOMER:
        return RowState.TOKENIZED.value
    return UNATTACHED if attaching and ending == RowState.TOKENIZED else ending


def _prints(packed: bytes, counts: list[int], *, is_on: bool) -> bytes:
    border = counts[0] * FINGERPRINT_BYTES
    return packed[border:] if is_on else packed[:border]
