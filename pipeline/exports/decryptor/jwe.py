"""Opens single values that are sealed as JWE compact, in the child, as they are asked for.

Values come a line each, a blank line asks for the answers: a line of JSON each, `null` for a value
that does not open. Compressed values are not opened, for nobody could bound them.

Source: RFC 7516 (JWE), RFC 7518, sections 4 and 5 (algorithms).
"""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from pipeline.exports.decryptor.protocol import Answer
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

_ALGORITHMS: Final = (
    *("RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"),
    *("A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"),
)
_ENCRYPTED_PEM: Final = re.compile(b"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED")


def open_values(key: bytes) -> Answer:
    """Open values from stdin to stdout until stdin ends.

    Args:
        key: A private key as JWK or PEM, without a passphrase.

    Raises:
        Refused: `KEY_UNUSABLE`, `PASSPHRASE_NEEDED`.
    """
    private = _private_key(key)

    def opened(token: str) -> str | None:
        try:
            found = jwe.decrypt_compact(token, private, algorithms=_ALGORITHMS).plaintext
            return found.decode() if found is not None else None
        except (JoseError, ValueError, TypeError, KeyError):
            return None

    with (
        open(0, encoding="ascii", errors="replace", closefd=False) as asked,
        open(1, "w", encoding="ascii", closefd=False) as answers,
    ):
        _answer(asked, answers, opened)
    return Answer(Verdict.OK)


def _answer(asked: IO[str], answers: IO[str], opened: Callable[[str], str | None]) -> None:
    waiting: list[str] = []
    for line in asked:
        if token := line.strip():
            waiting.append(token)
        else:
            answers.writelines(json.dumps(opened(token)) + "\n" for token in waiting)
            answers.flush()
            waiting.clear()


def _private_key(key: bytes) -> Any:
    try:
        found = _of_pem(key) if b"-----BEGIN" in key else _of_jwk(key)
    except (JoseError, ValueError, TypeError, KeyError):
        raise Refused(Verdict.KEY_UNUSABLE) from None
    if not found.is_private:
        raise Refused(Verdict.KEY_UNUSABLE)
    return found


def _of_jwk(key: bytes) -> Any:
    return JWKRegistry.import_key(json.loads(key))


def _of_pem(key: bytes) -> Any:
    if _ENCRYPTED_PEM.search(key):
        raise Refused(Verdict.PASSPHRASE_NEEDED)
    loaded = load_pem_private_key(key, None)
    if isinstance(loaded, rsa.RSAPrivateKey):
        return RSAKey.import_key(loaded)
    if isinstance(loaded, ec.EllipticCurvePrivateKey):
        return ECKey.import_key(loaded)
    if isinstance(loaded, x25519.X25519PrivateKey | x448.X448PrivateKey):
        return OKPKey.import_key(loaded)
    raise Refused(Verdict.KEY_UNUSABLE)
