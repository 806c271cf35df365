"""Keys that one meets in old keyrings, made by gpg: small, old, weakly bound, expired, revoked.

They lie in a home of gpg's own that lasts as long as the process.
"""

import os
import subprocess
from functools import cache

from tests.support.exports import keyring
from tests.support.leftovers import at_the_end, folder_until_the_end
from tests.support.programs import require

_RSA = "Key-Type: RSA\nKey-Length: {size}\nKey-Usage: sign,cert\nSubkey-Type: RSA\nSubkey-Length: {size}\nSubkey-Usage: encrypt"
_SHA1 = ("--cert-digest-algo", "SHA1", "--allow-weak-digest-algos")
SPECS = {
    "elgamal": (
        "Key-Type: DSA\nKey-Length: 1024\nSubkey-Type: ELG-E\nSubkey-Length: 1024",
        (),
    ),
    "rsa1024": (_RSA.format(size=1024), ()),
    "sha1": (_RSA.format(size=2048), _SHA1),
    "secp256k1": (
        "Key-Type: EDDSA\nKey-Curve: ed25519\nSubkey-Type: ECDH\nSubkey-Curve: secp256k1",
        (),
    ),
    "expired": (_RSA.format(size=2048) + "\nExpire-Date: 1y", ()),
    "revoked": (_RSA.format(size=2048), ()),
}
_THEN = ("--faked-system-time", "20200102T000000")


class OddKeys:
    """One home of gpg with the keys that were asked for."""

    def __init__(self):
        require("gpg")
        self.home = folder_until_the_end("cfo-")
        self.home.chmod(0o700)
        at_the_end(self.end_agent)

    def gpg(self, *arguments, stdin=b"", passphrase=""):
        """Run gpg in this home and give what it wrote."""
        fixed = ("--batch", "--yes", "--quiet", "--trust-model", "always")
        loopback = ("--pinentry-mode", "loopback", "--passphrase", passphrase)
        command = ["gpg", "--homedir", str(self.home), *fixed, *loopback, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout

    def end_agent(self):
        """End the agent, and with it what it remembers of passphrases."""
        command = ["gpgconf", "--homedir", str(self.home), "--kill", "all"]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)

    def fingerprint(self, name):
        """Give a key's primary fingerprint."""
        listed = self.gpg("--with-colons", "--list-keys", _address(name)).decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def sealed_to(self, name, plain):
        """Make a key and seal to it while it is good; afterwards it may be good no more."""
        spec, options = SPECS[name]
        clock = _THEN if name == "expired" else ()
        self.make(name, f"%no-protection\n{spec}", *clock, *options)
        sealed = self.gpg(*clock, *options[2:], "-r", _address(name), "--encrypt", stdin=plain)
        if name == "revoked":
            path = self.home / "openpgp-revocs.d" / f"{self.fingerprint(name)}.rev"
            # gpg keeps it from being imported by accident with a colon.
            self.gpg("--import", stdin=path.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
        return sealed

    def make(self, name, spec, *options):
        """Make a key by gpg's own description of it."""
        text = f"{spec}\nName-Email: {_address(name)}\n%commit\n"
        self.gpg(*options, "--gen-key", stdin=text.encode())

    def secret(self, name):
        """Give the path of a secret key as a file."""
        path = keyring().folder / f"odd-{name}.key"
        path.write_bytes(self.gpg("--export-secret-keys", _address(name)))
        path.chmod(0o600)
        return path


def _address(name):
    return f"{name}@odd.example.org"


@cache
def odd_keys():
    """Give the process's odd keys."""
    return OddKeys()


def ssh_key(folder, kind, passphrase=""):
    """Make an SSH key with ssh-keygen and give its path."""
    path = folder / f"ssh-{kind}{len(passphrase)}"
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", os.fspath(path)]
    require(words[0])
    subprocess.run(words, check=True)
    return path
