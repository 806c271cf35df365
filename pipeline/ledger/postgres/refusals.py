"""Says why no connection to PostgreSQL came about, and what to do: refused for good, or not there now.

A refusal before there is a session has no SQLSTATE, only the driver's text, which names user, host
and database: it is looked at and not repeated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.errors import SettingsRefused
from pipeline.ledger.outages import ServerAway

if TYPE_CHECKING:
    from pipeline.errors import CardferryError

_RUN_AGAIN: Final = "then run the same command again; nothing is lost."
_QUOTED: Final = re.compile("""["'][^"']*["']""")
"""Names of hosts, users and databases, which may hold any word."""


class _Reading(NamedTuple):
    """Words of the driver, all of which stand in its text, and what they mean."""

    words: tuple[str, ...]
    meaning: str
    next_step: str


_FOR_NOW: Final = (
    _Reading(
        ("too many",),
        "has no connection left",
        f"End programs that keep connections open, or raise its max_connections, {_RUN_AGAIN}",
    ),
    _Reading(
        ("remaining connection",),
        "has no connection left",
        f"End programs that keep connections open, or raise its max_connections, {_RUN_AGAIN}",
    ),
    *(
        _Reading((word,), "is starting or stopping", f"Wait until it is up, {_RUN_AGAIN}")
        for word in ("starting up", "shutting down", "recovery", "not yet accepting")
    ),
    *(
        _Reading(
            (words,),
            "has a name that cannot be looked up",
            f"Check the host in the URL and this machine's name service, {_RUN_AGAIN}",
        )
        for words in ("could not translate", "failed to resolve")
    ),
    _Reading(
        ("timeout",),
        "does not answer in time",
        f"See whether it is up and no firewall is in the way, {_RUN_AGAIN}",
    ),
)
_FOR_GOOD: Final = (
    _Reading(
        ("password authentication failed",),
        "does not take this password",
        "Put the right one into the URL; signs such as @ / : % are written %40 %2F %3A %25 there.",
    ),
    _Reading(
        ("no password supplied",),
        "asks for a password, and the URL has none",
        "Put it into the URL, which stands in a variable or a private file.",
    ),
    _Reading(
        ("database", "does not exist"),
        "has no database of this name",
        "Correct the URL, or have the database made; Cardferry makes only a schema in it.",
    ),
    _Reading(("role", "does not exist"), "knows no such user", "Correct the user in the URL."),
    _Reading(
        ("pg_hba",),
        "lets this user in neither from this machine nor in this way",
        "Have a line for it put into the server's pg_hba.conf; one with hostssl asks for TLS.",
    ),
    _Reading(
        ("root certificate",),
        "cannot be asked who it is: no certificate to trust is here",
        "Name the file of its authority's certificate in the URL: sslrootcert=/path/ca.pem.",
    ),
    _Reading(
        ("does not match host name",),
        "has a certificate for another name",
        "Name the host in the URL as its certificate does; hostaddr= may say where it is.",
    ),
    _Reading(
        ("certificate",),
        "has a certificate that is not to be trusted",
        "Name the file of its authority's certificate in the URL: sslrootcert=/path/ca.pem.",
    ),
    _Reading(
        ("does not support ssl",),
        "offers no TLS",
        "Have it set up there (ssl=on); beyond this machine nothing is sent in the clear.",
    ),
    _Reading(
        ("read-only",),
        "is a copy that only follows another one",
        "Name the server that is written to, or several: host=a,b.",
    ),
    *(
        _Reading(
            (word,),
            "does not let this user in",
            "Check user, password and database in the URL, and for TLS sslrootcert.",
        )
        for word in ("fatal:", "authentication", "ssl", "tls", "gss", "scram", "invalid")
    ),
)


def why_not_connected(text: str) -> CardferryError:
    """Give our own error for what the driver says of a connection that did not come about."""
    said = _QUOTED.sub("", text.lower())
    for known, gives in ((_FOR_NOW, _passing), (_FOR_GOOD, _refused)):
        for reading in known:
            if all(word in said for word in reading.words):
                return gives(reading.meaning, reading.next_step)
    return _passing("does not answer", f"See whether it is up at that address, {_RUN_AGAIN}")


def _passing(meaning: str, next_step: str) -> ServerAway:
    return ServerAway(f"the ledger's PostgreSQL server {meaning}", next_step=next_step)


def _refused(meaning: str, next_step: str) -> SettingsRefused:
    return SettingsRefused([f"ledger.url: the PostgreSQL server {meaning}"], next_step=next_step)
