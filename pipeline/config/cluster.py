"""Defines the settings of a Dask cluster whose workers start a run's carriers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it when the class is made.
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipeline.config.addresses import is_loopback
from pipeline.config.columns import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

TLS_FILES: Final = ("ca_file", "cert_file", "key_file")


class ClusterSettings(Section):
    """`[cluster]`: whose workers carry; without an address a run carries here."""

    address: str | None = Field(
        None, description="a Dask scheduler, tls://HOST:PORT; tcp:// only on loopback"
    )
    ca_file: Path | None = Field(None, description="the cluster's own certificate authority, PEM")
    cert_file: Path | None = Field(None, description="our certificate in the cluster, PEM")
    key_file: Path | None = Field(None, description="the certificate's private key, PEM (0600)")
    carriers: int = Field(4, ge=1, le=1000, description="carriers that the cluster is to start")

    @property
    def is_encrypted(self) -> bool:
        """Whether the scheduler is spoken to over TLS."""
        return self.address is not None and self.address.startswith("tls://")

    @field_validator("address")
    @classmethod
    def _of_a_scheduler(cls, value: str | None) -> str | None:
        if value is not None and not _is_address(value):
            raise ValueError("is not tls://HOST:PORT, the address of a Dask scheduler")
        return value


def privacy_problems(cluster: ClusterSettings) -> Iterator[str]:
    """Say what would let others read along, which here is to let them run what they like."""
    if cluster.is_encrypted:
        if missing := [name for name in TLS_FILES if getattr(cluster, name) is None]:
            yield f"cluster.address: is tls://, which needs {', '.join(missing)} as well"
    elif cluster.address is not None and not is_loopback(cluster.address):
        yield "cluster.address: is plain tcp to a host that is not loopback; use tls://"


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:
        # Brackets that do not match, or a port of letters; the error would repeat them.
        return False
    beyond = (parts.path, parts.query, parts.fragment, parts.username)
    return parts.scheme in {"tls", "tcp"} and is_whole and not any(beyond)
