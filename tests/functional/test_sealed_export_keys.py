"""Keys that cannot open anything: each is named, before anything is decrypted."""

import os
import shutil

import pytest

from pipeline.errors import ExportRefused, SettingsRefused
from pipeline.exports.sealed_export import SealedExport
from pipeline.exports.verdict import WORDS, Verdict
from tests.support import exports
from tests.support.exports import keyring, keys_of

PLAIN = b"id,number\n" + b"c-1,not a number\n" * 1000


def prove(path, keys, limits=None):
    with SealedExport(path, keys, limits) as export:
        for _ in export.prove():
            pass


def refusal(path, keys, limits=None):
    with pytest.raises(ExportRefused) as caught:
        prove(path, keys, limits)
    return caught.value


@pytest.mark.parametrize("content", [b"", b"junk", b"\x99\x01junk", b"AGE-SECRET-KEY-1NONSENSE\n"])
@pytest.mark.parametrize("make", [exports.by_gpg, exports.by_pyrage])
def test_a_key_file_without_a_key_is_refused(tmp_path, make, content):
    """Whatever lies in the key file, the refusal speaks of the key."""
    key = tmp_path / "my.key"
    key.write_bytes(content)
    key.chmod(0o600)
    path = tmp_path / "export"
    path.write_bytes(make(PLAIN))

    error = refusal(path, exports.EnvelopeKeys(key_file=key))

    expected = {WORDS[Verdict.KEY_UNUSABLE][1], WORDS[Verdict.KEY_OF_OTHER_KIND][1]}

    assert error.next_step in expected


@pytest.mark.parametrize("signers", [(), ("signer",)])
def test_a_public_key_cannot_open_an_export(tmp_path, signers):
    """The public half in the place of the secret key is named as such."""
    key = tmp_path / "my.key"
    shutil.copy(keyring().public("cv25519"), key)
    key.chmod(0o600)
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN))
    signer_files = tuple(keyring().public(name) for name in signers)

    error = refusal(path, exports.EnvelopeKeys(key_file=key, signer_files=signer_files))

    assert WORDS[Verdict.KEY_UNUSABLE][1] == error.next_step


@pytest.mark.parametrize("make", [exports.by_gpg, exports.by_sequoia])
@pytest.mark.parametrize("content", [b"", b"junk\n"])
def test_a_signer_file_without_a_certificate_is_refused(tmp_path, make, content):
    """By either engine, a signer's file that holds no certificate is named."""
    signer = tmp_path / "sender.asc"
    signer.write_bytes(content)
    path = tmp_path / "export"
    path.write_bytes(make(PLAIN, signer="signer"))
    keys = exports.EnvelopeKeys(key_file=keyring().secret("cv25519"), signer_files=(signer,))

    assert WORDS[Verdict.SIGNERS_UNUSABLE][1] == refusal(path, keys).next_step


@pytest.mark.timeout(20)
def test_a_signer_file_that_is_a_pipe_is_refused(tmp_path):
    """Nobody may ever write to it; it is not waited for."""
    os.mkfifo(tmp_path / "sender.asc")
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN, signer="signer"))
    keys = exports.EnvelopeKeys(
        key_file=keyring().secret("cv25519"), signer_files=(tmp_path / "sender.asc",)
    )

    with pytest.raises(SettingsRefused) as caught:
        prove(path, keys)

    assert "export.signers: sender.asc: not a regular file" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("missing", "export.key: no such file or directory"),
        ("group", "export.key: open to group or others; chmod 600 it"),
        ("others", "export.key: open to group or others; chmod 600 it"),
        ("folder", "export.key: not a regular file"),
        ("fifo", "export.key: not a regular file"),
        ("signer", "export.signers: nobody.asc: no such file or directory"),
    ],
)
def test_a_key_file_that_is_not_private_is_refused(tmp_path, kind, problem):
    """Missing, open to others or no file at all: exit code 7, before anything is decrypted."""
    key, signers = tmp_path / "my.key", ()
    if kind == "folder":
        key.mkdir()
    elif kind == "fifo":
        os.mkfifo(key, 0o600)
    elif kind != "missing":
        shutil.copy(keyring().secret("cv25519"), key)
        key.chmod({"group": 0o640, "others": 0o604}.get(kind, 0o600))
    if kind == "signer":
        signers = (tmp_path / "nobody.asc",)
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN))

    with pytest.raises(SettingsRefused) as caught:
        prove(path, exports.EnvelopeKeys(key_file=key, signer_files=signers))

    assert (problem,) == caught.value.problems
    assert caught.value.exit_code == 7


def test_a_key_that_gpg_does_not_hold_is_refused(tmp_path, monkeypatch):
    """With `key = { gpg = ... }` only that key counts, though another one would open it."""
    monkeypatch.setenv("GNUPGHOME", str(keyring().gpg_home))
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN, "cv25519"))

    error = refusal(path, keys_of(gpg=keyring().fingerprint("rsa")))

    assert WORDS[Verdict.WRONG_KEY][1] == error.next_step


def test_a_gpg_key_without_gpg_is_refused(tmp_path, monkeypatch):
    """A fingerprint is of no use where gpg is not installed, and the message says so."""
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN))
    monkeypatch.setenv("PATH", str(tmp_path))

    error = refusal(path, keys_of(gpg=keyring().fingerprint("cv25519")))

    assert WORDS[Verdict.GPG_MISSING][1] == error.next_step
