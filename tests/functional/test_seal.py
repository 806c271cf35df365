"""`cardferry seal`: what it seals can be opened by the usual programs and by us."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from pipeline.cli.seal import seal
from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.exports.seal import seal_file
from pipeline.exports.sealed_export import SealedExport
from tests.support.exports import PASSPHRASE, keyring, keys_of
from tests.support.programs import require

PLAIN = b"id,number\nc-1,not a number\n" * 10_000


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "cards.csv"
    path.write_bytes(PLAIN)
    return path


def run(*arguments, stdin=None):
    return CliRunner().invoke(seal, list(map(str, arguments)), input=stdin)


def opened(path, keys):
    with SealedExport(path, keys) as export:
        first = export.prove()
        return b"".join(first), first.origin


@pytest.mark.parametrize("armor", [True, False])
@pytest.mark.parametrize(
    ("to", "suffix"), [("rsa", ".pgp"), ("cv25519", ".pgp"), ("locked", ".pgp"), ("age", ".age")]
)
def test_the_key_decides_the_kind_and_the_name(source, to, suffix, armor):
    """Without -o the export lies beside the file, private, under its kind's suffix."""
    options = ["--armor"] if armor else []

    result = run(source, "--to", keyring().public(to), *options)
    target = source.with_name(f"cards.csv{suffix}")
    plain, origin = opened(target, keys_of(to, passphrase=PASSPHRASE))

    assert (result.exit_code, result.stdout) == (0, "")
    assert plain == PLAIN
    assert origin.key_fingerprint == keyring().fingerprint(to)
    assert target.stat().st_mode & 0o777 == 0o600


def test_age_and_gpg_open_what_seal_made(source, tmp_path):
    """Stock programs read our exports."""
    seal_file(source, tmp_path / "e.age", keyring().public("age"))
    seal_file(source, tmp_path / "e.pgp", keyring().public("locked"))
    age = [require("age"), "-d", "-i", keyring().secret("age"), tmp_path / "e.age"]

    by_age = subprocess.run(age, capture_output=True, check=True).stdout
    by_gpg = keyring().gpg("--decrypt", str(tmp_path / "e.pgp"))

    assert by_age == by_gpg == PLAIN


def test_a_recipient_may_be_given_by_itself(source):
    """`--to age1...` needs no file."""
    result = run(source, "--to", keyring().fingerprint("age"))

    assert result.exit_code == 0
    assert opened(source.with_name("cards.csv.age"), keys_of("age"))[0] == PLAIN


@pytest.mark.parametrize("to", ["rsa", "age"])
def test_a_secret_keys_file_stands_for_its_public_part(source, tmp_path, to):
    """Sealing to one's own secret key's file works, without a warning."""
    seal_file(source, tmp_path / "export", keyring().secret(to))

    assert opened(tmp_path / "export", keys_of(to))[0] == PLAIN


def test_an_export_can_be_signed(source, tmp_path):
    """`--sign-with` gives an export that `signers` accepts."""
    target = tmp_path / "export.pgp"

    result = run(
        source,
        "--to",
        keyring().public("rsa"),
        "-o",
        target,
        "--sign-with",
        keyring().secret("signer"),
    )
    _, origin = opened(target, keys_of("rsa", signers=["signer"]))

    assert result.exit_code == 0
    assert origin.signer == keyring().fingerprint("signer")


def test_a_protected_key_signs_with_its_passphrase(source, tmp_path):
    """The function takes the signing key's passphrase."""
    target, key = tmp_path / "export.pgp", keyring().secret("locked")

    seal_file(
        source, target, keyring().public("rsa"), sign_with=key, passphrase=SecretStr(PASSPHRASE)
    )

    assert opened(target, keys_of("rsa", signers=["locked"]))[1].signer is not None
    with pytest.raises(SettingsRefused):
        seal_file(source, target, keyring().public("rsa"), sign_with=key)


def test_an_older_export_is_kept_unless_forced(source):
    """A second run refuses with exit code 2; `--force` replaces the file whole."""
    arguments = [source, "--to", keyring().public("age")]
    target = source.with_name("cards.csv.age")

    first, older = run(*arguments), target.read_bytes()
    second, kept = run(*arguments), target.read_bytes()
    third, newer = run(*arguments, "--force"), target.read_bytes()

    assert [run_.exit_code for run_ in (first, second, third)] == [0, 2, 0]
    assert older == kept != newer


def test_standard_input_needs_a_name(tmp_path):
    """`seal -` without -o is a wrong command line."""
    result = run("-", "--to", keyring().public("age"), stdin=PLAIN)

    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", ["cv25519", "age"])
def test_a_pipe_can_be_sealed(tmp_path, to):
    """Bytes from a pipe are sealed as they come."""
    target = tmp_path / "export"
    code = "from pipeline.cli.seal import seal; seal()"
    command = [
        sys.executable,
        "-c",
        code,
        "-",
        "--to",
        str(keyring().public(to)),
        "-o",
        str(target),
    ]

    subprocess.run(command, input=PLAIN, check=True, capture_output=True)

    assert opened(target, keys_of(to))[0] == PLAIN


@pytest.mark.parametrize("content", [b"", b"junk\n", b"age1nonsense\n", b"AGE-SECRET-KEY-1NO\n"])
def test_a_key_that_is_none_is_refused(source, tmp_path, content):
    """Nothing is written for a key file without a key, and the problem names the option."""
    key = tmp_path / "key.pub"
    key.write_bytes(content)

    with pytest.raises(SettingsRefused) as caught:
        seal_file(source, tmp_path / "export", key)

    assert caught.value.problems[0].startswith("--to: ")
    assert not (tmp_path / "export").exists()


def test_a_key_that_cannot_be_sealed_to_is_refused(source, tmp_path):
    """A certificate for signing only is named as such, and nothing is written."""
    address, key = "sign-only@example.org", tmp_path / "key.pub"
    keyring().gpg("--quick-generate-key", address, "ed25519", "sign", "never")
    key.write_bytes(keyring().gpg("--export", address))

    with pytest.raises(SettingsRefused):
        seal_file(source, tmp_path / "export", key)

    assert not (tmp_path / "export").exists()


def test_a_missing_key_is_refused(source, tmp_path):
    """A key file that does not exist is a wrong setting."""
    with pytest.raises(SettingsRefused):
        seal_file(source, tmp_path / "export", tmp_path / "nobody.pub")


@pytest.mark.timeout(20)
def test_a_key_that_is_a_pipe_is_refused(source, tmp_path):
    """Nobody may ever write to it; it is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsRefused) as caught:
        seal_file(source, tmp_path / "export", tmp_path / "pipe")

    assert "--to: not a regular file" in str(caught.value)


def test_a_device_without_an_end_is_not_sealed(tmp_path):
    """It would fill the disk; the empty device may be sealed."""
    target = tmp_path / "export"
    with pytest.raises(LocalStorageFailed):
        seal_file(Path("/dev/zero"), target, keyring().public("cv25519"))
    assert not target.exists()

    seal_file(Path("/dev/null"), target, keyring().public("cv25519"))
    assert target.exists()


def test_an_age_export_cannot_be_signed(source, tmp_path):
    """A wish that age cannot fulfil is refused before anything is written."""
    with pytest.raises(SettingsRefused):
        seal_file(
            source,
            tmp_path / "export",
            keyring().public("age"),
            sign_with=keyring().secret("signer"),
        )

    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("to", ["cv25519", "age"])
@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_source_that_cannot_be_read_is_local_trouble(tmp_path, to, kind):
    """A missing file or a folder ends with exit code 5 and leaves no export."""
    source = tmp_path / "cards.csv"
    if kind == "folder":
        source.mkdir()

    with pytest.raises(LocalStorageFailed):
        seal_file(source, tmp_path / "export", keyring().public(to))

    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("to", ["cv25519", "age"])
def test_a_folder_that_does_not_exist_is_local_trouble(source, tmp_path, to):
    """The target's folder must be there."""
    with pytest.raises(LocalStorageFailed):
        seal_file(source, tmp_path / "nowhere" / "export", keyring().public(to))
