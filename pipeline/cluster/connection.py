"""Connects to the scheduler of a Dask cluster, and makes sure that it would start our carriers."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pipeline import __version__
from pipeline.errors import LocalStorageFailed, SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.config.cluster import ClusterSettings

RESOURCE: Final = "cardferry"
"""What a worker offers as many of as it may start carriers at once."""

CONNECTS_WITHIN_S: Final = 10
_INSTALLED_AS: Final = "cardferry"
_THEIR_LOGGERS: Final = ("distributed", "tornado", "bokeh")


@contextmanager
def connected(cluster: ClusterSettings) -> Iterator[Any]:
    """Give a client of the scheduler; it is closed at the end.

    Raises:
        LocalStorageFailed: The scheduler does not answer.
        SettingsRefused: It does not let us in, or it or a worker is of another version.
    """
    client = _client(cluster)
    try:
        _require_our_version(client)
        yield client
    finally:
        client.close(timeout=CONNECTS_WITHIN_S)


def slots_offered(client: Any) -> int:
    """Count the carriers that the workers which are there now may start at once."""
    # Without a number only the first few workers are told of.
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return int(sum(worker.get("resources", {}).get(RESOURCE, 0) for worker in workers))


def _client(cluster: ClusterSettings) -> Any:
    _try_address_and_certificates(cluster)
    distributed = import_module("distributed")
    _silence_its_logs()
    security = distributed.Security(
        require_encryption=cluster.is_encrypted,
        tls_ca_file=_text(cluster.ca_file),
        tls_client_cert=_text(cluster.cert_file),
        tls_client_key=_text(cluster.key_file),
    )
    try:
        return distributed.Client(
            cluster.address, security=security, timeout=CONNECTS_WITHIN_S, set_as_default=False
        )
    except OSError:
        raise _not_there() from None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _try_address_and_certificates(cluster: ClusterSettings) -> None:
    """Connect once ourselves: Dask would try for all of its time, and not tell why in vain."""
    place = urlsplit(cluster.address or "")
    try:
        with socket.create_connection(
            (place.hostname or "", place.port or 0), CONNECTS_WITHIN_S
        ) as plain:
            if cluster.is_encrypted:
                with _trust(cluster).wrap_socket(plain) as private:
                    # A scheduler speaks first, unless it does not accept our certificate.
                    private.recv(1)
    except ssl.SSLError:
        raise SettingsRefused(
            ["cluster: the scheduler and we do not trust one another's certificates"],
            next_step="Give both certificates of the one authority that cluster.ca_file names.",
        ) from None
    except OSError:
        raise _not_there() from None


def _trust(cluster: ClusterSettings) -> ssl.SSLContext:
    """Give what Dask makes of the files: a certificate of the authority, whatever its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(_text(cluster.ca_file))
    context.load_cert_chain(_text(cluster.cert_file) or "", _text(cluster.key_file))
    return context


def _not_there() -> LocalStorageFailed:
    return LocalStorageFailed(
        "the Dask scheduler that cluster.address names does not answer",
        next_step="Look after it (`dask scheduler`), or carry here with --no-cluster.",
    )


def _require_our_version(client: Any) -> None:
    """Refuse a cluster that could not even unpack our task, or whose carriers would be refused."""
    found: Mapping[str, Any] = client.get_versions(packages=[_INSTALLED_AS])
    told = {"scheduler": found["scheduler"], **found["workers"]}
    others = [
        f"{name} has {_of_ours(its) or 'none'}"
        for name, its in told.items()
        if _of_ours(its) != __version__
    ]
    if others:
        raise SettingsRefused(
            [f"cluster: this is Cardferry {__version__}, and {other}" for other in others],
            next_step="Install this version on the scheduler's and on every worker's machine.",
        )


def _of_ours(versions: Mapping[str, Any] | None) -> str | None:
    """Give which version of Cardferry a machine has, if it has one."""
    return dict((versions or {}).get("packages", {})).get(_INSTALLED_AS)


def _silence_its_logs() -> None:
    """Take away what Dask's loggers print with: what we need of it we say in our own words."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] in _THEIR_LOGGERS and isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.CRITICAL)
