"""Builds what speaks with the vault from settings and secrets; a run with nothing to send loads none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config.policies import Mode
from pipeline.errors import SettingsRefused
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_rate import AdaptiveRate
from pipeline.vault.omise.client import VaultClient
from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.tls import verifying_context
from pipeline.vault.transport.transport import VaultTransport

if TYPE_CHECKING:
    import asyncio
    from random import Random

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.metrics import Flow


def transport(settings: Settings, patience_s: float | None = None) -> VaultTransport:
    """Give the line to the vault, not connected yet.

    Args:
        settings: The settings in force.
        patience_s: Wait no longer than this for anything; default: as the settings say.
    """
    vault = settings.vault
    secure = vault.url.startswith("https://")
    try:
        tls = verifying_context(vault.ca_file) if secure else None
    except (OSError, ValueError):
        raise SettingsRefused(["vault.ca_file: holds no usable certificates"]) from None
    longest_s = vault.total_timeout_s if patience_s is None else patience_s
    return VaultTransport(
        vault.url,
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


def flow_control(
    settings: Settings,
    *,
    clock: Clock,
    random: Random,
    flow: Flow,
    stopping: asyncio.Event,
    last_good: str | None,
) -> FlowControl:
    """Give what decides when an attempt may be sent, at the rate where the last run ended."""
    start = float(last_good) if last_good and last_good != "None" else None
    rate = AdaptiveRate(settings.flow.rate_per_s, start_per_s=start)
    limit = ConcurrencyLimit(settings.flow.in_flight_max)
    return FlowControl(rate, limit, clock, random, flow, stopping)
