"""Says what a run lacks to let a Dask cluster start its carriers, all of it before anything is sent."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pipeline.config.addresses import SecretSource
from pipeline.config.credentials import opened_privately

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.cluster import ClusterSettings
    from pipeline.config.models import Settings


def cluster_problems(settings: Settings) -> Iterator[str]:
    """Say what this machine and its settings lack, a sentence each.

    What the settings of a cluster say of themselves is told when they are read.
    """
    if not isinstance(settings.ledger.url, SecretSource):
        yield "ledger.url: carriers of a cluster need a ledger in PostgreSQL"
    if find_spec("distributed") is None:
        yield 'cluster.address: Dask is not installed here; run pip install "cardferry[dask]"'
    if settings.cluster.is_encrypted:
        found = list(_absent_files(settings.cluster))
        yield from found or _unusable_files(settings.cluster)


def _absent_files(cluster: ClusterSettings) -> Iterator[str]:
    for name, path in (("ca_file", cluster.ca_file), ("cert_file", cluster.cert_file)):
        if path is not None and not path.is_file():
            yield f"cluster.{name}: names a file that is not there"
    if cluster.key_file is not None:
        try:
            with opened_privately(cluster.key_file, strict=True):
                pass
        except ValueError as wrong:
            yield f"cluster.key_file: {wrong}"


def _unusable_files(cluster: ClusterSettings) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cluster.ca_file is not None:
        try:
            context.load_verify_locations(cluster.ca_file)
        except OSError:
            yield "cluster.ca_file: holds no certificate in PEM"
    if cluster.cert_file is not None and cluster.key_file is not None:
        try:
            # Without an answer OpenSSL would ask whoever sits there for a passphrase.
            context.load_cert_chain(cluster.cert_file, cluster.key_file, password=lambda: b"")
        except OSError:
            yield (
                "cluster.cert_file, cluster.key_file: are no certificate and its private key"
                " in PEM, without a passphrase"
            )
