"""Reads from the trail which exports were refused or given up, and did not come since."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import or_, select

from pipeline.ledger.schema import events

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

OPENED: Final = "export_opened"
"""The event with which an export is entered, before a row of it is."""
PROVED: Final = "export_proved"
"""The event with which every row of an export is planned."""
KNOWN: Final = "export_known"
"""The event of an export that came again once its rows were planned."""
REFUSED: Final = "export_refused"
"""The event of an export that was refused; nothing of it is kept, unless it was planned before."""
GIVEN_UP: Final = "export_given_up"
"""The event of an export that an operator gave up: its rows wait no longer, or it stays refused."""
NOTHING_AGAINST_IT: Final = "not the export"
"""The `reason` of such an event where our key, settings or reading are to blame."""


class RefusedExport(NamedTuple):
    """An export that was refused and not taken since.

    Attributes:
        name: The file's name.
        sha256: Of its sealed bytes; None where they could not be read.
        at: When it was refused last.
        why: In words of ours.
        is_planned: Whether its rows stand in the ledger, and wait: too many of them failed.
    """

    name: str
    sha256: str | None
    at: str
    why: str
    is_planned: bool


class GivenUpExport(NamedTuple):
    """An export that an operator gave up, and that did not come since.

    Attributes:
        name: The file's name.
        sha256: Of its sealed bytes; None where they could not be read.
        at: When it was given up.
        by: Who did it.
        reason: In the operator's words.
        rows: How many of its rows were set aside.
        held: How many are held since, as a token of each may exist unseen.
        unattached: How many tokens' cards count as failed since: they may be on customers, or not.
    """

    name: str
    sha256: str | None
    at: str
    by: str
    reason: str
    rows: int
    held: int
    unattached: int


def points_digest(reading_points: str | None) -> str | None:
    """Digest the places at which a reading of an export may begin, as the trail tells of them."""
    return None if reading_points is None else hashlib.sha256(reading_points.encode()).hexdigest()


def given_up_exports(connection: Connection, length: int | None = None) -> list[GivenUpExport]:
    """Give each export that was given up and did not come since, in the order of the decisions.

    Args:
        connection: In a transaction.
        length: How many events are spoken of; None for all.
    """
    found: dict[str, GivenUpExport] = {}
    for event in told_of_exports(connection, (GIVEN_UP, PROVED, KNOWN), length):
        which = _which(event)
        found.pop(which, None)
        if event["event"] == GIVEN_UP:
            detail = event["detail"]
            told = (detail["reason"], detail["rows"], detail["held"], detail["unattached"])
            who = (event["resource"], detail["sha256"], event["at"], event["actor"])
            found[which] = GivenUpExport(*who, *told)
    return list(found.values())


def refused_exports(connection: Connection, length: int | None = None) -> list[RefusedExport]:
    """Give each export that was refused and not taken since, in the order of their refusals.

    Args:
        connection: In a transaction.
        length: How many events are spoken of; None for all.
    """
    refused: dict[str, RefusedExport] = {}
    planned: set[str] = set()
    for event in told_of_exports(connection, (REFUSED, PROVED, KNOWN, GIVEN_UP), length):
        which, kind, detail = _which(event), event["event"], event["detail"]
        refused.pop(which, None)
        if kind in {PROVED, KNOWN}:
            planned.add(which)
        elif kind == REFUSED and detail["reason"] != NOTHING_AGAINST_IT:
            who = (event["resource"], detail["sha256"], event["at"])
            refused[which] = RefusedExport(*who, detail["why"], which in planned)
    return list(refused.values())


def _which(event: Mapping[str, Any]) -> str:
    """Tell one export from another; of a file that could not be read no more is known than its name."""
    return event["detail"]["sha256"] or f"called {event['resource']}"


def told_of_exports(
    connection: Connection, kinds: tuple[str, ...], length: int | None = None
) -> Iterator[dict[str, Any]]:
    """Give the events of these kinds among the first `length`, or among all, in order."""
    of_interest = [events.c.body.contains(f'"event":"{kind}"', autoescape=True) for kind in kinds]
    asked = select(events.c.body).where(or_(*of_interest)).order_by(events.c.seq)
    if length is not None:
        asked = asked.where(events.c.seq <= length)
    for body in connection.execute(asked).scalars():
        event: dict[str, Any] = orjson.loads(body)
        yield event
