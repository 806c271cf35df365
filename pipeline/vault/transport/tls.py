"""Builds the TLS context that verifies a vault, with a private CA where one is given.

`ssl.create_default_context` reads SSLKEYLOGFILE and `load_default_certs` reads SSL_CERT_FILE and
SSL_CERT_DIR; an environment variable must not be able to open the line that card numbers take.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

import certifi

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Give a client context: TLS 1.2 or newer, certificate and host name verified.

    Args:
        ca_file: PEM file of the only authorities to trust; `None` trusts the public ones.

    Raises:
        OSError: The file cannot be read or holds no certificate (`ssl.SSLError` is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(cafile=certifi.where() if ca_file is None else str(ca_file))
    return context


class Peer(NamedTuple):
    """Who answered: protocol, cipher, and the end of the certificate's validity."""

    tls_version: str
    cipher: str
    not_after: str


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Read the identity that a finished handshake proved."""
    session: ssl.SSLObject = transport.get_extra_info("ssl_object")
    cipher = session.cipher()
    certificate = session.getpeercert() or {}
    return Peer(
        tls_version=session.version() or "",
        cipher=cipher[0] if cipher else "",
        not_after=str(certificate.get("notAfter", "")),
    )
