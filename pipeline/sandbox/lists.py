"""Reads list parameters, and makes the list object of a window."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline.sandbox.cards import whole_number
from pipeline.sandbox.records import Window
from pipeline.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from pipeline.sandbox.context import Params, Shown

_EPOCH: Final = "1970-01-01T00:00:00Z"
_LIMIT: Final = 20
_LIMIT_MAX: Final = 100
_OFFSET_MAX: Final = 2**62


def _count(params: Params, name: str, default: int, least: int) -> int:
    value = params.get(name)
    if value is None or value == "":
        return default
    number = whole_number(value)
    if number is None or number < least or number > _OFFSET_MAX:
        raise bad_request(f"{name} is not a valid number")
    return number


def _moment(params: Params, name: str, default: str) -> str:
    value = params.get(name)
    if value is None or value == "":
        return default
    try:
        moment = datetime.fromisoformat(str(value).strip().replace(" ", "+"))
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_request(f"{name} is not a valid date") from None
    # Not `strftime`, which writes a year before 1000 with fewer than four digits.
    return moment.replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def read_window(params: Params, now: str) -> Window:
    """Read `limit` (at most 100, more is cut to it), `offset`, `from`, `to` and `order`.

    Raises:
        Refusal: `bad_request` for a value that cannot be read.
    """
    order = params.get("order") or "chronological"
    if order not in ("chronological", "reverse_chronological"):
        raise bad_request("order is not included in the list")
    return Window(
        since=_moment(params, "from", _EPOCH),
        until=_moment(params, "to", now),
        newest_first=order == "reverse_chronological",
        limit=min(_count(params, "limit", _LIMIT, 1), _LIMIT_MAX),
        offset=_count(params, "offset", 0, 0),
    )


def list_object(shown: list[Shown], total: int, window: Window, location: str) -> Shown:
    """Give the list object around the wanted part."""
    return {
        "object": "list",
        "data": shown,
        "limit": window.limit,
        "offset": window.offset,
        "total": total,
        "location": location,
        "order": "reverse_chronological" if window.newest_first else "chronological",
        "from": window.since,
        "to": window.until,
    }


def empty_list(location: str, now: str) -> Shown:
    """Give the list object of something that the sandbox never has."""
    return list_object([], 0, read_window({}, now), location)
