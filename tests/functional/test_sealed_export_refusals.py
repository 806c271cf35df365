"""Exports that must not be accepted: each refusal has its exit code, its reason and a next step."""

import os
from pathlib import Path

import pytest

from pipeline.errors import ExportRefused, LocalStorageFailed
from pipeline.exports.sealed_export import Limits, SealedExport
from pipeline.exports.verdict import WORDS, Verdict
from tests.support import exports
from tests.support.exports import PASSPHRASE, keyring, keys_of
from tests.support.sampled import one_of_each

PLAIN = b"id,number\n" + b"c-1,not a number\n" * 1000

SEALED = {
    "gpg": lambda: exports.by_gpg(PLAIN),
    "gpg signed": lambda: exports.by_gpg(PLAIN, signer="signer"),
    "gpg by stranger": lambda: exports.by_gpg(PLAIN, signer="stranger"),
    "gpg locked": lambda: exports.by_gpg(PLAIN, "locked"),
    "gpg password": lambda: keyring().gpg("--symmetric", stdin=PLAIN),
    "gpg clear": lambda: keyring().gpg("--local-user", "signer@example.org", "-s", stdin=PLAIN),
    "gpg weak hash": lambda: exports.by_gpg(
        PLAIN, "rsa", signer="rsa", extra=["--digest-algo", "SHA1"]
    ),
    "gpg without mdc": lambda: exports.by_gpg(
        PLAIN, extra=["--rfc2440", "--disable-mdc", "--cipher-algo", "AES"]
    ),
    "gpg followed by more": lambda: exports.by_gpg(PLAIN) + b"junk",
    "gpg twice": lambda: exports.by_gpg(PLAIN) * 2,
    "gpg to nobody": lambda: exports.by_gpg(PLAIN, extra=["--throw-keyids"]),
    "sequoia": lambda: exports.by_sequoia(PLAIN),
    "sequoia by stranger": lambda: exports.by_sequoia(PLAIN, signer="stranger"),
    "public key": lambda: keyring().public("rsa").read_bytes(),
    "age": lambda: exports.by_pyrage(PLAIN),
    "age passphrase": lambda: exports.by_passphrase(PLAIN),
    "age hard": lambda: exports.by_passphrase(PLAIN, work_factor=30),
    "age followed by more": lambda: exports.by_pyrage(PLAIN) + b"junk",
    "plain": lambda: PLAIN,
    "thai": lambda: "รหัส,เลขบัตร\n".encode("tis-620"),
    "nothing": lambda: b"",
}

CASES = [
    # What is sealed, its name, what is configured, and why it is refused.
    ("gpg", "e.pgp", {}, Verdict.NO_KEY),
    ("gpg", "e.pgp", {"name": "rsa"}, Verdict.WRONG_KEY),
    ("gpg", "e.pgp", {"name": "rsa", "signers": ["signer"]}, Verdict.WRONG_KEY),
    ("gpg", "e.pgp", {"name": "age"}, Verdict.KEY_OF_OTHER_KIND),
    ("gpg", "e.pgp", {"name": "age", "signers": ["signer"]}, Verdict.KEY_OF_OTHER_KIND),
    ("gpg", "e.pgp", {"name": "cv25519", "signers": ["signer"]}, Verdict.UNSIGNED),
    ("gpg signed", "e.pgp", {"name": "cv25519", "signers": ["stranger"]}, Verdict.SIGNER_UNKNOWN),
    ("gpg by stranger", "e", {"name": "cv25519", "signers": ["signer"]}, Verdict.SIGNER_UNKNOWN),
    ("gpg locked", "e.pgp", {"name": "locked"}, Verdict.PASSPHRASE_NEEDED),
    ("gpg locked", "e.pgp", {"name": "locked", "passphrase": "x"}, Verdict.WRONG_PASSPHRASE),
    ("gpg locked", "e.pgp", {"name": "locked", "passphrase": ""}, Verdict.PASSPHRASE_NEEDED),
    (
        "gpg locked",
        "e.pgp",
        {"name": "locked", "signers": ["signer"]},
        Verdict.PASSPHRASE_NEEDED,
    ),
    (
        "gpg locked",
        "e.pgp",
        {"name": "locked", "passphrase": "x", "signers": ["signer"]},
        Verdict.WRONG_PASSPHRASE,
    ),
    ("gpg password", "e.pgp", {"name": "rsa"}, Verdict.PASSWORD_ONLY),
    ("gpg clear", "e.pgp", {"name": "rsa"}, Verdict.NOT_ENCRYPTED),
    ("gpg weak hash", "e.pgp", {"name": "rsa", "signers": ["rsa"]}, Verdict.SIGNATURE_BAD),
    ("gpg without mdc", "e.pgp", {"name": "cv25519"}, Verdict.NO_INTEGRITY),
    ("gpg followed by more", "e.pgp", {"name": "cv25519"}, Verdict.TRAILING),
    ("gpg twice", "e.pgp", {"name": "cv25519"}, Verdict.TRAILING),
    ("gpg to nobody", "e.pgp", {"name": "rsa"}, Verdict.WRONG_KEY),
    ("sequoia", "e.pgp", {"name": "cv25519", "signers": ["signer"]}, Verdict.UNSIGNED),
    # gpg calls its packets no data: nobody changed it.
    ("sequoia", "e.pgp", {"name": "cv25519", "engine": "gpg"}, Verdict.BEYOND_GPG),
    ("sequoia", "e.pgp", {"gpg": "0" * 40}, Verdict.BEYOND_GPG),
    (
        "sequoia",
        "e.pgp",
        {"name": "cv25519", "engine": "gpg", "passphrase": "x"},
        Verdict.BEYOND_GPG,
    ),
    (
        "sequoia by stranger",
        "e.pgp",
        {"name": "cv25519", "signers": ["signer"]},
        Verdict.SIGNER_UNKNOWN,
    ),
    ("public key", "e.asc", {"name": "rsa"}, Verdict.NOT_ENCRYPTED),
    ("age", "e.age", {}, Verdict.NO_KEY),
    ("age", "e.age", {"name": "age_stranger"}, Verdict.WRONG_KEY),
    ("age", "e.age", {"name": "rsa"}, Verdict.KEY_OF_OTHER_KIND),
    ("age", "e.age", {"gpg": "0" * 40}, Verdict.KEY_OF_OTHER_KIND),
    ("age", "e.age", {"name": "age", "signers": ["signer"]}, Verdict.SIGNATURE_IMPOSSIBLE),
    ("age", "e.age", {"name": "age_locked"}, Verdict.PASSPHRASE_NEEDED),
    ("age", "e.age", {"name": "age_locked", "passphrase": "x"}, Verdict.WRONG_PASSPHRASE),
    ("age passphrase", "e.age", {}, Verdict.PASSPHRASE_NEEDED),
    ("age passphrase", "e.age", {"name": "age"}, Verdict.PASSPHRASE_NEEDED),
    ("age passphrase", "e.age", {"passphrase": "x"}, Verdict.WRONG_PASSPHRASE),
    ("age hard", "e.age", {"passphrase": PASSPHRASE}, Verdict.WORK_FACTOR),
    ("age followed by more", "e.age", {"name": "age"}, Verdict.DAMAGED),
    ("plain", "e.csv", {"name": "rsa"}, Verdict.NOT_SEALED),
    ("plain", "e.pgp", {"plain": True}, Verdict.NOT_SEALED),
    ("plain", "e.csv", {"plain": True, "signers": ["signer"]}, Verdict.SIGNATURE_IMPOSSIBLE),
    ("thai", "e.csv", {"name": "rsa"}, Verdict.NOT_SEALED),
    ("nothing", "e.pgp", {"name": "rsa"}, Verdict.EMPTY),
    ("nothing", "e.csv", {"plain": True}, Verdict.EMPTY),
]


def prove(path, keys, limits=None):
    with SealedExport(path, keys, limits) as export:
        for _ in export.prove():
            pass


def refusal(path, keys, limits=None):
    with pytest.raises(ExportRefused) as caught:
        prove(path, keys, limits)
    return caught.value


def kind_of(number):
    """Give what a case is one of: one seal, and one reason."""
    sealed, _, _, verdict = CASES[number]
    return (sealed.partition(" ")[0], verdict)


@pytest.mark.parametrize(
    "number",
    one_of_each(range(len(CASES)), kind_of),
    ids=[f"{case[0]}, {case[3].value}, {number}" for number, case in enumerate(CASES)],
)
def test_an_export_is_refused_for_its_own_reason(tmp_path, number):
    """Each way to be wrong is named, with what to do next, and ends with exit code 6.

    By default one of each reason for each kind of seal; all of them in the slow tests.
    """
    sealed, name, configured, verdict = CASES[number]
    path = tmp_path / name
    path.write_bytes(SEALED[sealed]())

    error = refusal(path, keys_of(**configured))

    said = WORDS[verdict][0].partition("{")[0]
    assert error.message.startswith(f"{name}: {said}")
    assert error.message == f"{name}: {said}" or verdict is Verdict.TRAILING
    assert WORDS[verdict][1] == error.next_step
    assert error.exit_code == 6


def test_every_verdict_but_ok_has_words():
    """No verdict can end in a missing message."""
    assert set(Verdict) - {Verdict.OK} == set(WORDS)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "link", "unreadable name"])
def test_only_a_regular_file_is_opened(tmp_path, kind):
    """A missing file, folder, FIFO or symbolic link is refused at once, without hanging."""
    path = tmp_path / "export.pgp"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "real.pgp").write_bytes(exports.by_gpg(PLAIN))
        path.symlink_to(tmp_path / "real.pgp")
    elif kind == "unreadable name":
        path = tmp_path / ("x" * 300)

    assert refusal(path, keys_of("cv25519")).exit_code == 6


def test_a_disk_that_refuses_a_read_is_local_trouble():
    """An input error is no fault of the export: exit code 5, the same command goes on."""
    with pytest.raises(LocalStorageFailed) as caught:
        # A regular file, by its kind, whose first page can never be read.
        prove(Path("/proc/self/mem"), keys_of(plain=True))

    assert caught.value.exit_code == 5


def test_a_compressed_signature_without_gpg_is_refused(tmp_path, monkeypatch):
    """Where Sequoia alone cannot judge the signature, the message names both ways out."""
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN, signer="signer"))
    monkeypatch.setenv("PATH", str(tmp_path))

    error = refusal(path, keys_of("cv25519", signers=["signer"]))

    assert WORDS[Verdict.SIGNATURE_UNJUDGED][1] == error.next_step


def test_an_uncompressed_signature_needs_no_gpg(tmp_path, monkeypatch):
    """Sequoia judges a signature that is not inside a compressed packet."""
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN, signer="signer", compressed=False))
    monkeypatch.setenv("PATH", str(tmp_path))

    with SealedExport(path, keys_of("cv25519", signers=["signer"])) as export:
        first = export.prove()
        for _ in first:
            pass

    assert keyring().fingerprint("signer") == first.origin.signer


def test_the_cap_on_plain_bytes_holds_for_every_kind(tmp_path):
    """Sealed or plain, an export that unpacks to more than allowed is refused."""
    for name, make, keys in (
        ("e.pgp", exports.by_gpg, keys_of("cv25519")),
        ("e.age", exports.by_pyrage, keys_of("age")),
        ("e.csv", bytes, keys_of(plain=True)),
    ):
        path = tmp_path / name
        path.write_bytes(make(PLAIN))

        error = refusal(path, keys, Limits(plain_bytes_max=len(PLAIN) - 1))
        prove(path, keys, Limits(plain_bytes_max=len(PLAIN)))

        assert f"{name}: {WORDS[Verdict.TOO_LARGE][0]}" == error.message
