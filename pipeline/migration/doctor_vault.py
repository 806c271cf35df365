"""Tries the vault and its API: reached, proved over TLS, clock alike, keys accepted in this mode.

Only harmless requests are sent: one for a token that nobody has, one for the account.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ssl import cert_time_to_seconds
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.config.policies import Mode
from pipeline.counts import counted
from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.migration import vault_factory
from pipeline.migration.doctor_findings import DoctorFinding, Health, failed, ok, warning
from pipeline.vault.probe import NoAnswer, NotReached, NotTrusted, address_of, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
from pipeline.vault.probe import Probe

PATIENCE_S: Final = 10.0
_API: Final = "API"
_ID: Final = re.compile(r"[a-z0-9_]{1,80}").fullmatch
_APART_MAX_S: Final = 60.0
_EXPIRES_SOON_DAYS: Final = 30
_DAY_S: Final = 86_400
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def vault_findings(
    settings: Settings, credentials: Credentials, clock: Clock
) -> Iterator[DoctorFinding]:
    """Try the vault with the public key and, where cards are attached, the API with the secret one.

    Args:
        settings: The settings in force.
        credentials: The secrets they name.
        clock: Compared with the vault's.
    """
    # A token that nobody has: asking for it needs the key and finds nothing.
    nobody = f"/tokens/tokn_{'' if settings.vault.mode is Mode.LIVE else 'test_'}0"
    yield from _host("vault", settings, clock, nobody, ("vault.public_key", credentials.public_key))
    if settings.attach is not None and credentials.secret_key is not None:
        at_api = settings.model_copy(
            update={"vault": settings.vault.model_copy(update={"url": settings.attach.url})}
        )
        key = ("attach.secret_key", credentials.secret_key)
        yield from _host(_API, at_api, clock, "/account", key)


def _host(
    name: str, settings: Settings, clock: Clock, path: str, key: tuple[str, SecretStr]
) -> Iterator[DoctorFinding]:
    """Try one host: reach it, look at its certificate and clock, and at what it makes of a key."""
    url = settings.vault.url
    try:
        found = asyncio.run(_ask(settings, path, key[1]))
    except NotTrusted as refused:
        yield failed(
            name,
            SettingsRefused(
                [f"{address_of(url)}: {refused}"],
                next_step="Correct `vault.url` or `vault.ca_file`, or have the certificate mended.",
            ),
        )
    except (NotReached, NoAnswer) as failure:
        why = str(failure) or "a connection was made and no answer came"
        yield failed(
            name,
            LocalStorageFailed(
                f"{address_of(url)} cannot be reached: {why}",
                next_step="Check the URL, the network and the firewall.",
            ),
        )
    else:
        yield ok(name, f"{found.address} answers{_over(found)}")
        yield from _certificate(name, found, clock)
        yield _clock(name, found, clock)
        accepted = _key(key[0], found, settings)
        yield accepted
        if name == _API and accepted.health is Health.OK:
            yield _account(found)


async def _ask(settings: Settings, path: str, key: SecretStr) -> Probe:
    async with vault_factory.transport(settings, patience_s=PATIENCE_S) as line:
        return await probe(line, settings.vault.url, path=path.encode(), key=key)


def _over(found: Probe) -> str:
    return f" over {found.peer.tls_version}, {found.peer.cipher}" if found.peer else ""


def _certificate(name: str, found: Probe, clock: Clock) -> Iterator[DoctorFinding]:
    if found.peer is None or not found.peer.not_after:
        return
    left_s = cert_time_to_seconds(found.peer.not_after) - clock.now().timestamp()
    days = int(left_s // _DAY_S)
    if days < _EXPIRES_SOON_DAYS:
        yield warning(
            f"{name} certificate",
            f"ends in {counted(days, 'day')}",
            "Ask the vault when it is renewed.",
        )
    else:
        yield ok(f"{name} certificate", f"valid for {counted(days, 'day')} more")


def _clock(name: str, found: Probe, clock: Clock) -> DoctorFinding:
    check = f"clock against the {name}'s"
    theirs: datetime | None = None
    with suppress(ValueError, TypeError):
        theirs = parsedate_to_datetime(found.date or "").astimezone(UTC)
    if theirs is None:
        return warning(check, "no readable Date in its answer", "Compare the clocks yourself.")
    apart_s = abs((clock.now() - theirs).total_seconds())
    if apart_s > _APART_MAX_S:
        return failed(
            check,
            LocalStorageFailed(
                f"{counted(round(apart_s), 'second')} apart; days of expiry and the trail would be wrong",
                next_step="Set this machine's clock (NTP).",
            ),
        )
    return ok(check, "less than a minute apart")


def _key(place: str, found: Probe, settings: Settings) -> DoctorFinding:
    """Judge what the host made of the key."""
    if found.status in _REFUSED:
        return failed(
            place,
            SettingsRefused(
                [f"is refused by {found.address} ({found.status})"],
                next_step="Take the key that the vault's dashboard shows for this account and mode.",
            ),
        )
    if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR or found.status in (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    ):
        return warning(place, f"could not be tried ({found.status})", "Try again later.")
    livemode = _livemode(found.body)
    if livemode is not None and livemode != (settings.vault.mode is Mode.LIVE):
        words = "live" if livemode else "test"
        return failed(
            place,
            SettingsRefused(
                [f"opens the {words} world, but vault.mode is {settings.vault.mode}"],
                next_step="Correct `vault.mode` or the key.",
            ),
        )
    return DoctorFinding(place, Health.OK, "is accepted")


def _account(found: Probe) -> DoctorFinding:
    """Name the account that the secret key opens.

    No harmless request shows the public key's account, so what is not known is said: a run finds it
    out with its first card, and stops there if the accounts are two.
    """
    told = _object(found.body).get("id")
    if not isinstance(told, str) or _ID(told) is None:
        return warning(
            "account",
            "the API's answer names none",
            "Compare both keys with the vault's dashboard yourself.",
        )
    words = f"attach.secret_key opens {told}; a run's first card shows whether both keys do"
    return ok("account", words)


def _livemode(body: bytes) -> bool | None:
    """Give which world an answer is of; None where it does not say."""
    found = _object(body).get("livemode")
    return found if isinstance(found, bool) else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
