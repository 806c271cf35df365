"""Defines the settings of the ledger: in the migration folder, or in a PostgreSQL database."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from pipeline.config.addresses import SecretSource
from pipeline.config.columns import Section


class LedgerSettings(Section):
    """`[ledger]`: where the ledger is."""

    url: Literal["sqlite"] | SecretSource = Field(
        "sqlite",
        description="`sqlite`: in the migration folder; or where a URL of PostgreSQL is (env or file)",
    )

    session_s: float = Field(
        30.0, ge=3, le=3600, description="a carrier silent for so long is given up; PostgreSQL only"
    )

    @field_validator("url", mode="before")
    @classmethod
    def _no_password_inline(cls, value: object) -> object:
        if isinstance(value, str) and value != "sqlite":
            raise ValueError(
                'is neither "sqlite" nor a place such as { env = "NAME" } or { file = "PATH" } '
                "that holds postgresql://..."
            )
        return value

    @field_validator("url")
    @classmethod
    def _a_place_that_lasts(cls, value: str | SecretSource) -> str | SecretSource:
        if isinstance(value, SecretSource) and value.fd is not None:
            raise ValueError("must be an env or a file, which later commands can read as well")
        return value
