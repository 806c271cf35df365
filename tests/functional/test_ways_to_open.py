"""Messages and keys that one engine alone does not open, and files with more than one message."""

import subprocess

import pytest
from pydantic import SecretStr

from pipeline.errors import ExportRefused, KeyUnusable
from pipeline.exports.keys import KeyPlace
from pipeline.exports.sealed_export import EnvelopeKeys, SealedExport
from tests.support.exports import PASSPHRASE, by_gpg, by_pyrage, keyring
from tests.support.odd_keys import SPECS, odd_keys, ssh_key
from tests.support.programs import require
from tests.support.sampled import slow

PLAIN = b"id,number\nA,4242424242424242\n"


def opened(path, name="cv25519", **more):
    """Give the plain bytes of an export and who opened it."""
    with SealedExport(path, EnvelopeKeys(key_file=keyring().secret(name), **more)) as export:
        blocks = export.prove()
        return b"".join(blocks), blocks.origin.engine


@pytest.mark.parametrize(
    "option",
    [
        ["--compress-algo", "bzip2"],
        ["--cipher-algo", "3DES"],
        *(slow(["--cipher-algo", name]) for name in ("CAST5", "IDEA", "BLOWFISH")),
    ],
)
def test_what_sequoia_does_not_open_gpg_does(tmp_path, option):
    """Old ciphers with integrity protection and bzip2 are opened, by gpg."""
    require("gpg")
    path = tmp_path / "e.pgp"
    path.write_bytes(by_gpg(PLAIN, extra=option))
    assert opened(path) == (PLAIN, "gpg")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_armor_is_read_however_it_was_saved(tmp_path, encoding):
    """Text before the armor, a byte order mark and UTF-16 change nothing."""
    path = tmp_path / "e.asc"
    text = by_gpg(PLAIN, armored=True).decode()
    lead = "" if encoding.endswith(("-le", "-be")) else "Dear all,\r\n\r\n"
    path.write_bytes((lead + text.replace("\n", "\r\n")).encode(encoding))
    assert opened(path)[0] == PLAIN


@pytest.mark.parametrize(
    ("rest", "named"), [(b"\n", "line ends"), (bytes(3), "NUL"), (None, "another message")]
)
@pytest.mark.parametrize("armored", [False, True])
def test_what_follows_a_message_is_named(tmp_path, rest, named, armored):
    """A second message is never dropped, and a stray byte after a binary one is no damage."""
    path = tmp_path / "e.pgp"
    sealed = by_gpg(PLAIN, armored=armored)
    path.write_bytes(sealed + (sealed if rest is None else rest))
    if armored and rest is not None:
        assert opened(path)[0] == PLAIN
        return
    with pytest.raises(ExportRefused, match=named):
        opened(path)


def test_keys_of_a_list_are_tried_in_turn(tmp_path):
    """A message to the second key of a list is opened by it."""
    path = tmp_path / "e.pgp"
    path.write_bytes(by_gpg(PLAIN, "rsa"))
    more = (KeyPlace(file=keyring().secret("rsa")),)
    assert opened(path, more=more)[0] == PLAIN


@pytest.mark.parametrize("name", SPECS)
def test_an_odd_key_opens_what_was_sealed_to_it(tmp_path, name):
    """Small, old and weakly bound keys open; so do ours that have expired or were revoked since."""
    path = tmp_path / "e.pgp"
    path.write_bytes(odd_keys().sealed_to(name, PLAIN))
    keys = EnvelopeKeys(key_file=odd_keys().secret(name))

    with SealedExport(path, keys) as export:
        assert b"".join(export.prove()) == PLAIN


@pytest.mark.slow
def test_a_locked_key_in_gpg_is_told_as_locked(tmp_path, monkeypatch):
    """Where nobody can be asked for its passphrase, the key is to blame and not the export."""
    keys, path = odd_keys(), tmp_path / "e.pgp"
    spec = "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign,encrypt,cert\nPassphrase: abc"
    keys.make("locked", spec)
    path.write_bytes(keys.gpg("-r", "locked@odd.example.org", "--encrypt", stdin=PLAIN))
    keys.end_agent()
    monkeypatch.setenv("GNUPGHOME", str(keys.home))
    monkeypatch.delenv("GPG_TTY", raising=False)
    place = {"gpg_fingerprint": keys.fingerprint("locked")}

    for passphrase, said in ((None, "is locked"), ("wrong", "the passphrase does not open it")):
        secret = SecretStr(passphrase) if passphrase else None
        trial = EnvelopeKeys(**place, passphrase=secret)
        with SealedExport(path, trial) as export, pytest.raises(KeyUnusable, match=said):
            list(export.prove())
    with SealedExport(path, EnvelopeKeys(**place, passphrase=SecretStr("abc"))) as export:
        assert b"".join(export.prove()) == PLAIN


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_passphrase_that_is_missing_or_wrong_is_our_keys_fault(tmp_path, passphrase):
    """No export is to blame, so that nothing is put aside for it."""
    path = tmp_path / "e.pgp"
    path.write_bytes(by_gpg(PLAIN, "locked"))
    with pytest.raises(KeyUnusable):
        opened(path, "locked", passphrase=SecretStr(passphrase) if passphrase else None)
    assert opened(path, "locked", passphrase=SecretStr(PASSPHRASE))[0] == PLAIN


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        (b"\n", "blanks or line ends"),
        (b"\r\n\r\n", "blanks or line ends"),
        (bytes(5), "NUL bytes"),
        (b"\x0a\x00", "NUL bytes"),
        (None, "another age file"),
        (b"junk", "changed, cut short or added to"),
    ],
)
def test_what_follows_a_binary_age_file_is_named(tmp_path, rest, named):
    """A stray byte and a second file are told as what they are, also at chunks' ends."""
    path = tmp_path / "e.age"
    for plain in (PLAIN, PLAIN.ljust(65_536), bytes(200_000)):
        sealed = by_pyrage(plain)
        path.write_bytes(sealed + (sealed if rest is None else rest))
        with pytest.raises(ExportRefused, match=named):
            opened(path, "age")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_age_opens_with_ssh_keys(tmp_path, kind):
    """A plain SSH key opens; one with a passphrase is our key's fault and told as such."""
    require("age")
    path = tmp_path / "e.age"
    for passphrase in ("", "abcde"):
        key = ssh_key(tmp_path, kind, passphrase)
        command = ["age", "-R", f"{key}.pub", "-o", str(path)]
        subprocess.run(command, input=PLAIN, check=True)
        with SealedExport(path, EnvelopeKeys(key_file=key)) as export:
            if not passphrase:
                assert b"".join(export.prove()) == PLAIN
                continue
            with pytest.raises(KeyUnusable, match="SSH key"):
                list(export.prove())
