"""Defines the settings of an export's columns, and the table that every other one is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.config.layouts import Layout  # noqa: TC001 - the model reads it.


class Section(BaseModel):
    """A table of the settings: frozen, strict, and closed to keys it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )


Text = Annotated[str, Field(min_length=1)]
Texts = Text | Annotated[tuple[Text, ...], Field(min_length=1)]


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _with_texts(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_texts(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_texts(inner) for inner in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ExpirationColumn(Section):
    """Source columns that hold month and year together."""

    column: Texts = Field(description="source column, or a list of them")
    format: Layout | Annotated[tuple[Layout, ...], Field(min_length=1)] = "MM/YY"

    @model_validator(mode="after")
    def _as_many_formats_as_columns(self) -> ExpirationColumn:
        columns, formats = _listed(self.column), _listed(self.format)
        if len(columns) > 1 and len(formats) > 1 and len(columns) != len(formats):
            raise ValueError("name one format, or as many as columns")
        return self

    def readings(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Give each source column with the formats that its values may have.

        Of two lists the first format is of the first column, and so on.
        """
        columns, formats = _listed(self.column), _listed(self.format)
        if len(columns) > 1 and len(formats) > 1:
            return tuple((name, (layout,)) for name, layout in zip(columns, formats, strict=True))
        return tuple((name, formats) for name in columns)


class ColumnSettings(Section):
    """`[export.columns]`: canonical name = source column."""

    legacy_id: str = "legacy_id"
    number: str = "number"
    name: Texts = "name"
    expiration_month: str | None = None
    expiration_year: str | None = None
    expiration: ExpirationColumn | None = None
    customer: Text | None = None
    customer_id: Text | None = None
    is_default: Text | None = None
    city: str | None = None
    country: str | None = None
    email: str | None = None
    phone_number: str | None = None
    postal_code: str | None = None
    state: str | None = None
    street1: str | None = None
    street2: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _places_are_names_too(cls, given: object) -> object:
        """Take `3` for `"3"`, a column of an export without header."""
        return _with_texts(given)

    @model_validator(mode="before")
    @classmethod
    def _expiration_by_default_in_two_columns(cls, given: object) -> object:
        if isinstance(given, dict) and "expiration" not in given:
            return {
                "expiration_month": "expiration_month",
                "expiration_year": "expiration_year",
                **given,
            }
        return given

    @model_validator(mode="after")
    def _whole_expiration(self) -> ColumnSettings:
        parts = (self.expiration_month is not None, self.expiration_year is not None)
        if any(parts) != all(parts) or not (any(parts) or self.expiration):
            raise ValueError("name expiration_month and expiration_year, or expiration, or both")
        return self

    def sources(self) -> dict[str, str | tuple[str, ...]]:
        """Give canonical name → source column, or columns, for every one that is set."""
        return {
            name: value
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), (str, tuple))
        }
