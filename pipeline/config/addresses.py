"""Checks where a host is and where its key is: what the settings of both hosts share."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path  # noqa: TC003 - pydantic reads it when the class is made.
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, model_validator

from pipeline.config.columns import Section

# A name, an IPv4 address, or what stands in an IPv6 address's brackets.
_HOST: Final = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+", re.IGNORECASE).fullmatch


class SecretSource(Section):
    """Where a secret is read from; the secret itself never stands in the settings."""

    env: str | None = Field(None, description="name of an environment variable")
    file: Path | None = Field(None, description="a file only its owner can read (0600)")
    fd: int | None = Field(None, ge=3, description="an open file descriptor")

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretSource:
        if sum(value is not None for value in (self.env, self.file, self.fd)) != 1:
            raise ValueError("name exactly one of env, file, fd")
        return self


def base_url(value: str) -> str:
    """Give a host's base URL without a slash at its end.

    Raises:
        ValueError: It is none; the message does not repeat it.
    """
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an http or https URL with a host")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("may hold only a scheme, a host, a port and a path")
    if _HOST(parts.hostname) is None or not _is_port(parts):
        raise ValueError("holds a host or a port that is none")
    return value.rstrip("/")


def is_loopback(url: str) -> bool:
    """Tell whether a host is on this machine (RFC 6890 loopback address or `localhost`)."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_problems(url: str, name: str, key: SecretSource | SecretStr) -> list[str]:
    """Say what may not be said to a host that is not on this machine.

    Args:
        url: The host's base URL.
        name: The setting that holds its key.
        key: The key, or where it is.
    """
    if is_loopback(url):
        return []
    problems = []
    if url.startswith("http://"):
        problems.append("url is plain http to a host that is not loopback")
    if isinstance(key, SecretStr):
        problems.append(f"{name} stands inline; name an env, file or fd instead")
    return problems


def _is_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        # Letters, or beyond 65535; the error would repeat them.
        return False
