"""Messages and keys that one engine alone does not open, and files with more than one message."""

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.keys import KeyPlace
from pipeline.exports.sealed_export import EnvelopeKeys, SealedExport
from tests.support.exports import by_gpg, keyring
from tests.support.programs import require

PLAIN = b"id,number\nA,4242424242424242\n"


def opened(path, name="cv25519", **more):
    """Give the plain bytes of an export and who opened it."""
    with SealedExport(path, EnvelopeKeys(key_file=keyring().secret(name), **more)) as export:
        blocks = export.prove()
        return b"".join(blocks), blocks.origin.engine


@pytest.mark.parametrize(
    "option",
    [["--cipher-algo", "3DES"], ["--cipher-algo", "CAST5"], ["--compress-algo", "bzip2"]],
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
