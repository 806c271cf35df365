"""Pairs keys into accounts, and tells who asks with which kind of key in which mode."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pipeline.sandbox.refusals import authentication_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyKind = Literal["public", "secret"]

DEFAULT_PUBLIC_KEY: Final = "pkey_test_x"
DEFAULT_SECRET_KEY: Final = "skey_test_x"  # noqa: S105 - a key of this sandbox, opens nothing.


class KeysRefused(ValueError):
    """The keys do not make an account; the message says why and never holds a key."""


@dataclass(frozen=True, slots=True)
class Account:
    """One merchant: a public key, a secret key, and whether they are live keys."""

    public_key: str
    secret_key: str

    def __post_init__(self) -> None:
        if not self.public_key.startswith("pkey_") or not self.secret_key.startswith("skey_"):
            raise KeysRefused("a public key starts with pkey_ and a secret key with skey_")
        if ("_test_" in self.public_key) != ("_test_" in self.secret_key):
            raise KeysRefused("one key is a test key and the other is not")

    @property
    def livemode(self) -> bool:
        """True unless the keys are test keys."""
        return "_test_" not in self.public_key

    @property
    def name(self) -> str:
        """A short name for the state, from which no key can be read back."""
        return hashlib.sha256(self.public_key.encode()).hexdigest()[:16]


def pair_keys(public_keys: tuple[str, ...], secret_keys: tuple[str, ...]) -> tuple[Account, ...]:
    """Give one account a pair of keys, in the order given.

    A key without its partner gets one of the same ending; no key at all gives the default pair.

    Raises:
        KeysRefused: A key is malformed, or two accounts share one.
    """
    if not public_keys and not secret_keys:
        return (Account(DEFAULT_PUBLIC_KEY, DEFAULT_SECRET_KEY),)
    accounts = []
    for index in range(max(len(public_keys), len(secret_keys))):
        public = public_keys[index] if index < len(public_keys) else ""
        secret = secret_keys[index] if index < len(secret_keys) else ""
        public = public or "p" + secret[1:]
        secret = secret or "s" + public[1:]
        accounts.append(Account(public, secret))
    if len({a.public_key for a in accounts} | {a.secret_key for a in accounts}) < 2 * len(accounts):
        raise KeysRefused("two accounts share a key")
    return tuple(accounts)


class KeyCheck:
    """Tells from an `Authorization` header who asks."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._keys: dict[bytes, tuple[Account, KeyKind]] = {}
        self._seen: dict[bytes, tuple[Account, KeyKind]] = {}
        for account in accounts:
            self._keys[account.public_key.encode()] = (account, "public")
            self._keys[account.secret_key.encode()] = (account, "secret")

    def admit(self, authorization: bytes, kind: KeyKind) -> Account:
        """Give the account behind HTTP Basic credentials (key as user name, any password).

        Raises:
            Refusal: 401 for a missing, unknown or wrong-kind key.
        """
        found = self._seen.get(authorization) or self._look_up(authorization)
        if found is None or found[1] != kind:
            raise authentication_failure()
        return found[0]

    def _look_up(self, authorization: bytes) -> tuple[Account, KeyKind] | None:
        scheme, _, credentials = authorization.strip().partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
        except binascii.Error:
            return None
        found = self._keys.get(user)
        # Only headers with a known key and no password are remembered, so that no client can
        # make this table grow.
        if found is not None and len(self._seen) < 2 * len(self._keys):
            self._seen[authorization] = found
        return found
