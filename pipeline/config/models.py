"""Defines the settings as frozen models: every key of the contract with unit, bound and default.

The descriptions are the documentation: `cardferry config` prints them and a test compares them
with `configs/production.example.toml`.
"""

from __future__ import annotations

import codecs
import re
from datetime import date  # noqa: TC003 - pydantic reads it when the class is made.
from pathlib import Path  # noqa: TC003 - pydantic reads it when the class is made.
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.config.addresses import SecretSource, address_problems, base_url, is_loopback
from pipeline.config.attach import AttachSettings  # noqa: TC001 - pydantic reads it.
from pipeline.config.cluster import ClusterSettings
from pipeline.config.columns import ColumnSettings, Section, Text
from pipeline.config.ledger import LedgerSettings
from pipeline.config.policies import (
    Mode,
    Multiline,
    OnAmbiguous,
    OnExpired,
    OnInvalidOptional,
    OnLookalike,
    OnSecurityCode,
    Quoting,
)

MAPPING_NAMES: Final = frozenset(
    (
        *("legacy_id", "token_id", "card_id", "customer_id", "brand", "last_digits"),
        *("expiration_month", "expiration_year", "fingerprint", "livemode", "created_at"),
        *("attempts", "source_file", "source_row", "run_id", "customer_origin", "is_default"),
    )
)
"""The mapping's own columns; a carried column named like one would make it unreadable."""

BRANDS: Final = (
    "Visa",
    "MasterCard",
    "JCB",
    "American Express",
    "Diners Club",
    "Discover",
    "UnionPay",
)
"""Brands as the vault spells them (OMISE.md, section 2.2), in the contract's order."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class KeySource(Section):
    """The key that opens the exports: a key file, or a key that gpg holds."""

    file: Path | None = Field(None, description="OpenPGP secret key or age identity (0600)")
    gpg: str | None = Field(None, description="fingerprint of a key in gpg's keyring or card")

    @field_validator("gpg")
    @classmethod
    def _a_fingerprint(cls, value: str | None) -> str | None:
        if value is not None:
            value = value.replace(" ", "").upper()
            if len(value) not in {40, 64} or set(value) - set("0123456789ABCDEF"):
                raise ValueError("is not a fingerprint of 40 or 64 hexadecimal digits")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> KeySource:
        if (self.file is None) == (self.gpg is None):
            raise ValueError("name exactly one of file, gpg")
        return self


class VaultSettings(Section):
    """`[vault]`: whom the cards go to."""

    url: str = Field("https://vault.omise.co", description="base URL of the vault")
    mode: Mode = Field(Mode.TEST, description="must agree with the key and with every answer")
    public_key: SecretSource | SecretStr = Field(
        SecretSource(env="OMISE_PUBLIC_KEY"),
        description="where the public key is; inline only for a loopback vault",
    )
    api_version: str = Field("2019-05-29", pattern=r"^\d{4}-\d{2}-\d{2}$")
    ca_file: Path | None = Field(None, description="private certificate authority, PEM")
    connect_timeout_s: Seconds = Field(5.0, description="name, TCP and TLS")
    read_timeout_s: Seconds = Field(30.0, description="silence while waiting for an answer")
    total_timeout_s: Seconds = Field(60.0, description="one attempt from start to end")

    @field_validator("url")
    @classmethod
    def _a_base_url(cls, value: str) -> str:
        return base_url(value)

    @property
    def is_loopback(self) -> bool:
        """Whether the vault is on this machine (RFC 6890 loopback address or `localhost`)."""
        return is_loopback(self.url)

    @model_validator(mode="after")
    def _encrypted_unless_loopback(self) -> VaultSettings:
        problems = address_problems(self.url, "public_key", self.public_key)
        if problems:
            raise ValueError("; ".join(problems))
        return self


class ExportSettings(Section):
    """`[export]`: how exports are opened and read."""

    preset: str | None = Field(None, description="a known format; what is set here wins over it")
    format: Literal["csv", "jsonl", "json"] | None = Field(None, description="default: by content")
    records: str | None = Field(
        None, min_length=1, description="path of the records in JSON; `*` is each member"
    )
    encoding: str = Field("utf-8", description="text encoding; a byte order mark wins")
    delimiter: str = Field(",", min_length=1, max_length=1)
    quoting: Quoting = Quoting.RFC4180
    multiline: Multiline = Multiline.GUARDED
    header: bool = Field(default=True, description="without one, columns are 1, 2, ...")
    key: KeySource | tuple[KeySource, ...] | None = Field(None, description="one, or several")
    engine: Literal["auto", "sequoia", "gpg"] = Field("auto", description="who opens OpenPGP")
    passphrase: SecretSource | None = Field(None, description="of the key or of the message")
    number_key: KeySource | None = Field(
        None, description="private key (JWK or PEM) of numbers that are sealed one by one as JWE"
    )
    signers: tuple[Path, ...] = Field((), description="when set, one of these must have signed")
    allow_plaintext: bool = Field(default=False, description="accept an unencrypted file")
    security_code_column: OnSecurityCode = OnSecurityCode.REFUSE
    security_code_columns: tuple[Text, ...] = Field(
        (), description="names of columns to add to ours; `-name` takes one off"
    )
    null_values: tuple[str, ...] = Field((), description='texts that mean "empty"')
    carry: tuple[str, ...] = Field((), description="source columns copied into the mapping")
    plain_bytes_max: int = Field(64 * 2**30, gt=0, description="most bytes it may unpack to")
    columns: ColumnSettings = ColumnSettings()

    @field_validator("carry")
    @classmethod
    def _names_that_are_free(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        taken = sorted(MAPPING_NAMES.intersection(value))
        if taken:
            raise ValueError(f"the mapping has columns of its own named {', '.join(taken)}")
        if len(set(value)) != len(value):
            raise ValueError("names a column twice")
        return value

    @property
    def keys(self) -> tuple[KeySource, ...]:
        """The keys that are tried, in their order."""
        return self.key if isinstance(self.key, tuple) else (self.key,) if self.key else ()

    @field_validator("number_key")
    @classmethod
    def _a_file(cls, value: KeySource | None) -> KeySource | None:
        if value is not None and value.file is None:
            raise ValueError("names no file, where the private key of JWE values has to be")
        return value

    @field_validator("delimiter")
    @classmethod
    def _no_sign_of_csv_itself(cls, value: str) -> str:
        if value in '"\r\n\x1a':
            raise ValueError("is a quote, a line end or the sign that ends a text (Ctrl-Z)")
        return value

    @field_validator("encoding")
    @classmethod
    def _an_ascii_superset(cls, value: str) -> str:
        try:
            wide = codecs.lookup(value).name.startswith(("utf-16", "utf-32"))
            plain = "".join(map(chr, range(128))).encode(value) == bytes(range(128))
        except (LookupError, UnicodeError):
            wide = plain = False
        if not (plain or wide):
            raise ValueError(
                "is unknown, or neither UTF-16 nor a superset of ASCII (utf-8, latin-1, cp874, ...)"
            )
        return value


class RuleSettings(Section):
    """`[rules]`: which cards are sent."""

    expired: OnExpired = OnExpired.REJECT
    as_of: date | None = Field(
        None, description="the day expirations are judged on; default: the export's first day (UTC)"
    )
    brands: tuple[
        Literal[
            "Visa",
            "MasterCard",
            "JCB",
            "American Express",
            "Diners Club",
            "Discover",
            "UnionPay",
            "Maestro",
            "*",
        ],
        ...,
    ] = Field(BRANDS, description='`["*"]`: any number with a right check digit')
    max_failure_rate: float = Field(
        1.0, ge=0, le=1, description="stop when more than this share of an export's rows fails"
    )
    max_rows: int = Field(0, ge=0, description="refuse an export of more rows; 0: no bound")
    expect_rows: int = Field(0, ge=0, description="refuse a single export of other rows; 0: any")
    expect_sha256: str | None = Field(
        None, description="refuse a single export of other bytes; default: any"
    )

    @field_validator("expect_sha256")
    @classmethod
    def _a_digest(cls, value: str | None) -> str | None:
        if value is None or value == "":
            return None
        if re.fullmatch("[0-9a-fA-F]{64}", value) is None:
            raise ValueError("is no SHA-256 in hexadecimal")
        return value.lower()

    lookalike_ids: OnLookalike = Field(
        OnLookalike.REJECT, description="`allow` ids that pass as a card number by chance"
    )
    optional_invalid: OnInvalidOptional = Field(
        OnInvalidOptional.REJECT, description="`drop` leaves out an unusable country, e-mail, ..."
    )


class FlowSettings(Section):
    """`[flow]`: how fast, how many, how often."""

    rate_per_s: float = Field(5.0, gt=0, le=1_000_000, description="ceiling of sends a second")
    in_flight_max: int = Field(8, ge=1, le=4096, description="cards under way at once")
    attempts_max: int = Field(5, ge=1, le=100, description="counted attempts a row")
    on_ambiguous: OnAmbiguous = OnAmbiguous.RETRY
    outage_max_s: float = Field(1800.0, gt=0, description="an outage this long stops the run")
    drain_s: float = Field(30.0, ge=0, description="how long a stop waits for answers")
    chunk_rows: int = Field(5000, ge=1, le=1_000_000, description="rows read at once")


class AuditSettings(Section):
    """`[audit]`: who vouches for the run."""

    signing_key: SecretSource | None = Field(None, description="Ed25519 private key, PEM")
    signing_passphrase: SecretSource | None = Field(None, description="the signing key's")
    operator: str | None = Field(
        None, max_length=200, description="who runs it; default: the system user"
    )


class WatchSettings(Section):
    """`[watch]`: who is told how runs go, and what becomes of exports that are carried."""

    metrics_file: Path | None = Field(
        None, description="Prometheus text, replaced whole; default: metrics.prom in the folder"
    )
    metrics_port: int = Field(0, ge=0, le=65_535, description="on loopback while running; 0: none")
    ping_url: SecretSource | None = Field(
        None, description="asked at URL/start, URL and URL/fail, as healthchecks do"
    )
    notify_url: SecretSource | None = Field(None, description="is sent the ending as JSON")
    inbox_done: Literal["leave", "move", "remove"] = Field(
        "leave", description="a carried export of an inbox, once the outputs are published"
    )


class Settings(Section):
    """Everything a run can be told, checked."""

    vault: VaultSettings = VaultSettings()
    export: ExportSettings = ExportSettings()
    rules: RuleSettings = RuleSettings()
    flow: FlowSettings = FlowSettings()
    attach: AttachSettings | None = Field(None, description="absent: tokens only, which perish")
    ledger: LedgerSettings = LedgerSettings()
    cluster: ClusterSettings = ClusterSettings()
    audit: AuditSettings = AuditSettings()
    watch: WatchSettings = WatchSettings()
