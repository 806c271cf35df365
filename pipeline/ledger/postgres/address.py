"""Reads the URL of a ledger in PostgreSQL, and refuses one that could be listened to."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENCRYPTED: Final = "verify-full"
_SET_BY_US: Final[Mapping[str, str]] = {
    "client_encoding": "UTF8",
}
_UNLESS_SET: Final[Mapping[str, str]] = {
    "application_name": "cardferry",
    "connect_timeout": "10",
    # A server that is gone without a word is noticed within half a minute.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    # A copy that only follows may be behind what was committed.
    "target_session_attrs": "read-write",
}


def parameters_of(url: str) -> dict[str, str]:
    """Give what libpq is to be told, every decisive parameter in it, so that no other is looked up.

    Args:
        url: `postgresql://user:password@host:port/database?...`; several hosts may be named.

    Raises:
        SettingsRefused: It is no such URL, or the connection would not be private.
    """
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        raise _refused(
            "is no URL of PostgreSQL (postgresql://user:password@host/database)"
        ) from None
    if "service" in given:
        raise _refused("names a service; name host and database instead")
    places = [
        place for name in ("host", "hostaddr") for place in given.get(name, "").split(",") if place
    ]
    if not places:
        raise _refused("names no host (a socket is named by its folder: ?host=/run/postgresql)")
    if not all(map(_is_here, places)):
        if given.get("sslmode", _ENCRYPTED) != _ENCRYPTED:
            raise _refused("must have sslmode=verify-full, as its host is not this machine")
        given["sslmode"] = _ENCRYPTED
    return {**_UNLESS_SET, **given, **_SET_BY_US}


def _is_here(place: str) -> bool:
    """Tell whether a host, an address or a socket's folder is on this machine."""
    if place.startswith(("/", "@")) or place == "localhost":
        return True
    try:
        return ipaddress.ip_address(place).is_loopback
    except ValueError:
        return False


def _refused(problem: str) -> SettingsRefused:
    return SettingsRefused([f"ledger.url: {problem}"])
