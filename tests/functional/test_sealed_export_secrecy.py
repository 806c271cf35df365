"""What the decryptor shows to others: nothing; and what it writes to a disk: nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.exports.sealed_export import SealedExport
from tests.support import exports
from tests.support.exports import PASSPHRASE, keyring, keys_of
from tests.support.programs import require

ROOT = Path(__file__).resolve().parents[2]
PLAIN = b"".join(
    b"row %09d of an export that fills several pipes\n" % row for row in range(200_000)
)


@pytest.fixture(params=["sequoia", "gpg", "age"])
def engine(request, tmp_path):
    """An export that is larger than every pipe, and what opens it with one of the engines."""
    return exports.large_export(tmp_path, request.param, PLAIN)


def test_the_child_shows_no_secret_and_is_not_dumpable(tmp_path, monkeypatch):
    """Neither argv nor environment hold a key, a passphrase or the vault's keys."""
    monkeypatch.setenv("OMISE_PUBLIC_KEY", "pkey_test_of_this_test")
    monkeypatch.setenv("EXPORT_PASSPHRASE", PASSPHRASE)
    path = tmp_path / "export"
    path.write_bytes(exports.by_gpg(PLAIN, "locked", compressed=False))
    before = exports.children()

    with SealedExport(path, keys_of("locked", passphrase=PASSPHRASE)) as export:
        next(export.prove())
        (child,) = exports.children() - before
        seen = b"".join(
            Path(f"/proc/{child}/{name}").read_bytes() for name in ("cmdline", "environ")
        )
        core = Path(f"/proc/{child}/limits").read_text()
        owner = Path(f"/proc/{child}/environ").stat().st_uid

    for secret in (PASSPHRASE.encode(), b"pkey_test_of_this_test", str(keyring().folder).encode()):
        assert secret not in seen
    assert re.search(r"Max core file size +([01]) +\1 ", core)
    assert owner == 0


def test_no_plain_byte_reaches_a_disk(engine, tmp_path):
    """No process of a pass opens a file for writing, other than pipes and gpg's private folder."""
    require("strace")
    path, keys = engine
    log = tmp_path / "strace"
    code = exports.READS_ONE_BLOCK.replace(
        "sys.stdin.read()", "[None for _ in first]; assert first.complete"
    )
    command = [sys.executable, "-B", "-c", code, path, keys.key_file, *keys.signer_files]
    trace = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,creat", "-o", str(log)]

    subprocess.run(
        list(map(str, [*trace, *command])),
        check=True,
        cwd=ROOT,
        capture_output=True,
        env=exports.unmeasured(),
    )
    writing = [
        line for line in log.read_text().splitlines() if "O_WRONLY" in line or "O_RDWR" in line
    ]
    harmless = (
        "/dev/null",
        "/dev/stdout",
        "/dev/tty",
        "cardferry-",
        "ENOENT",
        "/gnupg/",
        "/__pycache__/",
    )

    assert [line for line in writing if not any(word in line for word in harmless)] == []
    assert log.read_text().count("openat") > 100
