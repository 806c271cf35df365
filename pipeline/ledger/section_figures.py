"""Counts what the rows and the answers of each section come to, for whoever adds them up."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select

from pipeline.hashing import hash_total, shown
from pipeline.ledger.failure_counts import count_failures, met_by_ids
from pipeline.ledger.held_sections import held_sections
from pipeline.ledger.lasting import lasting_of_attempts, lasting_of_customers, lasting_of_rows
from pipeline.ledger.records import AttachState
from pipeline.ledger.row_counts import count_sections
from pipeline.ledger.schema import attachments, attempts, customers, outcomes, rows, tokens
from pipeline.ledger.sections import (
    ANSWER_FIGURES,
    FAILURE_COUNTS,
    LASTING_ATTEMPTS,
    LASTING_CUSTOMERS,
    LASTING_ROWS,
    ROW_COUNTS,
    ROW_FIGURES,
    SECTION_ROWS,
    SECTIONED,
    Counted,
    asked_by_section,
    counted_as,
    key_of,
    numbers,
    sections,
    values_of,
)
from pipeline.ledger.store import store_of
from pipeline.model import OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from pipeline.ledger.sections import Counting, Found

MIXED: Final = ("brand", "country", "expiration_year")
"""What the tokens in force are counted by."""
SUPERSEDED: Final = "superseded"
"""The ending of a row whose card a newer one replaced."""
ON_CUSTOMER: Final = "tokenized, on a customer"
"""The ending of a row whose token is in force, and whose card is on a customer."""

KINDS: Final = tuple(kind.value for kind in OutcomeKind)
_PLACES: Final = {kind: place for place, kind in enumerate(KINDS)}
LONGEST_US: Final = 2**32 - 1
"""An hour and more; no attempt may take that long."""
FINGERPRINT_BYTES: Final = 16
"""Enough to tell fingerprints apart, and to keep a million of them small."""

_TOKENIZED: Final = RowState.TOKENIZED.value

_CARDS: Final = (rows, tokens, attachments)
_REQUESTS: Final = (attempts, outcomes)
_CUSTOMERS: Final = (customers,)
_ROW: Final = values_of(rows, "id", "legacy_id", "state", "superseded_by", "expiration_year")
_TOKEN: Final = values_of(tokens, "brand", "country", "fingerprint")
_ATTACHMENT: Final = values_of(attachments, "customer", "state", "deleted_ms")
_ANSWER: Final = values_of(outcomes, "at_ms", "kind", "latency_us")
_ON_CUSTOMER: Final = frozenset({AttachState.ATTACHED.value, AttachState.REUSED.value})


class ReadOnce(NamedTuple):
    """What is worked out of some tables' sections in one reading.

    Attributes:
        tables: They are cut by the same number.
        counting: Of each kind what begins to count, given the sections, in order.
    """

    tables: tuple[Table, ...]
    counting: Mapping[str, Callable[[Connection, Sequence[int]], Counting]]

    @property
    def kinds(self) -> tuple[str, ...]:
        """All that is worked out: what its tables digest to, and what is counted."""
        return (*(table.name for table in self.tables), *self.counting)


def count_rows(number: int, found: Found, held: Found, cards: Found) -> Counted:
    """Add up a section of rows: hash totals by ending, mix of tokens, fingerprints, customers.

    Args:
        number: The section's.
        found: Its rows.
        held: Their tokens in force.
        cards: Their attachments.
    """
    ids: defaultdict[str, list[str]] = defaultdict(list)
    mapped: tuple[list[tuple[Any, ...]], ...] = [], []
    prints: tuple[list[str], ...] = [], []
    token_of = {token[0]: _TOKEN(token) for token in held}
    on = {card[0] for card in cards if _is_on(card)} if cards else ()
    for row_id, legacy_id, state, newer, year in map(_ROW, found):
        is_on = row_id in on
        ending = state if newer is None else SUPERSEDED
        if newer is None and state == _TOKENIZED:
            token = token_of.get(row_id)
            if token is not None:
                brand, country, fingerprint = token
                mapped[is_on].append((brand, country, year))
                if fingerprint is not None:
                    prints[is_on].append(fingerprint)
            if is_on:
                ending = ON_CUSTOMER
        if legacy_id is not None:
            ids[ending].append(legacy_id)
    figures = {
        "sums": {ending: shown(hash_total(0, them)) for ending, them in ids.items()},
        "mapped": [len(them) for them in mapped],
        "fingerprints": [len(them) for them in prints],
        "mixes": [_mixed(them) for them in mapped],
        "owners": sorted({_ATTACHMENT(card)[0] // SECTION_ROWS for card in cards}),
    }
    return counted_as(number, len(found), figures, _shortened(chain(*prints)))


def _is_on(card: tuple[Any, ...]) -> bool:
    _, state, deleted_ms = _ATTACHMENT(card)
    return state in _ON_CUSTOMER and deleted_ms is None


def _mixed(mapped: Sequence[tuple[Any, ...]]) -> dict[str, list[tuple[Any, int]]]:
    columns = zip(*mapped, strict=True) if mapped else [()] * len(MIXED)
    return {
        name: list(Counter(values).items()) for name, values in zip(MIXED, columns, strict=True)
    }


def _shortened(fingerprints: Iterable[str]) -> bytes:
    sha256 = hashlib.sha256
    return b"".join([sha256(one.encode()).digest()[:FINGERPRINT_BYTES] for one in fingerprints])


def count_answers(number: int, _: Found, found: Found) -> Counted:
    """Pack a section of outcomes: seconds, kinds and latencies, a column after the other."""
    return _packed_answers(number, list(map(_ANSWER, found)))


def packed_answers(connection: Connection) -> Iterator[Counted]:
    """Give all sections of outcomes, packed; nothing else is read of them."""
    key = key_of(outcomes)
    asked = select(key, outcomes.c.at_ms, outcomes.c.kind, outcomes.c.latency_us).order_by(key)
    for number, found in asked_by_section(connection, asked, key, None):
        yield _packed_answers(number, [one[1:] for one in found])


def _packed_answers(number: int, found: Sequence[tuple[Any, ...]]) -> Counted:
    import numpy as np  # noqa: PLC0415 - a look at a ledger does without.

    moments, words, times = zip(*found, strict=True)
    packed = (
        (np.array(moments, np.int64) // 1000).astype("<u4").tobytes()
        + bytes(map(_PLACES.__getitem__, words))
        + np.array(times, np.int64).clip(0, LONGEST_US).astype("<u4").tobytes()
    )
    return counted_as(number, len(found), {}, packed)


def _alone(counting: Counting) -> Callable[[Connection, Sequence[int]], Counting]:
    """Give what counts a section by its rows alone, as what begins to count."""
    return lambda _connection, _wanted: counting


READ_ONCE: Final = (
    ReadOnce(_CARDS, {ROW_FIGURES: _alone(count_rows), LASTING_ROWS: lasting_of_rows}),
    ReadOnce(
        _REQUESTS,
        {ANSWER_FIGURES: _alone(count_answers), LASTING_ATTEMPTS: _alone(lasting_of_attempts)},
    ),
    ReadOnce(_CUSTOMERS, {LASTING_CUSTOMERS: _alone(lasting_of_customers)}),
)


def _counter(kind: str, table: Table) -> Callable[..., Iterator[Counted]]:
    """Give what counts sections of one kind, for a connection and those that are wanted, or all."""
    (together,) = (one for one in READ_ONCE if kind in one.counting)

    def count(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
        asked = numbers(connection, table) if wanted is None else list(wanted)
        counting = together.counting[kind](connection, asked)
        for number, held in held_sections(connection, together.tables, asked):
            yield counting(number, *held)

    return count


BY_ITSELF: Final = {ROW_COUNTS: (rows, count_sections), FAILURE_COUNTS: (rows, count_failures)}
"""What is asked of the database in questions of its own."""

COUNTED: Final = BY_ITSELF | {
    kind: (table, _counter(kind, table))
    for kind, table in (
        (ROW_FIGURES, rows),
        (ANSWER_FIGURES, outcomes),
        (LASTING_ROWS, rows),
        (LASTING_CUSTOMERS, customers),
        (LASTING_ATTEMPTS, attempts),
    )
}
"""What is counted, of which table's sections, and by what."""

TABLES: Final = {table.name: table for table in SECTIONED} | {
    kind: table for kind, (table, _) in COUNTED.items()
}
"""The table whose sections are digested or counted."""


def to_count(connection: Connection, kind: str, known: Collection[int]) -> list[int]:
    """Give the sections to be counted, in order: those of which nothing is kept, or nothing right.

    Args:
        connection: A reading connection.
        kind: What is counted.
        known: The sections of which it is kept.
    """
    there = numbers(connection, TABLES[kind])
    missing = [number for number in there if number not in known]
    if kind != FAILURE_COUNTS or not known or not missing:
        return missing
    return sorted({*missing, *met_by_ids(connection, missing)})


def kept_of(connection: Connection, kind: str) -> set[int]:
    """Give the sections of which something of a kind is kept."""
    asked = select(sections.c.number).where(sections.c.of == kind)
    return set(connection.execute(asked).scalars().all())


def counted_sections(connection: Connection, kind: str, *, kept: bool) -> Iterator[Counted]:
    """Give what a kind of section comes to, in no order; `kept`: read only what nothing is kept of."""
    _, count = COUNTED[kind]
    if not kept:
        yield from count(connection, None)
        return
    again = to_count(connection, kind, kept_of(connection, kind))
    not_right = set(again)
    names = (sections.c[name] for name in Counted._fields)
    for block in store_of(connection).selected(
        connection, select(*names).where(sections.c.of == kind)
    ):
        yield from (one for one in map(Counted._make, block) if one.number not in not_right)
    yield from count(connection, again)
