"""Defines what the two processes tell each other: a request and an answer, as JSON on pipes.

The child imports this module; it stays free of everything but the standard library, and of
`dataclasses`, which loads as much as all the rest of a child does.
"""

from __future__ import annotations

import errno
import json
from base64 import b64decode, b64encode
from typing import Final, Literal, NamedTuple

from pipeline.exports.verdict import Verdict

Engine = Literal["sequoia", "gpg", "age", "age_passphrase", "lines", "jwe"]

ANSWER_BYTES_MAX: Final = 4096
"""Below a pipe's smallest capacity, so that writing an answer never blocks."""

LACKS: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What the operating system says where it has no process, descriptor or memory to give."""


class Request(NamedTuple):
    """What the child is asked to do; it carries a passphrase, so it is never shown.

    Attributes:
        engine: Who decrypts.
        key_fd: Descriptor of the secret key's file, or None.
        passphrase: Of the key or the export.
        signers: OpenPGP certificates; where there are any, one of them must have signed.
        recipients: Key ids or fingerprints that the message names openly, "" for a hidden one.
        gpg_fingerprint: The key in gpg's own keyring, where that is meant.
        home: A private folder that gpg may use for a moment, or None.
        by_password: Whether the passphrase is the message's own (gpg -c) and no key is used.
    """

    engine: Engine
    key_fd: int | None = None
    passphrase: str | None = None
    signers: tuple[bytes, ...] = ()
    recipients: tuple[str, ...] = ()
    gpg_fingerprint: str | None = None
    home: str | None = None
    by_password: bool = False

    def __repr__(self) -> str:
        return f"Request({self.engine!r}, ...)"

    def encoded(self) -> bytes:
        """Give the request as it travels."""
        fields = self._asdict()
        fields["signers"] = [b64encode(signer).decode() for signer in self.signers]
        return json.dumps(fields).encode()

    @classmethod
    def decoded(cls, raw: bytes) -> Request:
        """Read a request that `encoded` made."""
        fields = json.loads(raw)
        fields["signers"] = tuple(b64decode(signer) for signer in fields["signers"])
        fields["recipients"] = tuple(fields["recipients"])
        return cls(**fields)


class Answer(NamedTuple):
    """What the child found once everything was decrypted.

    Attributes:
        verdict: `Verdict.OK` or why the export is refused.
        key: The recipient key's primary fingerprint or age recipient.
        signer: The primary fingerprint of a valid signature by an allowed certificate.
        lack: The one of `LACKS` that kept the child from judging; the verdict says nothing then.
    """

    verdict: Verdict
    key: str | None = None
    signer: str | None = None
    lack: int | None = None

    def encoded(self) -> bytes:
        """Give the answer as it travels."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def decoded(cls, raw: bytes) -> Answer | None:
        """Read an answer; None where the child died before it wrote a whole one."""
        try:
            fields = json.loads(raw)
            verdict = Verdict(fields["verdict"])
            return cls(verdict, fields["key"], fields["signer"], fields["lack"])
        except (ValueError, KeyError, TypeError):
            return None
