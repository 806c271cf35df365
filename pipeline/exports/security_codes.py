"""Tells by its name whether a column may hold sensitive authentication data.

PCI DSS 3.3.1 forbids keeping security codes, track data and PINs after authorization, even
encrypted, so no export should hold them and no migration may read them. Names are compared without
case, accents, spaces and signs, in the languages that exports come in. The *result* of a check
(`cvc_check`, `cvv_result`) is no code. What the values say is `security_code_values`' question.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache
from typing import Final

# fmt: off
_WORDS: Final = frozenset((
    "cav", "cav2", "ccv", "ccv2", "csc", "cvc", "cvc1", "cvc2", "cvd", "cvd2", "cve", "cvn", "cvn2",
    "cvv", "cvv1", "cvv2", "cvv3", "cvx", "cvx2", "cv2", "dcvv", "icvc", "icvv", "atmpin", "cardpin",
    "magstripe", "msr", "pinblock", "pinoffset", "pvki", "pvv", "swipedata", "trk1", "trk2", "trk3",
    "userpin",
))
_AMBIGUOUS_WORDS: Final = frozenset(("ccid", "cid", "pin", "pincode", "track", "tracks"))
"""A customer's id, an Indian post code, a parcel: only values like codes make these suspect."""
_RESULT_WORDS: Final = frozenset((
    "check", "checked", "match", "matched", "present", "provided", "required", "response", "result",
    "status", "valid", "verified",
))
_WHOLE_NAMES: Final = frozenset((
    "cardcodeverification", "cccode", "xcardcode",  # As Authorize.Net calls it.
    "cardsecurity", "cardsecuritynr",
    "validationcode", "validationvalue", "verificationcode", "verificationnumber",
    "verificationvalue",
))
# fmt: on
# Parts of a name without blanks and signs, one language or family a line.
_PARTS: Final = (
    "cvv|cvc|cv(?:code|number)|securitycode|(?<!social)securitynumber|securityvalue|seccode"
    "|cardverification|cardvalidation|signaturepanel|(?:3|4|three|four)digitcode"
    "|pinblock|encryptedpin|magneticstripe|magstripe|msrdata|(?:chip|emv|icc)data"
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
    "|(?:末|后|後|背面)[三3](?:码|碼|位|桁)|背面末[三3][码碼]|[検檢检][証證查验驗]?[码碼]|(?:裏面|裏)の?3桁|検証コード|確認コード|認証番号"
)
# Words whose vowels are marks of their own come apart, so they are squashed as the names are.
_NAMES: Final = (
    "κωδικός ασφαλείας",
    "κωδικός επαλήθευσης",
    "код безпеки",
    "код перевірки",
    "код проверки",
    "код за сигурност",
    "сигурносни код",
    "biztonsági kód",
    "ellenőrző kód",
    "cod de securitate",
    "cod securitate",
    "codul de securitate",
    "sigurnosni kod",
    "sigurnosni broj",
    "kontrolni broj",
    "varnostna koda",
    "bezpečnostný kód",
    "drošības kods",
    "saugos kodas",
    "turvakood",
    "codi de seguretat",
    "सुरक्षा कोड",
    "सुरक्षा कोड संख्या",
    "सीवीवी",
    "নিরাপত্তা কোড",
    "பாதுகாப்பு குறியீடு",
    "קוד אבטחה",
    "קוד האבטחה",
    "קוד ביטחון",
    "מספר אבטחה",
    "ספרות בגב הכרטיס",
    "رمز الأمان",
    "رمز أمان",
    "كود الأمان",
    "رمز التحقق",
    "رقم الأمان",
    "الرقم السري",
    "کد امنیتی",
    "سیکیورٹی کوڈ",
)
_SPLIT: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# A Russian keyboard's letters that look like those of CVV, CVC and PIN.
_LOOK_ALIKES: Final = str.maketrans("\u0421\u0441\u0420\u0440\u0406\u0456", "CcPpIi")

_AMBIGUOUS_NAMES: Final = frozenset(("cardcode",))


class Suspicion(Enum):
    """What a column's name says of its values."""

    NONE = "none"
    BY_VALUES = "by values"
    """It may mean something harmless; values like codes in nearly every row decide."""
    CERTAIN = "certain"
    """It means authentication data, and any value but a flag is some."""


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).translate(_LOOK_ALIKES)
    kept = (char for char in plain if unicodedata.category(char) != "Mn")
    return unicodedata.normalize("NFKC", "".join(kept)).casefold()


def squashed(name: str) -> str:
    """Give what counts of a name: no case, accents, blanks nor signs."""
    return "".join(_SPLIT.findall(_folded(name)))


_FOLDED_PARTS: Final = re.compile("|".join((_folded(_PARTS), *map(squashed, _NAMES))))


@lru_cache(maxsize=4096)
def suspicion(name: str, own: tuple[str, ...] = ()) -> Suspicion:
    """Say whether a column, or a key of a JSON object, is named like authentication data.

    Args:
        name: As it stands in the export.
        own: Names that the settings add, or take off where a `-` stands before them.
    """
    if any(entry[:1] == "-" and squashed(entry[1:]) == squashed(name) for entry in own):
        return Suspicion.NONE
    if any(squashed(entry) == squashed(name) for entry in own if entry[:1] != "-"):
        return Suspicion.CERTAIN
    words = _SPLIT.findall(_folded(_CAMEL.sub(" ", name)))
    joined = "".join(words)
    if not joined or not _RESULT_WORDS.isdisjoint(words):
        return Suspicion.NONE
    if (
        joined in _WHOLE_NAMES
        or not _WORDS.isdisjoint(words)
        or joined in _WORDS
        or _FOLDED_PARTS.search(joined) is not None
    ):
        return Suspicion.CERTAIN
    if not _AMBIGUOUS_WORDS.isdisjoint({*words, joined}) or joined in _AMBIGUOUS_NAMES:
        return Suspicion.BY_VALUES
    # `pin_code`, `card pin code` and the like.
    return Suspicion.BY_VALUES if "pincode" in joined else Suspicion.NONE
