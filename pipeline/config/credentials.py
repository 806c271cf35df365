"""Reads secrets from where the settings say: environment, file or descriptor, never an argument.

A secret is a `pydantic.SecretStr`: it masks itself in every printed form.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from pipeline.config.policies import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.config.addresses import SecretSource
    from pipeline.config.models import Settings

SECRET_BYTES_MAX: Final = 64 * 1024
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_BESIDE: Final = "; a relative path is looked for beside the settings file"
_LONG_NUMBER: Final = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_WEB_ADDRESS: Final = re.compile(r"https?://[^\s/?#]+[^\s]*").fullmatch
TEST_KEY_MARK: Final = "_test_"
"""What tells a test key from a live one (OMISE.md, section 0, item 7)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Every secret that the settings name, read once."""

    public_key: SecretStr
    secret_key: SecretStr | None = None
    passphrase: SecretStr | None = None
    signing_key: SecretStr | None = None
    signing_passphrase: SecretStr | None = None
    ping_url: SecretStr | None = None
    notify_url: SecretStr | None = None
    ledger_url: SecretStr | None = None


def read_credentials(
    settings: Settings,
    environ: Mapping[str, str],
    problems: list[str],
    refused: set[str],
    only: str | None = None,
) -> Credentials:
    """Read the secrets and check what can be checked about them.

    Args:
        settings: The settings in force.
        environ: The process environment.
        problems: Sentences are added here, one a problem.
        refused: Places already reported, such as `vault.public_key`; passed over.
        only: The one section whose secrets are read, where a command uses no others.
    """
    strict = not settings.vault.is_loopback

    def read(
        place: str, source: SecretSource | SecretStr | None, *, strict: bool = strict
    ) -> SecretStr | None:
        if only is not None and not place.startswith(f"{only}."):
            return None
        if source is None or isinstance(source, SecretStr) or _covers(refused, place):
            return source if isinstance(source, SecretStr) else None
        try:
            return SecretStr(read_secret(source, environ, strict=strict))
        except ValueError as error:
            problems.append(f"{place}: {error}")
            return None

    public_key = read("vault.public_key", settings.vault.public_key)
    if public_key is not None:
        _check_public_key(public_key, settings.vault.mode, problems)
    attach = settings.attach
    secret_key = None if attach is None else read("attach.secret_key", attach.secret_key)
    if secret_key is not None:
        _check_secret_key(secret_key, settings.vault.mode, problems)
    _check_files(settings, problems, refused, strict=strict)
    watch, ledger = settings.watch, settings.ledger.url
    return Credentials(
        public_key=public_key or SecretStr(""),
        secret_key=secret_key,
        passphrase=read("export.passphrase", settings.export.passphrase),
        signing_key=read("audit.signing_key", settings.audit.signing_key),
        signing_passphrase=read("audit.signing_passphrase", settings.audit.signing_passphrase),
        ledger_url=read("ledger.url", None if ledger == "sqlite" else ledger, strict=True),
        ping_url=_web_address("watch.ping_url", read("watch.ping_url", watch.ping_url), problems),
        notify_url=_web_address(
            "watch.notify_url", read("watch.notify_url", watch.notify_url), problems
        ),
    )


def _covers(refused: set[str], place: str) -> bool:
    return any(f"{place}.".startswith(f"{other}.") for other in refused)


def _check_public_key(key: SecretStr, mode: Mode, problems: list[str]) -> None:
    value = key.get_secret_value()
    if not value.startswith("pkey_"):
        problems.append("vault.public_key: is not a public key (those begin with pkey_)")
    else:
        problems.extend(_wrong_mode("vault.public_key", value, mode))


def _check_secret_key(key: SecretStr, mode: Mode, problems: list[str]) -> None:
    value = key.get_secret_value()
    if value.startswith("pkey_"):
        problems.append("attach.secret_key: is a public key; the secret one begins with skey_")
    elif not value.startswith("skey_"):
        problems.append("attach.secret_key: is not a secret key (those begin with skey_)")
    else:
        problems.extend(_wrong_mode("attach.secret_key", value, mode))


def _wrong_mode(place: str, value: str, mode: Mode) -> list[str]:
    if (TEST_KEY_MARK in value) == (mode == Mode.TEST):
        return []
    kind = "test" if TEST_KEY_MARK in value else "live"
    return [f"{place}: is a {kind} key, but vault.mode is {mode}"]


def _web_address(place: str, address: SecretStr | None, problems: list[str]) -> SecretStr | None:
    """Give an address that may be asked; an address of this kind is itself the key to what it tells."""
    if address is None or _WEB_ADDRESS(address.get_secret_value()):
        return address
    problems.append(f"{place}: does not hold an http or https URL")
    return None


def _check_files(
    settings: Settings, problems: list[str], refused: set[str], *, strict: bool
) -> None:
    export = settings.export
    numbers = [export.number_key] if export.number_key else []
    for setting, keys in (("export.key", export.keys), ("export.number_key", numbers)):
        for path in [key.file for key in keys if key.file and not _covers(refused, setting)]:
            try:
                with opened_privately(path, strict=strict):
                    pass
            except ValueError as error:
                problems.append(f"{setting}: {_shown(path)}: {error}")
    for place, paths in (
        ("export.signers", export.signers),
        ("vault.ca_file", [settings.vault.ca_file] if settings.vault.ca_file else []),
    ):
        problems.extend(
            f"{place}: {_shown(p)}: the file is not there{'' if p.is_absolute() else _BESIDE}"
            for p in paths
            if not p.is_file()
        )


def _shown(path: Path) -> str:
    """Give a path without what might be a card number in it.

    A name without an ending is left out: it may be the secret itself, written here by mistake.
    """
    return _LONG_NUMBER.sub("*", str(path if path.suffix else path.parent / "..."))


def read_secret(source: SecretSource, environ: Mapping[str, str], *, strict: bool) -> str:
    """Read a secret from its source.

    Args:
        source: Where it is.
        environ: The process environment.
        strict: Whether a file that others may read is refused.

    Raises:
        ValueError: It is not there; the message holds nothing of it.
    """
    if source.env is not None:
        text = environ.get(source.env, "")
        if not text:
            raise ValueError(f"the environment variable {source.env} is not set")
        return text
    if source.file is not None:
        with opened_privately(source.file, strict=strict) as descriptor:
            return _decoded(_read_whole(descriptor))
    if source.fd is None:
        raise ValueError("names no source")
    try:
        return _decoded(_read_whole(source.fd))
    except OSError as error:
        raise ValueError(f"the descriptor cannot be read ({error.strerror})") from None


def _read_whole(descriptor: int) -> bytes:
    """Read to the end, in as many parts as a pipe gives; a secret longer than the cap is none."""
    content = b""
    while part := os.read(descriptor, SECRET_BYTES_MAX):
        content += part
        if len(content) > SECRET_BYTES_MAX:
            raise ValueError("is longer than any secret")
    return content


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("does not hold text") from None
    if not text:
        raise ValueError("is empty")
    return text


@contextmanager
def opened_privately(path: Path, *, strict: bool) -> Iterator[int]:
    """Open a secret file, unless it is not a file or others may read it.

    A link is followed: secret stores mount them. Towards a loopback vault only published test
    keys are at stake, and a checkout cannot keep mode 0600, so there the mode is not judged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        beside = "" if path.is_absolute() else _BESIDE
        raise ValueError(f"the file cannot be read ({error.strerror}){beside}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("names something that is not a file")
        if strict and status.st_mode & OTHERS:
            raise ValueError("the file may be read by others; run chmod 600 on it")
        yield descriptor
    finally:
        os.close(descriptor)
