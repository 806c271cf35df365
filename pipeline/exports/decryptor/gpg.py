"""Runs gpg in the child, and judges by its status lines whether its plain bytes may be believed.

gpg hands out bytes before it knows that they are genuine, so its status lines decide, all of
them together: one message, one plaintext, decrypted by the key that is meant, integrity proved,
signed where that is asked for, and exit code 0.

Source: GnuPG's doc/DETAILS, "Format of the --status-fd output"; checked with gpg 2.2.40.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.exports.container import is_age_identity
from pipeline.exports.decryptor.gpg_home import clear_home
from pipeline.exports.decryptor.gpg_status import GpgStatus, verdict_of
from pipeline.exports.decryptor.locked_keys import locked
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from pipeline.exports.decryptor.protocol import Answer, Request

_GPG: Final = ("gpg", "--batch", "--no-tty", "--no-auto-key-locate", "--no-auto-key-retrieve")
_HAS_SECRET: Final = 16
"""The bit of IMPORT_OK that says that a secret key came along."""
_RANDOM_BYTES: Final = 32
_AGENT_FORGETS: Final = "default-cache-ttl 0\nmax-cache-ttl 0\nignore-cache-for-signing\n"
"""The agent outlives a kill of our processes, and must not know the passphrase then."""
_NO_STRETCHING: Final = "s2k-count 65536\n"
"""The least that the agent takes. It would measure first how often it can hash a passphrase in a
tenth of a second, and hash ours as often for every key: half a second that a random one needs not."""


def open_with_gpg(request: Request, key: bytes) -> Answer:
    """Decrypt stdin to stdout.

    Args:
        request: Passphrase, signers, the key in gpg's own keyring and the private folder.
        key: The secret key's file, empty where the key is in gpg's own keyring.

    Raises:
        Refused: With why not.
    """
    try:
        options, allowed, passphrase = _prepared(request, key)
        status, code = _decrypt([*_GPG, *options], passphrase)
    except FileNotFoundError:
        raise Refused(Verdict.GPG_MISSING) from None
    finally:
        if request.home is not None:
            clear_home(request.home)
    return verdict_of(
        status,
        code,
        allowed=allowed,
        wanted=request.gpg_fingerprint,
        by_password=request.by_password,
    )


def _prepared(request: Request, key: bytes) -> tuple[list[str], frozenset[str], str | None]:
    """Fill the private folder; give gpg's options, who may have signed, and the passphrase."""
    options, passphrase = ["--trust-model", "always"], request.passphrase
    if passphrase is not None or (request.home and not request.gpg_fingerprint):
        options += ["--pinentry-mode", "loopback"]
    if request.home is None:
        return options, frozenset(), passphrase
    private = ["--homedir", request.home, "--no-options"]
    # Before gpg starts the agent, which it may do for a certificate, too.
    (Path(request.home) / "gpg-agent.conf").write_text(
        _AGENT_FORGETS + (_NO_STRETCHING if passphrase is None else "")
    )
    signers = [
        print_ for signer in request.signers for print_, _ in _imported(private, signer) if print_
    ]
    if len(signers) < len(request.signers):
        raise Refused(Verdict.SIGNERS_UNUSABLE)
    allowed = frozenset(signers)
    if request.gpg_fingerprint:
        return [*options, "--keyring", f"{request.home}/pubring.kbx"], allowed, passphrase
    if not request.by_password:
        passphrase = _with_secret_key(private, key, passphrase)
    return [*private, *options], allowed, passphrase


def _with_secret_key(private: list[str], key: bytes, passphrase: str | None) -> str | None:
    """Import the secret key, under a passphrase in any case; give the one that opens it.

    A key that has none gets a random one: what a kill leaves of the folder opens nothing then.
    """
    if is_age_identity(key):
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    own = passphrase or secrets.token_urlsafe(_RANDOM_BYTES)
    ready = locked(key, own)
    imported = _imported(private, ready.octets if ready else key)
    if not any(is_secret for _, is_secret in imported):
        raise Refused(Verdict.KEY_UNUSABLE)
    if ready is not None:
        return own if ready.were_open else passphrase
    return own if _locked_by_gpg(private, imported, own) else passphrase


def _locked_by_gpg(private: list[str], imported: list[tuple[str, bool]], passphrase: str) -> bool:
    """Let gpg put keys that only it can read under a passphrase; tell whether one took it."""
    by_us = ("--pinentry-mode", "loopback", "--passphrase-fd", "0")
    took = False
    for print_ in dict.fromkeys(print_ for print_, is_secret in imported if is_secret):
        run = subprocess.run(  # noqa: S603 - fixed program, no shell.
            [*_GPG, *private, *by_us, "--status-fd", "1", "--passwd", print_],
            input=passphrase.encode() + b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        took = took or any(name == "SUCCESS" for name, *_ in GpgStatus.parse(run.stdout).lines)
    return took


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
