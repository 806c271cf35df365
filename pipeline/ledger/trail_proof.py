"""Compares the runs and exports of the ledger with what its trail of events tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import or_, select

from pipeline.ledger.export_events import OPENED, PROVED, REFUSED, points_digest
from pipeline.ledger.key_values import SETTINGS_KEY, known
from pipeline.ledger.records import ExportState
from pipeline.ledger.schema import events, exports, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


_GONE: Final = ""
_PLANNED: Final = ExportState.PLANNED.value
_LEADS_TO: Final = {
    OPENED: ExportState.PROVING.value,
    PROVED: _PLANNED,
    REFUSED: _GONE,
}
"""Where an event takes its export."""


def last_run_died(connection: Connection) -> bool:
    """Tell whether the last run did not come to its end."""
    last = select(runs.c.ended_ms).order_by(runs.c.epoch.desc()).limit(1)
    found = connection.execute(last).first()
    return found is not None and found.ended_ms is None


class _Told(NamedTuple):
    """What the trail tells of runs, in their order, and of exports by digest.

    Of an export: its state, and the digest of the places at which a reading of it may begin.
    """

    begun: list[str]
    ended: set[str]
    settings: str | None
    exports: dict[str, tuple[str, str | None]]


def trail_contradiction(connection: Connection) -> str | None:
    """Give the first thing that a table and the trail tell differently, in words, or None."""
    told = _told(connection)
    written = connection.execute(select(runs.c.run_id, runs.c.ended_ms).order_by(runs.c.epoch))
    known_runs = written.all()
    if [run.run_id for run in known_runs] != told.begun:
        return "the runs are not those that the trail tells of"
    if {run.run_id for run in known_runs if run.ended_ms is not None} != told.ended:
        return "the runs did not end as the trail tells"
    if told.settings != known(connection, SETTINGS_KEY):
        return "the last run did not begin with the settings that are kept"
    columns = (exports.c.sha256, exports.c.state, exports.c.reading_points)
    found = connection.execute(select(*columns)).all()
    if {sha: (str(state), points_digest(at)) for sha, state, at in found} != told.exports:
        return "the exports are not those that the trail tells of"
    return None


def _told(connection: Connection) -> _Told:
    runs_begun: list[str] = []
    runs_ended: set[str] = set()
    settings, states = None, dict[str | None, tuple[str, str | None]]()
    for event in _events(connection):
        kind, detail = event["event"], event["detail"]
        if kind == "run_started":
            runs_begun.append(event["resource"])
            settings = detail.get("settings")
        elif kind == "run_ended":
            runs_ended.add(event["resource"])
        elif kind in _LEADS_TO and states.get(detail["sha256"], (_GONE,))[0] != _PLANNED:
            # Rows that were planned stay, though their export be refused when it comes again.
            states[detail["sha256"]] = _LEADS_TO[kind], detail.get("reading_points")
    is_there = {sha256: told for sha256, told in states.items() if sha256 and told[0] != _GONE}
    return _Told(runs_begun, runs_ended, settings, is_there)


def _events(connection: Connection) -> Iterator[dict[str, Any]]:
    of_interest = [
        events.c.body.contains(f'"event":"{kind}_', autoescape=True) for kind in ("run", "export")
    ]
    for body in connection.execute(
        select(events.c.body).where(or_(*of_interest)).order_by(events.c.seq)
    ).scalars():
        event: dict[str, Any] = orjson.loads(body)
        yield event
