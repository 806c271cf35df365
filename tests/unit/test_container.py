"""What a file is, by its first bytes and its name."""

import pytest

from pipeline.exports.container import kind_of
from pipeline.exports.verdict import Refused, Verdict

AGE_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"
PGP_ARMOR = b"-----BEGIN PGP MESSAGE-----\n\nhQEMAw==\n"


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"age-encryption.org/v1\n-> X25519 ", "age"),
        (AGE_ARMOR, "age"),
        (b"\n \r\n" + AGE_ARMOR, "age"),
        (PGP_ARMOR, "openpgp"),
        (b"\n" + PGP_ARMOR, "openpgp"),
        (b"\x85\x01\x0c\x03" + bytes(8), "openpgp"),
        (b"\x84\x5e\x03" + bytes(8), "openpgp"),
        (b"\xc1\xc0\x5a\x06\x15\x04" + bytes(8), "openpgp"),
        (b"\xca\x03PGP\x84\x5e\x03", "openpgp"),
        (b"\xd2\x10\x01" + bytes(15), "openpgp"),
        (b"id,number\n", "plain"),
        (b'{"id": 1}\n', "plain"),
        (b"\xef\xbb\xbfid,number\n", "plain"),
        (b"\xff\xfei\x00d\x00", "plain"),
        (b"\xfe\xff\x00i\x00d", "plain"),
        ("รหัส,เลข\n".encode(), "plain"),
        ("รหัส,เลข\n".encode("tis-620"), "plain"),
        ("ชื่อ,เลข\n".encode("tis-620"), "plain"),
        ("氏名,番号\n".encode("shift-jis"), "plain"),
        ("Überweisung,Nummer\n".encode("latin-1"), "plain"),
        (b"\x85", "plain"),
        (b"\x00\x00\x00", "plain"),
        (b"PK\x03\x04", "plain"),
        (b"\x1f\x8b\x08\x00", "plain"),
    ],
)
def test_the_first_bytes_tell_the_kind(first, kind):
    """Sealed files are known by their own marks; text by chance is never taken for a message."""
    assert kind == kind_of(first, "export.dat")


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        (b"", Verdict.EMPTY),
        (b"-----BEGIN PGP SIGNED MESSAGE-----\n", Verdict.NOT_ENCRYPTED),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", Verdict.NOT_ENCRYPTED),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", Verdict.NOT_ENCRYPTED),
        (b"\xa3\x01abc", Verdict.NOT_ENCRYPTED),
        (b"\xcb\x06b\x00\x00\x00\x00\x00", Verdict.NOT_ENCRYPTED),
        (b"\x90\x0d\x03\x00\x08\x01" + bytes(10), Verdict.NOT_ENCRYPTED),
        (b"\xc9\x10" + bytes(16), Verdict.NO_INTEGRITY),
    ],
)
def test_some_files_need_no_key_to_be_refused(first, verdict):
    """Empty, unencrypted, and unprotected files are refused at the first look."""
    with pytest.raises(Refused) as caught:
        kind_of(first, "export.dat")

    assert verdict == caught.value.verdict


@pytest.mark.parametrize("name", ["e.pgp", "e.GPG", "e.csv.asc", "e.age"])
def test_a_sealed_name_on_plain_content_is_a_contradiction(name):
    """A damaged first byte does not turn a sealed export into a plain one."""
    with pytest.raises(Refused) as caught:
        kind_of(b"\x05\x01\x0c\x03", name)

    assert caught.value.verdict == Verdict.NOT_SEALED
