"""Counts what failed and is open, and what is resolved, by sections of rows, so that each night looks at few.

A failure is resolved by a later row of its legacy id, which may stand in any section. So what is
counted of a section holds as long as nobody wrote to it, nor to a row of an id that failed in it.
The second no rule of the database sees: of which sections nothing is kept is known, their rows tell
by their ids which others to count again, and nothing is kept before all of those were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, func, select

from pipeline.hashing import hash_total, shown
from pipeline.ledger.held_sections import Ahead
from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.row_conditions import HINT, has_failed_on_the_way, is_resolved
from pipeline.ledger.schema import HAS_FAILED, attachments, exports, rows
from pipeline.ledger.sections import (
    SECTION_ROWS,
    asked_by_section,
    counted_as,
    in_stretch,
    numbers,
    stretches,
)
from pipeline.model import FAILURE_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sections import Counted

_ITS_EXPORT: Final = exports.c.id == rows.c.id // ROW_SPAN
_RESOLVED: Final = "resolved"
_FAILED: Final = (
    select(
        rows.c.id,
        rows.c.legacy_id,
        case((is_resolved(), _RESOLVED)),
        rows.c.state,
        rows.c.code,
        rows.c.vault_code,
        HINT,
    )
    .join(exports, _ITS_EXPORT)
    .where(HAS_FAILED)
    .order_by(rows.c.id)
)
_ON_THE_WAY: Final = (
    select(rows.c.id, attachments.c.state, attachments.c.code, attachments.c.vault_code, HINT)
    .select_from(attachments)
    .join(rows, rows.c.id == attachments.c.row_id)
    .join(exports, _ITS_EXPORT)
    .where(has_failed_on_the_way())
    .order_by(rows.c.id)
)


def count_failures(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Count what failed of sections of rows: open by what it is, resolved by state with ids' sums.

    Args:
        connection: A reading connection.
        wanted: The sections, in order; default: every row that there is.
    """
    there = numbers(connection, rows) if wanted is None else list(wanted)
    if wanted is not None:
        wanted = there
    failed = Ahead(asked_by_section(connection, _FAILED, rows.c.id, wanted))
    on_the_way = Ahead(asked_by_section(connection, _ON_THE_WAY, rows.c.id, wanted))
    for number in there:
        here, cards = failed.of(number), on_the_way.of(number)
        yield counted_as(number, len(here) + len(cards), _figures(here, cards))


def _figures(failed: Sequence[tuple[Any, ...]], cards: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    alike = Counter(row[3:] for row in failed if row[2] is None)
    alike.update(row[1:] for row in cards)
    resolved: defaultdict[str, list[str]] = defaultdict(list)
    for row in failed:
        if row[2] is not None:
            resolved[row[3]].append(row[1])
    return {
        "open": [[*words, count] for words, count in alike.items()],
        "resolved": {
            state: [len(ids), shown(hash_total(0, ids))] for state, ids in sorted(resolved.items())
        },
    }


def met_by_ids(connection: Connection, written: Sequence[int]) -> set[int]:
    """Give the sections with a failure whose legacy id a later row of the written sections has.

    Args:
        connection: A reading connection.
        written: The numbers of sections of rows, in order.
    """
    newer, found = rows.alias("newer"), set[int]()
    for ends in stretches(written):
        # Each id once: a sender may give all rows one.
        last = (
            select(newer.c.legacy_id, func.max(newer.c.id).label("id"))
            .where(in_stretch(newer.c.id, *ends), newer.c.legacy_id.is_not(None))
            .group_by(newer.c.legacy_id)
            .subquery("last")
        )
        met = (
            select(rows.c.id // SECTION_ROWS)
            .distinct()
            .join(
                last,
                and_(
                    rows.c.legacy_id == last.c.legacy_id,
                    rows.c.id < last.c.id,
                    rows.c.state.in_(FAILURE_STATES),
                ),
            )
        )
        found.update(map(int, connection.execute(met).scalars()))
    return found
