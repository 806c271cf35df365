"""Tries the keys that the settings name: each opens what is sealed to it, and the signing key signs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.counts import counted
from pipeline.errors import ExportRefused, LocalStorageFailed, SettingsRefused
from pipeline.exports.keys import public_part, signer_certificates
from pipeline.exports.seal import seal_file
from pipeline.exports.sealed_export import SealedExport
from pipeline.migration import export_factory
from pipeline.migration.doctor_findings import DoctorFinding, Health, failed, ok, warning
from pipeline.outputs.signature import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.errors import CardferryError
    from pipeline.exports.keys import EnvelopeKeys, KeyPlace

_PLAIN: Final = b"legacy_id\nnobody\n"


def export_keys(settings: Settings, credentials: Credentials) -> Iterator[DoctorFinding]:
    """Seal a few bytes to each key and open them with it."""
    keys = export_factory.envelope_keys(settings, credentials)
    if not keys.places and keys.passphrase is None and not settings.export.allow_plaintext:
        yield failed(
            "export.key",
            SettingsRefused(["no key is named"], next_step="Name one under [export]."),
        )
    for number, place in enumerate(keys.places, 1):
        check = "export.key" if len(keys.places) == 1 else f"export.key {number}"
        one = replace(keys, key_file=place.file, gpg_fingerprint=place.gpg, more=())
        try:
            with tempfile.TemporaryDirectory(prefix="cardferry-") as name:
                yield _opened(check, Path(name), place, replace(one, signer_files=()), settings)
        except OSError as error:
            yield failed(check, _no_temporary_file(error))
    if keys.signer_files:
        try:
            count = len(list(signer_certificates(keys.signer_files)))
            yield ok("export.signers", counted(count, "certificate"))
        except SettingsRefused as trouble:
            yield failed("export.signers", trouble)


def _opened(
    check: str, folder: Path, place: KeyPlace, keys: EnvelopeKeys, settings: Settings
) -> DoctorFinding:
    plain, sealed = folder / "probe.csv", folder / "probe.csv.sealed"
    plain.write_bytes(_PLAIN)
    try:
        seal_file(plain, sealed, public_part(place, folder))
    except (SettingsRefused, LocalStorageFailed):
        return warning(
            check,
            "nothing can be sealed to this key here, so that only an export can tell",
            "Try it with `cardferry check EXPORT -c CONFIG`.",
        )
    try:
        with SealedExport(sealed, keys, export_factory.envelope_limits(settings)) as export:
            export.digest()
            with export.prove() as blocks:
                content = b"".join(blocks)
    except (ExportRefused, SettingsRefused, LocalStorageFailed) as trouble:
        return DoctorFinding(check, Health.FAILED, _of_the_key(trouble), trouble.next_step, 6)
    if content != _PLAIN:
        return failed(check, ExportRefused("opens to other bytes", next_step="Report this."))
    return ok(check, "opens what is sealed to it")


def _of_the_key(trouble: CardferryError) -> str:
    """Say it of the key, not of the bytes that it was tried with."""
    return trouble.message.removeprefix("probe.csv.sealed: ").replace(
        "the settings are refused:\n  - ", ""
    )


def signing_key(settings: Settings, credentials: Credentials) -> Iterator[DoctorFinding]:
    """Read the key that signs manifests, where one is named."""
    if settings.audit.signing_key is None:
        yield warning(
            "audit.signing_key",
            "manifests are not signed",
            "Name an Ed25519 key, or keep the chain head of every run elsewhere.",
        )
    elif credentials.signing_key is not None:
        try:
            signer = Signer.from_pem(credentials.signing_key, credentials.signing_passphrase)
            yield ok("audit.signing_key", f"signs as {signer.fingerprint}")
        except SettingsRefused as trouble:
            yield failed("audit.signing_key", trouble)


def _no_temporary_file(error: OSError) -> LocalStorageFailed:
    return LocalStorageFailed(
        f"no temporary file can be written ({error.strerror})",
        next_step="Free the folder for temporary files, or name another in TMPDIR.",
    )
