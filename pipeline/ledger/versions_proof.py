"""Asks for a reason wherever a settled row, card or customer is not what a publication left it as.

What waits may be settled by any later run. What was settled changes only where something was sent
since, for itself or for another one beside it (of its legacy id, or of its customer), or where an
operator had things planned again, so that it waits now; attempts, events and versions (`versions`)
stay as they were. So whoever changes something settled behind a run of their own has to write
attempts with their answers into that run, and the signed trail tells of those as of any others.
That nobody ever asked the vault for them no file of the folder can say: only the vault can
(`readback`), or whoever kept the head of the chain (`verify --expect-head`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import exists, or_, select

from pipeline.ledger.export_events import OPENED
from pipeline.ledger.schema import (
    attachments,
    attempts,
    customers,
    events,
    retired_tokens,
    rows,
    runs,
)
from pipeline.ledger.sections import SECTION_ROWS, asked_by_section, key_of, versions
from pipeline.ledger.versions import Kept, VersionEntry, kept_of, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select, Table

_NOW: Final = 1 << 62
"""Stands for the epoch of whatever runs come after the last publication."""
_AT_ONCE: Final = 500
"""So many values go into one statement."""
_PLANS_AGAIN: Final = {
    rows.name: ("planned_again",),
    attachments.name: ("attached_again",),
    customers.name: ("attached_again", OPENED),
}
"""The events after which settled things wait again; an export may name another customer."""
_FROZEN: Final = "row_frozen"
_CALLED: Final = {rows: "a row", attachments: "a card", customers: "a customer"}


class _Change(NamedTuple):
    """A settled thing that became another one: by which run, and which had published it before."""

    after: int
    upto: int
    id: int
    waits: int


class _Words(NamedTuple):
    """What the trail tells of changes that no request made: epochs, by event and by row."""

    plans_again: dict[str, set[int]]
    frozen: dict[int, set[int]]


class Compared(NamedTuple):
    """What is known of the sections of each table, by its name, once all rows were read.

    Attributes:
        there: The sections that there are.
        other: Those of which something else than one version, as they are now, is kept, in order.
    """

    there: Mapping[str, Iterable[int]]
    other: Mapping[str, Sequence[int]]


def unexplained_change(connection: Connection, compared: Compared | None = None) -> str | None:
    """Say what kind of settled thing changed since it was published, for no reason; None: none.

    Args:
        connection: A reading connection.
        compared: What is known where all rows were read before; default: they are read.
    """
    known = select(versions.c.epoch).distinct().order_by(versions.c.epoch)
    epochs = list(connection.execute(known).scalars())
    if not epochs:
        return None
    words = _words(connection)
    for table, called in _CALLED.items():
        windows: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for change in _changes(connection, table, epochs, compared):
            if change is None:
                return f"{called} that was published is not there"
            if not _is_told(change, table, words):
                windows[change.after, change.upto].append(change.id)
        for window, ids in windows.items():
            if not _are_explained(connection, table, ids, *window):
                return f"{called} was settled and published, and is another now for no reason"
    return None


def _changes(
    connection: Connection, table: Table, epochs: Sequence[int], compared: Compared | None
) -> Iterator[_Change | None]:
    """Give every change of a settled thing, of any time; None for one that is not there any more."""
    key = key_of(table)
    asked = select(versions.c.number).where(versions.c.of == table.name).distinct()
    unseen, wanted = set(connection.execute(asked).scalars()), None
    if compared is not None:
        wanted = [number for number in compared.other[table.name] if number in unseen]
        unseen.difference_update(set(compared.there[table.name]).difference(wanted))
    for number, found in asked_by_section(connection, select(table).order_by(key), key, wanted):
        if number in unseen:
            unseen.remove(number)
            kept = kept_of(connection, table, number)
            yield from _changes_of_section(number, kept, packed(table, found), epochs)
    if unseen:
        yield None


def _changes_of_section(
    number: int, kept: Sequence[Kept], now: bytes, epochs: Sequence[int]
) -> Iterator[_Change | None]:
    if [one.entries for one in kept] == [now]:
        return
    latest: dict[int, VersionEntry] = {}
    for one in (*kept, Kept(_NOW, now)):
        for entry in unpacked(one.entries):
            before = latest.get(entry.place)
            if before is not None and not before.waits and before.digest != entry.digest:
                after = epochs[bisect_left(epochs, one.epoch) - 1]
                yield _Change(after, one.epoch, number * SECTION_ROWS + entry.place, entry.waits)
            latest[entry.place] = entry
    gone = latest.keys() - {entry.place for entry in unpacked(now)}
    if any(not latest[place].waits for place in gone):
        yield None


def _words(connection: Connection) -> _Words:
    kinds = {kind for told in _PLANS_AGAIN.values() for kind in told} | {_FROZEN}
    is_told = or_(*(events.c.body.contains(f'"event":"{k}"', autoescape=True) for k in kinds))
    begun = connection.execute(select(runs.c.run_id, runs.c.epoch))
    epochs = {run.run_id: run.epoch for run in begun}
    words = _Words(defaultdict(set), defaultdict(set))
    for body in connection.execute(select(events.c.body).where(is_told)).scalars():
        event = orjson.loads(body)
        epoch = epochs.get(event["run_id"], 0)
        if event["event"] == _FROZEN:
            words.frozen[int(event["resource"])].add(epoch)
        elif event["detail"].get("rows") != 0:
            words.plans_again[event["event"]].add(epoch)
    return words


def _is_told(change: _Change, table: Table, words: _Words) -> bool:
    """Tell whether the trail tells of such a change: planned again, or frozen for another's answer."""
    told = set(words.frozen.get(change.id, ())) if table is rows else set()
    if change.waits:
        for kind in _PLANS_AGAIN[table.name]:
            told |= words.plans_again[kind]
    return any(change.after < epoch <= change.upto for epoch in told)


def _are_explained(
    connection: Connection, table: Table, ids: Sequence[int], after: int, upto: int
) -> bool:
    """Tell whether something was sent for each of these, or beside it, by the runs in between."""
    sent = attempts.c.epoch.between(after + 1, upto)
    explanations = _explanations(
        table, sent, retired_tokens.c.retired_epoch.between(after + 1, upto)
    )
    for start in range(0, len(ids), _AT_ONCE):
        left = set(ids[start : start + _AT_ONCE])
        for statement in explanations:
            if left:
                here = statement.where(statement.selected_columns[0].in_(left))
                left.difference_update(connection.execute(here).scalars())
        if any(not _has_moving_neighbour(connection, table, one, after) for one in left):
            return False
    return True


def _explanations(
    table: Table, sent: ColumnElement[bool], retired: ColumnElement[bool]
) -> Sequence[Select[Any]]:
    """Give statements that find ids for which something was sent, the cheapest first."""
    if table is customers:
        on = attachments.c.customer == customers.c.id
        its = select(attempts.c.id).join(attachments, attachments.c.row_id == attempts.c.row_id)
        return [select(customers.c.id).where(its.where(on, sent).correlate(customers).exists())]
    own = select(attempts.c.row_id).where(sent)
    other = table.alias("other")
    if table is attachments:
        key, is_beside = attachments.c.row_id, other.c.customer == attachments.c.customer
        beside = attempts.c.row_id == other.c.row_id
        return [own, select(key).where(exists().where(is_beside, beside, sent).correlate(table))]
    is_beside, beside = other.c.legacy_id == rows.c.legacy_id, attempts.c.row_id == other.c.id
    return [
        own,
        select(retired_tokens.c.row_id).where(retired),
        select(rows.c.id).where(exists().where(is_beside, beside, sent).correlate(rows)),
    ]


def _has_moving_neighbour(connection: Connection, table: Table, one: int, after: int) -> bool:
    """Tell whether a card or row of the same customer waited, or was not there, at a publication.

    Such a one may have been settled since without a request: a card that was found at the vault
    takes the default from its customer's others, and a row whose customer is gone has no card.
    """
    if table is rows:
        return False
    if table is attachments:
        mine = select(attachments.c.customer).where(attachments.c.row_id == one).scalar_subquery()
        beside = select(attachments.c.row_id).where(
            attachments.c.customer == mine, attachments.c.row_id != one
        )
        return any(_waited(connection, attachments, n, after) for n in _found(connection, beside))
    beside = select(rows.c.id).where(rows.c.customer == one)
    return any(_waited(connection, rows, n, after) for n in _found(connection, beside))


def _found(connection: Connection, statement: Select[Any]) -> Sequence[int]:
    return connection.execute(statement).scalars().all()


def _waited(connection: Connection, table: Table, one: int, after: int) -> bool:
    """Tell whether a thing waited, or was not there, at the last publication up to a run's."""
    number, place = divmod(one, SECTION_ROWS)
    last = None
    for kept in kept_of(connection, table, number):
        if kept.epoch <= after:
            last = next((e for e in unpacked(kept.entries) if e.place == place), last)
    return last is None or bool(last.waits)
