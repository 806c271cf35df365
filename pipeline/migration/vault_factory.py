"""Builds what speaks with the vault from settings and secrets; a run with nothing to send loads none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config.policies import Mode
from pipeline.errors import SettingsRefused
from pipeline.vault.flow.flow_control import ConcurrencyLimit
from pipeline.vault.flow.send_rate import AdaptiveRate
from pipeline.vault.omise.tokens import VaultClient
from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.tls import verifying_context
from pipeline.vault.transport.transport import VaultTransport

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.vault.omise.customers import CustomerClient


def transport(
    settings: Settings, patience_s: float | None = None, url: str | None = None
) -> VaultTransport:
    """Give the line to the vault, not connected yet.

    Args:
        settings: The settings in force.
        patience_s: Wait no longer than this for anything; default: as the settings say.
        url: The API host's address; default: the vault's.

    Raises:
        SettingsRefused: `vault.ca_file` holds no usable certificates.
    """
    vault = settings.vault
    url = url or vault.url
    secure = url.startswith("https://")
    try:
        tls = verifying_context(vault.ca_file) if secure else None
    except (OSError, ValueError):
        raise SettingsRefused(["vault.ca_file: holds no usable certificates"]) from None
    longest_s = vault.total_timeout_s if patience_s is None else patience_s
    return VaultTransport(
        url,
        tls=tls,
        connections_max=settings.flow.in_flight_max,
        timeouts=Timeouts(
            connect=min(vault.connect_timeout_s, longest_s),
            read=min(vault.read_timeout_s, longest_s),
            total=min(vault.total_timeout_s, 2 * longest_s),
        ),
    )


def client(
    settings: Settings, credentials: Credentials, line: VaultTransport, clock: Clock
) -> VaultClient:
    """Give the vault's client over a line."""
    return VaultClient(
        line,
        url=settings.vault.url,
        public_key=credentials.public_key.get_secret_value(),
        api_version=settings.vault.api_version,
        livemode=settings.vault.mode is Mode.LIVE,
        clock=clock,
    )


def customer_client(
    settings: Settings, credentials: Credentials, line: VaultTransport, clock: Clock
) -> CustomerClient:
    """Give the API host's client over a line.

    Raises:
        ValueError: The settings name no API host.
    """
    if settings.attach is None or credentials.secret_key is None:
        raise ValueError("the settings name no API host")
    from pipeline.vault.omise.customers import CustomerClient  # noqa: PLC0415 - others have none.

    return CustomerClient(
        line,
        url=settings.attach.url,
        secret_key=credentials.secret_key.get_secret_value(),
        api_version=settings.vault.api_version,
        livemode=settings.vault.mode is Mode.LIVE,
        clock=clock,
    )


def slots(settings: Settings) -> ConcurrencyLimit:
    """Give the slots, which both hosts share."""
    return ConcurrencyLimit(settings.flow.in_flight_max)


def adaptive_rate(rate_per_s: float, last_good: str | None) -> AdaptiveRate:
    """Give what spaces the requests to one host, at the rate where the last run ended."""
    start = float(last_good) if last_good and last_good != "None" else None
    return AdaptiveRate(rate_per_s, start_per_s=start)
