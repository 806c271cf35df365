"""Counts what the rows and the answers of each section come to, for whoever adds them up."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, delete, func, select

from pipeline.errors import VerificationFailed
from pipeline.hashing import hash_total, shown
from pipeline.ledger.failure_counts import count_failures, met_by_ids
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
    digest_of_figures,
    digest_sections,
    numbers,
    sections,
    stretches,
)
from pipeline.ledger.store import store_of
from pipeline.ledger.versions import VERSIONED, Packing, renew_versions
from pipeline.model import OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Digested

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

_IS_ON: Final = and_(
    attachments.c.state.in_([AttachState.ATTACHED, AttachState.REUSED]),
    attachments.c.deleted_ms.is_(None),
)
_ROWS: Final = (
    select(
        rows.c.id,
        rows.c.legacy_id,
        rows.c.state,
        rows.c.superseded_by,
        func.coalesce(case((_IS_ON, 1)), 0),
        tokens.c.brand,
        tokens.c.country,
        rows.c.expiration_year,
        tokens.c.fingerprint,
        tokens.c.row_id,
        attachments.c.customer,
    )
    .outerjoin(tokens, tokens.c.row_id == rows.c.id)
    .outerjoin(attachments, attachments.c.row_id == rows.c.id)
    .order_by(rows.c.id)
)
_ANSWERS: Final = select(
    outcomes.c.attempt_id, outcomes.c.at_ms, outcomes.c.kind, outcomes.c.latency_us
).order_by(outcomes.c.attempt_id)


def count_rows(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Add up sections of rows: hash totals by ending, mix of tokens, fingerprints, customers.

    Args:
        connection: A reading connection.
        wanted: The sections, in order; default: every row that there is.
    """
    for number, found in asked_by_section(connection, _ROWS, rows.c.id, wanted):
        yield _counted_rows(number, found)


def count_answers(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Pack sections of outcomes: seconds, kinds and latencies, a column after the other."""
    import numpy as np  # noqa: PLC0415 - a look at a ledger does without.

    for number, found in asked_by_section(connection, _ANSWERS, outcomes.c.attempt_id, wanted):
        _, moments, words, times = zip(*found, strict=True)
        packed = (
            (np.array(moments, np.int64) // 1000).astype("<u4").tobytes()
            + bytes([_PLACES[word] for word in words])
            + np.array(times, np.int64).clip(0, LONGEST_US).astype("<u4").tobytes()
        )
        yield counted_as(number, len(found), {}, packed)


COUNTED: Final = {
    ROW_FIGURES: (rows, count_rows),
    ROW_COUNTS: (rows, count_sections),
    FAILURE_COUNTS: (rows, count_failures),
    ANSWER_FIGURES: (outcomes, count_answers),
    LASTING_ROWS: (rows, lasting_of_rows),
    LASTING_CUSTOMERS: (customers, lasting_of_customers),
    LASTING_ATTEMPTS: (attempts, lasting_of_attempts),
}
"""What is counted, of which table's sections, and by what."""


def to_count(connection: Connection, kind: str, known: Collection[int]) -> list[int]:
    """Give the sections to be counted, in order: those of which nothing is kept, or nothing right.

    Args:
        connection: A reading connection.
        kind: What is counted.
        known: The sections of which it is kept.
    """
    table, _ = COUNTED[kind]
    missing = [number for number in numbers(connection, table) if number not in known]
    if kind != FAILURE_COUNTS or not known or not missing:
        return missing
    return sorted({*missing, *met_by_ids(connection, missing)})


def renew_sections(connection: Connection, epoch: int, *, kept: bool | None) -> None:
    """Work out what is to be kept of each section, in the caller's transaction.

    Args:
        connection: In a transaction.
        epoch: The run's, with which versions come (`versions`).
        kept: What is kept is right; else all is worked out, and what differs is written anew. None
            where nothing but versions is kept.
    """
    if kept is None:
        renew_versions(connection, epoch)
        return
    for table in SECTIONED:
        known = _kept_of(connection, table.name) if kept else set()
        missing = [n for n in numbers(connection, table) if n not in known] if kept else None
        packing = Packing(connection, table) if table in VERSIONED else None
        shown = None if packing is None else packing.show
        found = list(digest_sections(connection, table, missing, shown=shown))
        _keep(connection, table.name, found, missing)
        if packing is not None:
            packing.keep(epoch)
    for kind, (_, count) in COUNTED.items():
        again = to_count(connection, kind, _kept_of(connection, kind)) if kept else None
        _keep(connection, kind, list(count(connection, again)), again)


def _kept_of(connection: Connection, kind: str) -> set[int]:
    return set(connection.execute(select(sections.c.number).where(sections.c.of == kind)).scalars())


def _keep(
    connection: Connection,
    kind: str,
    found: Sequence[Digested | Counted],
    again: Sequence[int] | None,
) -> None:
    """Keep what was worked out: of the sections that were asked for, or of all in place of all."""
    here = sections.c.of == kind
    names = found[0]._fields if found else ("number",)
    if again is None:
        order = select(*(sections.c[name] for name in names)).where(here).order_by("number")
        if [tuple(one) for one in connection.execute(order)] == found:
            return
        connection.execute(delete(sections).where(here))
    for first, last in stretches(again or ()):
        connection.execute(delete(sections).where(here, sections.c.number.between(first, last)))
    number, *others = names
    values = list(zip(*((one.number, kind, *one[1:]) for one in found), strict=True))
    store_of(connection).fill(connection, sections, (number, "of", *others), values)


def require_own_figures(connection: Connection) -> None:
    """Make sure that what is kept of sections is what was counted.

    Raises:
        VerificationFailed: It is damaged, and with it perhaps more of the file.
    """
    figures = select(sections.c.sha256, sections.c.figures, sections.c.packed)
    for sha256, told, packed in connection.execute(figures.where(sections.c.of.in_(COUNTED))):
        if (
            not isinstance(told, str)
            or not isinstance(packed, bytes)
            or sha256 != digest_of_figures(told, packed)
        ):
            raise VerificationFailed(
                "what the ledger keeps of its rows is damaged",
                next_step="Keep the folder as it is; restore the ledger from a backup.",
            )


def counted(connection: Connection, kind: str, *, kept: bool) -> Iterator[Counted]:
    """Give what a kind of section comes to, in no order; `kept`: read only what nothing is kept of."""
    _, count = COUNTED[kind]
    if not kept:
        yield from count(connection, None)
        return
    again = to_count(connection, kind, _kept_of(connection, kind))
    not_right = set(again)
    names = (sections.c[name] for name in Counted._fields)
    for found in connection.execute(select(*names).where(sections.c.of == kind)):
        if found.number not in not_right:
            yield Counted(*found)
    yield from count(connection, again)


def _counted_rows(number: int, found: Sequence[tuple[Any, ...]]) -> Counted:
    ids: defaultdict[str, list[str]] = defaultdict(list)
    mixes = [{name: Counter[Any]() for name in MIXED} for _ in range(2)]
    prints: list[list[bytes]] = [[], []]
    mapped = [0, 0]
    owners: set[int] = set()
    for _, legacy_id, state, newer, is_on, *mixed, fingerprint, token, customer in found:
        if customer is not None:
            owners.add(customer // SECTION_ROWS)
        in_force = state == RowState.TOKENIZED and newer is None
        ending = SUPERSEDED if newer is not None else state
        if in_force and is_on:
            ending = ON_CUSTOMER
        if legacy_id is not None:
            ids[ending].append(legacy_id)
        if in_force and token is not None:
            mapped[is_on] += 1
            for name, value in zip(MIXED, mixed, strict=True):
                mixes[is_on][name][value] += 1
            if fingerprint is not None:
                digest = hashlib.sha256(fingerprint.encode()).digest()
                prints[is_on].append(digest[:FINGERPRINT_BYTES])
    figures = {
        "sums": {ending: shown(hash_total(0, them)) for ending, them in ids.items()},
        "mapped": mapped,
        "fingerprints": [len(them) for them in prints],
        "mixes": [{name: list(one.items()) for name, one in mix.items()} for mix in mixes],
        "owners": sorted(owners),
    }
    packed = b"".join(prints[0]) + b"".join(prints[1])
    return counted_as(number, len(found), figures, packed)
