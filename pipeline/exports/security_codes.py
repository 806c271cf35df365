"""Tells by its name whether a column holds sensitive authentication data.

PCI DSS 3.3.1 forbids keeping security codes, track data and PINs after authorization, even
encrypted, so no export should hold them and no migration may read them. Names are compared without
case, accents, spaces and signs, in the languages that exports come in. The *result* of a check
(`cvc_check`, `cvv_result`) is no code.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

# fmt: off
_WORDS: Final = frozenset((
    "cav", "cav2", "ccid", "ccv", "ccv2", "cid", "csc", "cvc", "cvc1", "cvc2", "cvd", "cvd2", "cve",
    "cvn", "cvn2", "cvv", "cvv1", "cvv2", "cvv3", "cvx", "cvx2", "cv2", "dcvv", "icvc", "icvv",
    "atmpin", "cardpin", "magstripe", "msr", "pin", "pinblock", "pinoffset", "pvki", "pvv",
    "swipedata", "track", "tracks", "trk1", "trk2", "trk3", "userpin",
))
_RESULT_WORDS: Final = frozenset((
    "check", "checked", "match", "matched", "present", "provided", "required", "response", "result",
    "status", "valid", "verified",
))
_WHOLE_NAMES: Final = frozenset((
    "cardcode", "cardcodeverification", "cccode", "xcardcode",  # As Authorize.Net calls it.
    "validationcode", "validationvalue", "verificationcode", "verificationnumber",
    "verificationvalue",
))
# fmt: on
# Parts of a name without blanks and signs, one language or family a line.
_PARTS: Final = (
    "cvv|cvc|cv(?:code|number)|securitycode|(?<!social)securitynumber|securityvalue|seccode"
    "|cardverification|cardvalidation|signaturepanel|(?:3|4|three|four)digitcode"
    "|pinblock|pincode|encryptedpin|magneticstripe|magstripe|msrdata|(?:chip|emv|icc)data"
    "|(?:track|trk)(?:[123]|one|two|three|i{1,3})?data|track[123]?equivalent"
    "|track(?:[123]|one|two|three|i{1,3})(?![a-z])"
    # French, Spanish, Portuguese, Italian.
    "|cryptogramme|code(?:de)?securite|clave(?:de)?seguridad|codigo(?:de)?(?:seguridad|seguranca|verificacion)|codice(?:di)?sicurezza"
    # German, Dutch, Swedish, Danish, Norwegian, Finnish.
    "|prufnummer|prufziffer|sicherheitscode|beveiligingscode"
    "|veiligheidscode|sakerhetskod|sikkerhedskode|sikkerhetskode|turvakoodi"
    # Polish, Czech, Turkish, Indonesian, Malay, Vietnamese.
    "|kodbezpieczenstwa|bezpecnostnikod|guvenlikkodu|kodekeamanan|kodkeselamatan|mabaomat"
    # Thai, Japanese, Chinese, Korean, Russian, Arabic.
    "|รหัสความปลอดภัย|รหัสรักษาความปลอดภัย|(?:รหัส|เลข)หลังบัตร|รหัส(?:3|สาม)หลัก|รหัสซีวีวี|รหัสลับ|รหัสพิน"
    "|セキュリティー?(?:コード|番号)|カード確認(?:コード|番号)|暗証番号|安全码|安全碼|安全代码|验证码|驗證碼"
    "|校验码|校驗碼|密码|密碼|보안코드|비밀번호"
    "|кодбезопасности|رمزالأمان"
)
_SPLIT: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# A Russian keyboard's letters that look like those of CVV, CVC and PIN.
_LOOK_ALIKES: Final = str.maketrans("\u0421\u0441\u0420\u0440\u0406\u0456", "CcPpIi")

_AMBIGUOUS: Final = frozenset(("cardcode", "cid", "pincode"))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).translate(_LOOK_ALIKES)
    kept = (char for char in plain if unicodedata.category(char) != "Mn")
    return unicodedata.normalize("NFKC", "".join(kept)).casefold()


_FOLDED_PARTS: Final = re.compile(_folded(_PARTS))


@lru_cache(maxsize=4096)
def is_security_code(name: str) -> bool:
    """Say whether a column, or a key of a JSON object, is named like authentication data."""
    words = _SPLIT.findall(_folded(_CAMEL.sub(" ", name)))
    squashed = "".join(words)
    if not squashed or not _RESULT_WORDS.isdisjoint(words):
        return False
    return (
        squashed in _WHOLE_NAMES
        or not _WORDS.isdisjoint(words)
        or squashed in _WORDS
        or _FOLDED_PARTS.search(squashed) is not None
    )


def is_ambiguous(name: str) -> bool:
    """Say whether a name may also mean something harmless: a customer id, an Indian post code.

    Such a column is accepted where the settings map it to a card field other than by carrying it.
    """
    return "".join(_SPLIT.findall(_folded(name))) in _AMBIGUOUS
