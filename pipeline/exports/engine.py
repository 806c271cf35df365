"""Lists the ways to open an export, key by key and engine by engine, and prepares each.

Sequoia comes first and needs no system package. gpg comes first where the key lives in its
keyring, agent or card, and where a signature is asked for, because pysequoia judges none inside a
compressed packet, which is how gpg signs; and it comes second wherever Sequoia cannot: old
ciphers, packets of GnuPG 2.3, bzip2, curves that Sequoia does not know, keys that are expired or
revoked. Both engines hold one policy by this: what was sealed to our own key is opened though
that key has expired or was revoked since; a signer's expired or revoked key is refused.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.exports.container import sealed_by_passphrase
from pipeline.exports.decryptor.gpg_home import private_home, sweep_homes
from pipeline.exports.decryptor.protocol import Request
from pipeline.exports.keys import (
    EnvelopeKeys,
    KeyPlace,
    NumberKey,
    opened_key,
    signer_certificates,
)
from pipeline.exports.openpgp_head import read_head
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.exports.decryptor.protocol import Engine
    from pipeline.exports.openpgp_head import OpenPGPHead
    from pipeline.exports.sealed_file import OpenExport

_KEY_ID_HEX: Final = 16

OF_THE_ENGINE: Final = frozenset(
    {
        Verdict.BEYOND_SEQUOIA,
        Verdict.DAMAGED,
        Verdict.KEY_UNUSABLE,
        Verdict.SIGNATURE_UNJUDGED,
    }
)
"""Refusals after which the other engine may know better."""

OF_THE_KEY: Final = (
    Verdict.KEY_OF_OTHER_KIND,
    Verdict.WRONG_KEY,
    Verdict.KEY_UNUSABLE,
    Verdict.SSH_KEY_UNUSABLE,
    Verdict.PASSPHRASE_NEEDED,
    Verdict.WRONG_PASSPHRASE,
    Verdict.KEY_LOCKED,
    Verdict.CARD_MISSING,
    Verdict.GPG_MISSING,
    Verdict.BEYOND_SEQUOIA,
    Verdict.SIGNATURE_UNJUDGED,
    Verdict.DAMAGED,
)
"""Refusals after which another key may fit; what tells the reader most stands last."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to open an export.

    Attributes:
        request: What the decryptor is asked, but for what is opened at the last moment.
        key: The key that is tried.
    """

    request: Request
    key: KeyPlace


def ways(export: OpenExport, keys: EnvelopeKeys) -> list[Way]:
    """Give the ways to open an export, in the order in which they are tried; one at least.

    Raises:
        Refused: `NO_KEY`, `KEY_OF_OTHER_KIND`, `BEYOND_GPG`, `PASSWORD_ONLY`, `SIGNATURE_IMPOSSIBLE`.
    """
    found = _OF_KIND[export.kind](export, keys)
    if not found:
        raise Refused(Verdict.NO_KEY)
    return found


def most_telling(refusals: list[Refused]) -> Refused:
    """Give the refusal to show where every way failed."""
    telling = [each for each in refusals if each.verdict not in OF_THE_KEY]
    return (telling or sorted(refusals, key=lambda each: OF_THE_KEY.index(each.verdict)))[-1]


@contextmanager
def prepared(way: Way, keys: EnvelopeKeys) -> Iterator[Request]:
    """Open what the decryptor needs for one way.

    Yields:
        A request whose descriptor and folder last until the end of the block.

    Raises:
        SettingsRefused: The key file or a signer's certificate cannot be used.
    """
    sweep_homes()
    with opened_key(way.key.file, may_be_shared=keys.key_may_be_shared) as key_fd:
        request = way.request._replace(
            key_fd=key_fd,
            passphrase=keys.passphrase.get_secret_value() if keys.passphrase else None,
            signers=tuple(signer_certificates(keys.signer_files)),
            gpg_fingerprint=way.key.gpg,
        )
        if request.engine != "gpg" or (way.key.gpg and not keys.signer_files):
            yield request
            return
        with private_home() as home:
            yield request._replace(home=home)


@contextmanager
def prepared_for_numbers(key: NumberKey) -> Iterator[Request]:
    """Open the key that single numbers are sealed to.

    Raises:
        SettingsRefused: The key file cannot be used.
    """
    with opened_key(key.file, "export.number_key", may_be_shared=key.may_be_shared) as key_fd:
        yield Request("jwe", key_fd=key_fd)


def _age(export: OpenExport, keys: EnvelopeKeys) -> list[Way]:
    if keys.signer_files:
        raise Refused(Verdict.SIGNATURE_IMPOSSIBLE)
    if sealed_by_passphrase(export.head):
        return [Way(Request("age_passphrase"), KeyPlace())]
    files = [place for place in keys.places if place.file]
    if keys.places and not files:
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    return [Way(Request("age"), place) for place in files]


def _openpgp(export: OpenExport, keys: EnvelopeKeys) -> list[Way]:
    head = read_head(export.head)
    found = [
        Way(Request(engine, recipients=head.recipients), place)
        for place in keys.places
        for engine in _engines(place, keys, head)
    ]
    if head.password and not head.recipients:
        found = []
        if keys.passphrase is None:
            raise Refused(Verdict.PASSWORD_ONLY)
    if head.password and keys.passphrase is not None:
        request = Request("sequoia", by_password=True)
        found += [
            Way(request._replace(engine=engine), KeyPlace())
            for engine in _engines(KeyPlace(), keys, head)
        ]
    if not found and (keys.places or keys.passphrase is not None):
        raise Refused(Verdict.BEYOND_GPG)
    return found


def _engines(key: KeyPlace, keys: EnvelopeKeys, head: OpenPGPHead) -> list[Engine]:
    """Give the engines to try; none where it has to be gpg, which opens no packets of RFC 9580."""
    has_gpg = shutil.which("gpg") is not None
    is_new = head.container == "seipd2" or any(
        len(recipient) > _KEY_ID_HEX for recipient in head.recipients
    )
    if key.gpg or keys.engine == "gpg":
        return [] if is_new else ["gpg"]
    if keys.engine == "sequoia" or not has_gpg:
        return ["sequoia"]
    if is_new or head.container not in {"seipd1", "aead"}:
        return ["sequoia"]
    return ["gpg"] if keys.signer_files else ["sequoia", "gpg"]


def _lines(_: OpenExport, keys: EnvelopeKeys) -> list[Way]:
    if keys.signer_files:
        raise Refused(Verdict.SIGNATURE_IMPOSSIBLE)
    return [Way(Request("lines"), place) for place in keys.places if place.file]


_OF_KIND: Final = {"age": _age, "openpgp": _openpgp, "openpgp_lines": _lines}
