"""Sealed exports open, whoever made them, and open twice; real gpg, age, Sequoia and pyrage."""

import hashlib
from itertools import product

import pytest

from pipeline.exports.sealed_export import ExportFile, Origin, SealedExport
from tests.support import exports
from tests.support.exports import PASSPHRASE, keyring, keys_of
from tests.support.sampled import sampled

PLAIN = b"id,number\n" + b"".join(b"c-%06d,not a number\n" % row for row in range(20_000))


def opened(path, keys):
    """Open an export twice; give the first pass and both passes' bytes."""
    with SealedExport(path, keys) as export:
        first = export.prove()
        proved = b"".join(first)
        again = b"".join(export.reread(first.file))
        return first, proved, again


def written(folder, sealed, name="export.pgp"):
    path = folder / name
    path.write_bytes(sealed)
    return path


@pytest.mark.parametrize(
    ("to", "signer", "compressed", "armored"),
    sampled(product(("rsa", "cv25519"), (None, "signer"), (True, False), (True, False)), 3),
)
def test_a_message_made_by_gpg_opens_twice(tmp_path, to, signer, compressed, armored):
    """Whatever gpg's options, both passes give the sender's bytes, and the key is known."""
    sealed = exports.by_gpg(PLAIN, to, signer=signer, compressed=compressed, armored=armored)

    first, proved, again = opened(written(tmp_path, sealed), keys_of(to))

    assert proved == again == PLAIN
    assert first.origin == Origin(keyring().fingerprint(to), None, "sequoia")


@pytest.mark.parametrize(
    ("to", "signer", "armored"),
    sampled(product(("rsa", "cv25519"), (None, "signer"), (True, False)), 3),
)
def test_a_message_made_by_sequoia_opens_twice(tmp_path, to, signer, armored):
    """Packets of RFC 9580 open as well, signed or not, armored or not."""
    sealed = exports.by_sequoia(PLAIN, to, signer=signer, armored=armored)

    first, proved, again = opened(written(tmp_path, sealed), keys_of(to))

    assert proved == again == PLAIN
    assert first.origin.key_fingerprint == keyring().fingerprint(to)


@pytest.mark.parametrize("armored", [True, False])
@pytest.mark.parametrize("make", [exports.by_age, exports.by_pyrage])
def test_an_age_file_opens_twice(tmp_path, make, armored):
    """The age program's files and pyrage's open, armored or not, and name the recipient."""
    path = written(tmp_path, make(PLAIN, armored=armored), "export.age")

    first, proved, again = opened(path, keys_of("age"))

    assert proved == again == PLAIN
    assert first.origin == Origin(keyring().fingerprint("age"), None, "age")


@pytest.mark.parametrize("armored", [True, False])
def test_an_age_file_opens_by_passphrase(tmp_path, armored):
    """A passphrase alone opens an age file that was sealed with it."""
    path = written(tmp_path, exports.by_passphrase(PLAIN, armored=armored), "export.age")

    first, proved, again = opened(path, keys_of(passphrase=PASSPHRASE))

    assert proved == again == PLAIN
    assert first.origin == Origin(None, None, "age")


@pytest.mark.slow
def test_a_passphrase_opens_the_key_that_opens_the_export(tmp_path):
    """A gpg key that is protected by a passphrase opens with it, by either engine."""
    sealed = exports.by_gpg(PLAIN, "locked", signer="signer")
    keys = keys_of("locked", passphrase=PASSPHRASE)
    signed = keys_of("locked", passphrase=PASSPHRASE, signers=["signer"])

    _, by_sequoia, _ = opened(written(tmp_path, sealed), keys)
    _, by_gpg, _ = opened(written(tmp_path, sealed), signed)

    assert by_sequoia == by_gpg == PLAIN


def test_a_passphrase_opens_an_age_identity(tmp_path):
    """An identity file that is itself sealed by passphrase opens age exports."""
    path = written(tmp_path, exports.by_pyrage(PLAIN), "export.age")

    _, proved, _ = opened(path, keys_of("age_locked", passphrase=PASSPHRASE))

    assert proved == PLAIN


def test_a_passphrase_that_the_key_does_not_need_does_no_harm(tmp_path):
    """A configured passphrase is ignored where the key is not protected."""
    sealed = exports.by_gpg(PLAIN, "cv25519")

    _, proved, _ = opened(written(tmp_path, sealed), keys_of("cv25519", passphrase=PASSPHRASE))

    assert proved == PLAIN


@pytest.mark.parametrize(
    ("to", "compressed"),
    sampled([("rsa", True), ("rsa", False), ("cv25519", False), ("cv25519", True)], 2),
)
def test_a_signature_by_an_allowed_signer_is_reported(tmp_path, to, compressed):
    """With signers set, the valid signature's certificate stands in the origin."""
    sealed = exports.by_gpg(PLAIN, to, signer="signer", compressed=compressed)
    keys = keys_of(to, signers=["stranger", "signer"])

    first, proved, again = opened(written(tmp_path, sealed), keys)

    assert proved == again == PLAIN
    assert first.origin.signer == keyring().fingerprint("signer")


def test_a_signature_in_new_packets_is_judged_by_sequoia(tmp_path):
    """What gpg 2.2 cannot read, Sequoia judges."""
    sealed = exports.by_sequoia(PLAIN, signer="signer")

    first, _, _ = opened(written(tmp_path, sealed), keys_of("cv25519", signers=["signer"]))

    assert first.origin.signer == keyring().fingerprint("signer")
    assert first.origin.engine == "sequoia"


@pytest.mark.parametrize("signers", [(), ("signer",)])
def test_a_key_in_gpgs_own_keyring_opens(tmp_path, monkeypatch, signers):
    """A fingerprint instead of a key file leaves the key where it is."""
    monkeypatch.setenv("GNUPGHOME", str(keyring().gpg_home))
    fingerprint = keyring().fingerprint("cv25519")
    sealed = exports.by_gpg(PLAIN, "cv25519", signer="signer")

    first, proved, again = opened(
        written(tmp_path, sealed), keys_of(gpg=fingerprint, signers=signers)
    )

    assert proved == again == PLAIN
    assert first.origin.key_fingerprint == fingerprint
    assert first.origin.engine == "gpg"


def test_a_plain_file_opens_where_that_is_allowed(tmp_path):
    """With `allow_plaintext` a plain file is its own plain text."""
    first, proved, again = opened(written(tmp_path, PLAIN, "export.csv"), keys_of(plain=True))

    assert proved == again == PLAIN
    assert first.origin == Origin(None, None, "plain")


def test_an_empty_text_inside_a_sealed_export_is_fine(tmp_path):
    """An export of nothing is no damage; the reader judges it."""
    for name, sealed, key in (
        ("a.pgp", exports.by_gpg(b""), "cv25519"),
        ("a.age", exports.by_pyrage(b""), "age"),
    ):
        first, proved, _ = opened(written(tmp_path, sealed, name), keys_of(key))

        assert proved == b""
        assert first.complete


def test_the_suffix_does_not_matter_to_sealed_content(tmp_path):
    """Content decides: an age file opens under any name."""
    path = written(tmp_path, exports.by_pyrage(PLAIN), "export.csv.bin")

    _, proved, _ = opened(path, keys_of("age"))

    assert proved == PLAIN


def test_the_digest_describes_the_sealed_bytes(tmp_path):
    """`digest` and the first pass agree on size, sha256 and every block."""
    sealed = exports.by_gpg(PLAIN * 8, compressed=False)
    path = written(tmp_path, sealed)
    blocks = [sealed[at : at + 2**20] for at in range(0, len(sealed), 2**20)]

    with SealedExport(path, keys_of("cv25519")) as export:
        digest = export.digest()
        first = export.prove()
        for _ in first:
            pass

    expected = ExportFile(
        path=path,
        name="export.pgp",
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        block_digests=tuple(hashlib.sha256(block).digest() for block in blocks),
        kind="openpgp",
    )

    assert expected == digest == first.file
    assert len(blocks) > 2


def test_nothing_is_proved_before_the_last_byte(tmp_path):
    """Origin and digest cannot be asked for in the middle of a pass."""
    path = written(tmp_path, exports.by_gpg(PLAIN, compressed=False))

    with SealedExport(path, keys_of("cv25519")) as export, export.prove() as first:
        next(first)

        assert not first.complete
        with pytest.raises(RuntimeError):
            _ = first.origin
        with pytest.raises(RuntimeError):
            _ = first.file
