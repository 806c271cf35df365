"""Runs gpg in the child and believes its plain bytes only by what its status lines say of them.

gpg hands out bytes before it knows that they are genuine, so its status lines decide, all of
them together: one message, one plaintext, decrypted by the key that is meant, integrity proved,
signed where that is asked for, and exit code 0.

Source: GnuPG's doc/DETAILS, "Format of the --status-fd output"; checked with gpg 2.2.40.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pipeline.exports.container import is_age_identity
from pipeline.exports.decryptor.gpg_status import GpgStatus, verdict_of
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from pipeline.exports.decryptor.protocol import Answer, Request

_GPG: Final = ("gpg", "--batch", "--no-tty", "--no-auto-key-locate", "--no-auto-key-retrieve")
_HAS_SECRET: Final = 16
"""The bit of IMPORT_OK that says that a secret key came along."""


def open_with_gpg(request: Request, key: bytes) -> Answer:
    """Decrypt stdin to stdout.

    Args:
        request: Passphrase, signers, the key in gpg's own keyring and the private folder.
        key: The secret key's file, empty where the key is in gpg's own keyring.

    Raises:
        Refused: With why not.
    """
    try:
        options, allowed = _prepared(request, key)
        status, code = _decrypt([*_GPG, *options], request.passphrase)
    except FileNotFoundError:
        raise Refused(Verdict.GPG_MISSING) from None
    finally:
        _clear(request.home)
    return verdict_of(
        status,
        code,
        allowed=allowed,
        wanted=request.gpg_fingerprint,
        by_password=request.by_password,
    )


def _prepared(request: Request, key: bytes) -> tuple[list[str], frozenset[str]]:
    """Fill the private folder; give gpg's options and the fingerprints that may have signed."""
    options = ["--trust-model", "always"]
    if request.passphrase is not None or (request.home and not request.gpg_fingerprint):
        options += ["--pinentry-mode", "loopback"]
    if request.home is None:
        return options, frozenset()
    private = ["--homedir", request.home, "--no-options"]
    allowed = [
        print_ for signer in request.signers for print_, _ in _imported(private, signer) if print_
    ]
    if len(allowed) < len(request.signers):
        raise Refused(Verdict.SIGNERS_UNUSABLE)
    if request.gpg_fingerprint:
        return [*options, "--keyring", f"{request.home}/pubring.kbx"], frozenset(allowed)
    if request.by_password:
        return [*private, *options], frozenset(allowed)
    if is_age_identity(key):
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    if not any(secret for _, secret in _imported(private, key)):
        raise Refused(Verdict.KEY_UNUSABLE)
    return [*private, *options], frozenset(allowed)


def _imported(private: list[str], key: bytes) -> list[tuple[str, bool]]:
    """Import a file's keys; give each one's primary fingerprint and whether it is secret."""
    run = subprocess.run(  # noqa: S603 - fixed program, no shell.
        [*_GPG, *private, "--pinentry-mode", "loopback", "--status-fd", "1", "--import"],
        input=key,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    found = (fields for name, *fields in GpgStatus.parse(run.stdout).lines if name == "IMPORT_OK")
    return [(print_, bool(int(flags) & _HAS_SECRET)) for flags, print_ in found]


def _decrypt(command: list[str], passphrase: str | None) -> tuple[GpgStatus, int]:
    status_read, status_write = os.pipe2(os.O_CLOEXEC)
    secret_read, secret_write = os.pipe2(os.O_CLOEXEC)
    command += ["--status-fd", str(status_write)]
    if passphrase is not None:
        command += ["--passphrase-fd", str(secret_read)]
        os.write(secret_write, passphrase.encode() + b"\n")
    os.close(secret_write)
    gpg = subprocess.Popen(  # noqa: S603 - fixed program, no shell.
        [*command, "--decrypt"],
        stdin=0,
        stdout=1,
        stderr=subprocess.DEVNULL,  # It names ids and file names that are not ours to show.
        pass_fds=[status_write, secret_read],
    )
    os.close(status_write)
    os.close(secret_read)
    with open(status_read, "rb") as lines:  # noqa: PTH123 - a descriptor, not a path.
        status = GpgStatus.parse(lines.read())
    return status, gpg.wait()


def _clear(home: str | None) -> None:
    """End the agent that gpg started in the private folder and remove the folder."""
    if home is None:
        return
    for order in (["--kill", "all"], ["--remove-socketdir"]):
        with suppress(OSError):
            subprocess.run(  # noqa: S603 - fixed program, no shell.
                ["gpgconf", "--homedir", home, *order],  # noqa: S607 - found as gpg itself is.
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
    shutil.rmtree(home, ignore_errors=True)
