"""The status lines of gpg against every way to be believed wrongly."""

import pytest

from pipeline.exports.decryptor.gpg_status import GpgStatus, verdict_of
from pipeline.exports.decryptor.protocol import Answer
from pipeline.exports.verdict import Refused, Verdict

OWN, PRIMARY = (
    "2685E2B13016445C8741D5F1C5519DEDAEEA2BD0",
    "54666BC5524376D37A0C2E0670521E01C5DF8714",
)
SIGNER = "4C021E3A85DD48BC882931662AAFFCB974C88CAD"
SUBKEY = "44E6B0495F8DCAB288C3108D5BF102363C5FDBA9"
OPENED = f"""
ENC_TO C5519DEDAEEA2BD0 18 0
DECRYPTION_KEY {OWN} {PRIMARY} -
BEGIN_DECRYPTION
DECRYPTION_INFO 2 9 0
PLAINTEXT 62 1795475117 name
PLAINTEXT_LENGTH 200108
"""
SIGNED = f"""
NEWSIG signer@example.org
GOODSIG 5BF102363C5FDBA9 signer
VALIDSIG {SUBKEY} 2026-11-23 1795475117 0 4 0 22 10 00 {SIGNER}
"""
PROVED = """
DECRYPTION_OKAY
GOODMDC
END_DECRYPTION
"""
WHOLE = OPENED + SIGNED + PROVED


def status(text):
    lines = [f"[GNUPG:] {line}" for line in text.strip().splitlines()]
    return GpgStatus.parse("\n".join(["gpg: noise", *lines, ""]).encode())


def verdict(text, code=0, allowed=(SIGNER,), wanted=None):
    with pytest.raises(Refused) as caught:
        verdict_of(status(text), code, allowed=frozenset(allowed), wanted=wanted)
    return caught.value.verdict


def test_a_whole_conversation_is_believed():
    """Decrypted, proved and signed by an allowed certificate, with exit code 0."""
    answer = verdict_of(status(WHOLE), 0, allowed=frozenset([SIGNER]))

    assert Answer(Verdict.OK, PRIMARY.lower(), SIGNER.lower()) == answer


def test_no_signature_is_reported_where_none_is_asked_for():
    """Without signers the origin stays unauthenticated, whatever gpg says."""
    answer = verdict_of(status(WHOLE), 0, allowed=frozenset())

    assert answer.signer is None


def test_an_unknown_signature_is_no_trouble_where_none_is_asked_for():
    """With gpg, 2 is the code for a signature that it cannot check; the export is whole all the same."""
    text = OPENED + "NEWSIG\nERRSIG A 22 10 00 1 9 B\nNO_PUBKEY A\n" + PROVED

    assert verdict_of(status(text), 2, allowed=frozenset()).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("", 2, Verdict.GPG_FAILED),
        (WHOLE, 2, Verdict.DAMAGED),
        (OPENED + SIGNED, 0, Verdict.DAMAGED),
        (WHOLE.replace("GOODMDC", ""), 0, Verdict.DAMAGED),
        (WHOLE.replace("GOODMDC", "BADMDC"), 0, Verdict.DAMAGED),
        (WHOLE + "BADMDC", 0, Verdict.DAMAGED),
        (WHOLE + "DECRYPTION_FAILED", 0, Verdict.DAMAGED),
        (WHOLE.replace("DECRYPTION_OKAY", ""), 0, Verdict.DAMAGED),
        (WHOLE + WHOLE, 0, Verdict.DAMAGED),
        (WHOLE + "PLAINTEXT 62 1 other", 0, Verdict.DAMAGED),
        (WHOLE + "NODATA 1", 0, Verdict.DAMAGED),
        (WHOLE.replace("DECRYPTION_KEY", "X"), 0, Verdict.DAMAGED),
        (SIGNED, 0, Verdict.DAMAGED),
        (
            WHOLE.replace("DECRYPTION_INFO 2 9 0", "DECRYPTION_INFO 0 9 0").replace("GOODMDC", "X"),
            0,
            Verdict.NO_INTEGRITY,
        ),
        (OPENED + PROVED, 0, Verdict.UNSIGNED),
        (WHOLE.replace(SIGNER, PRIMARY), 0, Verdict.SIGNER_UNKNOWN),
        (WHOLE + "ERRSIG A 22 10 00 1 9 B\nNO_PUBKEY A", 2, Verdict.SIGNER_UNKNOWN),
        (WHOLE.replace("GOODSIG", "BADSIG"), 1, Verdict.SIGNATURE_BAD),
        (WHOLE.replace("GOODSIG", "EXPSIG"), 0, Verdict.SIGNATURE_BAD),
        (WHOLE.replace("GOODSIG", "EXPKEYSIG"), 0, Verdict.SIGNATURE_BAD),
        (WHOLE.replace("GOODSIG", "REVKEYSIG"), 0, Verdict.SIGNATURE_BAD),
        (WHOLE.replace("GOODSIG", "X"), 0, Verdict.SIGNATURE_BAD),
        (WHOLE.replace("22 10 00", "22 2 00"), 0, Verdict.SIGNATURE_BAD),
        ("ENC_TO A 1 0\nNO_SECKEY A\nBEGIN_DECRYPTION\nDECRYPTION_FAILED", 2, Verdict.WRONG_KEY),
        ("ENC_TO A 1 0\nNEED_PASSPHRASE A A 1 0", 2, Verdict.PASSPHRASE_NEEDED),
        ("ENC_TO A 1 0\nMISSING_PASSPHRASE", 2, Verdict.PASSPHRASE_NEEDED),
        ("ENC_TO A 1 0\nERROR pkdecrypt_failed 67108875", 2, Verdict.WRONG_PASSPHRASE),
        ("ENC_TO A 1 0\nERROR pkdecrypt_failed 11", 2, Verdict.WRONG_PASSPHRASE),
        ("ENC_TO A 1 0\nERROR pkdecrypt_failed 83918950", 2, Verdict.KEY_LOCKED),
        ("ENC_TO A 1 0\nERROR pkdecrypt_failed 67108949", 2, Verdict.KEY_LOCKED),
        ("ENC_TO A 1 0\nERROR pkdecrypt_failed 100663408", 2, Verdict.CARD_MISSING),
        ("ENC_TO A 1 0\nERROR pkdecrypt_failed 67108941", 2, Verdict.GPG_FAILED),
        ("NEED_PASSPHRASE_SYM 9 3 8", 2, Verdict.PASSWORD_ONLY),
        ("NODATA 3", 2, Verdict.DAMAGED),
    ],
)
def test_anything_less_is_refused_for_its_reason(text, code, expected):
    """One missing or contradicting line is enough."""
    assert expected == verdict(text, code)


@pytest.mark.parametrize(
    "wanted",
    [PRIMARY, OWN, PRIMARY.lower(), f"0x{PRIMARY[-16:]}", PRIMARY[:20] + " " + PRIMARY[20:]],
)
def test_the_key_that_is_meant_may_be_written_in_any_usual_way(wanted):
    """Primary or subkey, long id or fingerprint, spaces, case and 0x do not matter."""
    assert verdict_of(status(WHOLE), 0, allowed=frozenset(), wanted=wanted).verdict is Verdict.OK


@pytest.mark.parametrize("wanted", [SIGNER, PRIMARY[-8:], ""])
def test_another_key_or_a_short_id_is_refused(wanted):
    """Eight digits can be forged in minutes; they name no key."""
    assert verdict(WHOLE, wanted=wanted) == Verdict.WRONG_KEY


def test_lines_without_gpgs_prefix_do_not_count():
    """Text that only looks like status is noise."""
    parsed = GpgStatus.parse(
        b"DECRYPTION_OKAY\n [GNUPG:] GOODMDC\n[GNUPG:] NODATA 1\n[GNUPG:] \n\xff\n"
    )

    assert parsed.lines == (("NODATA", "1"),)
