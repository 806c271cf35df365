"""Defines the settings of attaching: how cards come to customers, and what these are made with."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.config.addresses import SecretSource, address_problems, base_url, is_loopback
from pipeline.config.columns import Section

MARK: Final = "cardferry"
"""The metadata key by which a customer is known as ours."""

PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
"""What stands for a value in a template: a name in braces."""


class AttachSettings(Section):
    """`[attach]`: cards are put on customers; without this table there are tokens only."""

    url: str = Field("https://api.omise.co", description="base URL of the API host")
    secret_key: SecretSource | SecretStr = Field(
        SecretSource(env="OMISE_SECRET_KEY"),
        description="where the secret key is; inline only for a loopback host",
    )
    rate_per_s: float = Field(10.0, gt=0, le=1_000_000, description="ceiling of requests a second")
    without_customer: Literal["reject", "own"] = Field(
        "reject", description="a card that names no customer; own: a customer for each"
    )
    metadata: dict[str, str] = Field(
        {"legacy_customer_id": "{customer}"}, description="what new customers are marked with"
    )
    description: str = Field("", description="template, as in metadata")
    email: Literal["send", "omit"] = Field("send", description="the e-mail of a new customer")
    same_card: Literal["add", "reuse"] = Field(
        "add", description="the same card again on one customer"
    )
    on_changed: Literal["keep", "delete"] = Field(
        "keep", description="the old card, once a changed one is attached"
    )
    default_on_given: bool = Field(
        default=False, description="move the default of customers that we did not make"
    )

    @field_validator("url")
    @classmethod
    def _a_base_url(cls, value: str) -> str:
        return base_url(value)

    @field_validator("metadata")
    @classmethod
    def _not_our_mark(cls, value: dict[str, str]) -> dict[str, str]:
        if MARK in value:
            raise ValueError(f"the key {MARK} is ours")
        return value

    @property
    def is_loopback(self) -> bool:
        """Whether the API host is on this machine."""
        return is_loopback(self.url)

    @property
    def templates(self) -> tuple[str, ...]:
        """Every template, of metadata and description."""
        return (*self.metadata.values(), self.description)

    @model_validator(mode="after")
    def _encrypted_unless_loopback(self) -> AttachSettings:
        problems = address_problems(self.url, "secret_key", self.secret_key)
        if problems:
            raise ValueError("; ".join(problems))
        return self
