"""Builds the parts of a run from settings and secrets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.cards.customer_rules import CustomerRules
from pipeline.cards.detect import contains_pan
from pipeline.config.columns import ColumnSettings
from pipeline.config.models import ExportSettings
from pipeline.config.policies import Mode
from pipeline.config.presets import read_preset
from pipeline.errors import SettingsRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.keys import KeyPlace
from pipeline.exports.sealed_export import EnvelopeKeys, Limits
from pipeline.migration.customer_texts import CustomerTexts
from pipeline.migration.judging import Reading
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_rate import AdaptiveRate
from pipeline.vault.omise.client import VaultClient
from pipeline.vault.omise.customers import is_customer_id
from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.tls import verifying_context
from pipeline.vault.transport.transport import VaultTransport

if TYPE_CHECKING:
    import asyncio
    from random import Random

    from pipeline.clock import Clock
    from pipeline.config.attach import AttachSettings
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.config.presets import Preset
    from pipeline.metrics import Flow


def envelope_keys(settings: Settings, credentials: Credentials) -> EnvelopeKeys:
    """Give what opens exports."""
    places = tuple(KeyPlace(file=key.file, gpg=key.gpg) for key in settings.export.keys)
    return EnvelopeKeys(
        more=places,
        engine=settings.export.engine,
        passphrase=credentials.passphrase,
        signer_files=settings.export.signers,
        allow_plaintext=settings.export.allow_plaintext,
        key_may_be_shared=settings.vault.is_loopback,
    )


def envelope_limits(settings: Settings) -> Limits:
    """Give how much an export may unpack to."""
    return Limits(plain_bytes_max=settings.export.plain_bytes_max)


def reading(settings: Settings) -> Reading:
    """Give how exports are read and judged."""
    rules, attach = settings.rules, settings.attach
    livemode = settings.vault.mode is Mode.LIVE
    return Reading(
        options=reader_options(settings.export, settings.flow.chunk_rows),
        expired=rules.expired,
        brands=frozenset(rules.brands),
        livemode=livemode,
        loopback_vault=settings.vault.is_loopback,
        customers=None if attach is None else _customer_rules(attach, livemode=livemode),
        texts=None if attach is None else customer_texts(attach),
        own_customers=attach is not None and attach.without_customer == "own",
    )


def _customer_rules(attach: AttachSettings, *, livemode: bool) -> CustomerRules:
    return CustomerRules(
        is_required=attach.without_customer == "reject",
        is_existing=partial(is_customer_id, livemode=livemode),
    )


def customer_texts(attach: AttachSettings) -> CustomerTexts:
    """Give what new customers are made with.

    Raises:
        SettingsRefused: A template holds a card number.
    """
    if any(map(contains_pan, (*attach.templates, *attach.metadata))):
        raise SettingsRefused(["attach.metadata or attach.description: holds a card number"])
    return CustomerTexts(attach.metadata, attach.description, attach.email == "send")


def reader_options(export: ExportSettings, chunk_rows: int) -> ReaderOptions:
    """Give what the reader must know, with the preset's other columns for JSON beside it."""
    preset = read_preset(export.preset) if export.preset else None
    options = _options(export, chunk_rows, preset)
    other = read_preset(preset.json_name) if preset and preset.json_name else None
    if preset is None or other is None:
        return options
    plain = ExportSettings.model_validate(dict(preset.export))
    in_json = ExportSettings.model_validate(dict(other.export))
    # What the settings themselves say stands in JSON, too.
    columns = {
        name: getattr(in_json.columns, name)
        if getattr(export.columns, name) == getattr(plain.columns, name)
        else getattr(export.columns, name)
        for name in ColumnSettings.model_fields
    }
    changes = {
        "columns": ColumnSettings.model_construct(**columns),
        "records": export.records or in_json.records,
    }
    as_json = _options(export.model_copy(update=changes), chunk_rows, other)
    return replace(options, as_json=as_json)


def _options(export: ExportSettings, chunk_rows: int, preset: Preset | None) -> ReaderOptions:
    expiration = export.columns.expiration
    return ReaderOptions(
        columns=export.columns.sources(),
        expiration=expiration.readings() if expiration else (),
        may_lack=preset.may_lack if preset else frozenset(),
        null_values=frozenset(export.null_values),
        carry=export.carry,
        format=export.format,
        records=export.records,
        encoding=export.encoding,
        delimiter=export.delimiter,
        quoting=export.quoting,
        multiline=export.multiline,
        security_code_column=export.security_code_column,
        chunk_rows=chunk_rows,
    )


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
