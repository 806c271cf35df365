"""Builds what reads and judges exports from settings and secrets."""

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
from pipeline.exports.keys import KeyPlace, NumberKey
from pipeline.exports.sealed_export import EnvelopeKeys, Limits
from pipeline.migration.customer_texts import CustomerTexts
from pipeline.migration.expectations import Expectations
from pipeline.migration.judged_chunks import Reading

if TYPE_CHECKING:
    from pipeline.config.attach import AttachSettings
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.config.presets import Preset


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


def reading(settings: Settings, sha256_beside: str | None = None) -> Reading:
    """Give how exports are read and judged.

    Args:
        settings: The settings in force.
        sha256_beside: What the `.sha256` file beside the only export says; None without one.
    """
    rules, attach = settings.rules, settings.attach
    livemode = settings.vault.mode is Mode.LIVE
    return Reading(
        options=reader_options(settings),
        expired=rules.expired,
        brands=frozenset(rules.brands),
        livemode=livemode,
        loopback_vault=settings.vault.is_loopback,
        customers=None if attach is None else _customer_rules(attach, livemode=livemode),
        texts=None if attach is None else customer_texts(attach),
        own_customers=attach is not None and attach.without_customer == "own",
        lookalike_ids=rules.lookalike_ids,
        expects=Expectations.of(rules, sha256_beside),
    )


def _customer_rules(attach: AttachSettings, *, livemode: bool) -> CustomerRules:
    from pipeline.vault.omise.customers import (  # noqa: PLC0415 - only for who attaches cards.
        is_customer_id,
    )

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


def reader_options(settings: Settings) -> ReaderOptions:
    """Give what the reader must know, with the preset's other columns for JSON beside it."""
    export = settings.export
    preset = read_preset(export.preset) if export.preset else None
    options = _options(settings, export, preset)
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
    as_json = _options(settings, export.model_copy(update=changes), other)
    return replace(options, as_json=as_json)


def _options(settings: Settings, export: ExportSettings, preset: Preset | None) -> ReaderOptions:
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
        header=export.header,
        header_names=preset.header if preset and not export.header else (),
        other_methods=preset.other_methods if preset else (),
        method=preset.method if preset else None,
        security_code_column=export.security_code_column,
        security_code_columns=export.security_code_columns,
        optional_invalid=settings.rules.optional_invalid,
        chunk_rows=settings.flow.chunk_rows,
        number_key=NumberKey(export.number_key.file, may_be_shared=settings.vault.is_loopback)
        if export.number_key and export.number_key.file
        else None,
    )
