"""Sealed exports for tests: plain bytes in, the bytes of an export out, by every usual sealer.

Keys are made once a process, in a folder of their own, and go with the process. Everything here is real: gpg, age, Sequoia and pyrage.
"""

import base64
import hashlib
import hmac
import io
import os
import subprocess
from functools import cache
from pathlib import Path

import pyrage
import pysequoia
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from pipeline.exports.sealed_export import EnvelopeKeys
from tests.support.leftovers import at_the_end, folder_until_the_end
from tests.support.programs import require

PASSPHRASE = "correct hörse 1"
SUITES = {"rsa": pysequoia.CipherSuite.RSA2k, "cv25519": pysequoia.CipherSuite.Cv25519}
PEOPLE = {**SUITES, "signer": SUITES["cv25519"], "stranger": SUITES["cv25519"]}


class Keyring:
    """Every key that the tests seal to, sign with or open with, as files of one folder."""

    def __init__(self):
        self.folder = folder_until_the_end("cfk-")
        self.gpg_home = self.folder / "g"
        self.gpg_home.mkdir(mode=0o700)
        self._in_gpg = False
        at_the_end(self._end_agent)
        for name, suite in PEOPLE.items():
            self._make_openpgp(name, suite)
        for name in ("age", "age_stranger"):
            identity = pyrage.x25519.Identity.generate()
            self._write(f"{name}.key", f"# made for a test\n{identity}\n".encode())
            self._write(f"{name}.pub", f"{identity.to_public()}\n".encode())
        self._write("age_locked.key", by_passphrase(self.secret("age").read_bytes()))

    def secret(self, name):
        """Give the path of a secret key."""
        self._make_if_gpgs(name)
        return self.folder / f"{name}.key"

    def public(self, name):
        """Give the path of a public key."""
        self._make_if_gpgs(name)
        return self.folder / f"{name}.pub"

    def fingerprint(self, name):
        """Give a key's primary fingerprint, or an age key's recipient."""
        if name.startswith("age"):
            return self.public("age").read_text().strip()
        return pysequoia.Cert.from_file(str(self.public(name))).fingerprint

    def gpg(self, *arguments, stdin=b""):
        """Run gpg in the tests' own home, which knows every key, and give what it wrote."""
        if not self._in_gpg:
            require("gpg")
            self._in_gpg = True
            for name in PEOPLE:
                self.gpg("--import", str(self.folder / f"{name}.key"))
        fixed = ("--batch", "--yes", "--quiet", "--trust-model", "always")
        loopback = ("--pinentry-mode", "loopback", "--passphrase", PASSPHRASE)
        command = ["gpg", "--homedir", str(self.gpg_home), *fixed, *loopback, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout

    def _make_openpgp(self, name, suite):
        key = pysequoia.Tsk.generate(
            user_id=f"{name} <{name}@example.org>",
            cipher_suite=suite,
            profile=pysequoia.Profile.RFC4880,
        )
        self._write(f"{name}.key", str(key).encode())
        self._write(f"{name}.pub", str(key.extract_certificate()).encode())

    def _make_if_gpgs(self, name):
        """Make the key that only gpg makes so: with a passphrase, exported in binary."""
        if name != "locked" or (self.folder / "locked.key").exists():
            return
        address = "locked@example.org"
        self.gpg("--quick-generate-key", address, "future-default", "default", "never")
        self._write("locked.key", self.gpg("--export-secret-keys", address))
        self._write("locked.pub", self.gpg("--export", address))

    def _write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)

    def _end_agent(self):
        if self._in_gpg:
            command = ["gpgconf", "--homedir", str(self.gpg_home), "--kill", "all"]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


@cache
def keyring():
    """Give the process's keys, made at the first call."""
    return Keyring()


def keys_of(name=None, *, passphrase=None, signers=(), gpg=None, plain=False, engine="auto"):
    """Give the settings that open an export with one of the keyring's keys."""
    return EnvelopeKeys(
        key_file=keyring().secret(name) if name else None,
        gpg_fingerprint=gpg,
        engine=engine,
        passphrase=SecretStr(passphrase) if passphrase is not None else None,
        signer_files=tuple(keyring().public(signer) for signer in signers),
        allow_plaintext=plain,
    )


def by_gpg(plain, to="cv25519", *, signer=None, compressed=True, armored=False, extra=()):
    """Seal with gpg, as most senders do."""
    keyring().public(to)
    options = [*extra, *(() if compressed else ("-z", "0")), *(("--armor",) if armored else ())]
    if signer:
        options += ["--sign", "--local-user", f"{signer}@example.org"]
    return keyring().gpg(*options, "--recipient", f"{to}@example.org", "--encrypt", stdin=plain)


def by_sequoia(plain, to="cv25519", *, signer=None, armored=False):
    """Seal with Sequoia: packets of RFC 9580 (AEAD), where the key allows them."""
    certificate = pysequoia.Cert.from_file(str(keyring().public(to)))
    sign = pysequoia.Tsk.from_file(str(keyring().secret(signer))).signer() if signer else None
    return bytes(pysequoia.encrypt(plain, [certificate], signer=sign, armor=armored))


def by_age(plain, *, armored=False):
    """Seal with the age program."""
    require("age")
    recipient = keyring().fingerprint("age")
    command = ["age", "-r", recipient, *(("-a",) if armored else ())]
    return subprocess.run(command, input=plain, capture_output=True, check=True).stdout


def by_pyrage(plain, *, armored=False):
    """Seal with pyrage."""
    recipient = pyrage.x25519.Recipient.from_str(keyring().fingerprint("age"))
    sealed = io.BytesIO()
    pyrage.encrypt_io(io.BytesIO(plain), sealed, [recipient], armored)
    return sealed.getvalue()


def by_passphrase(plain, passphrase=PASSPHRASE, *, armored=False, work_factor=10):
    """Seal as age does with a passphrase, but at a work factor that tests can wait for."""
    salt, file_key, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    full_salt = b"age-encryption.org/v1/scrypt" + salt
    wrapping = hashlib.scrypt(passphrase.encode(), salt=full_salt, n=2**10, r=8, p=1, dklen=32)
    body = _unpadded(ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None))
    header = b"age-encryption.org/v1\n-> scrypt %s %d\n%s\n---" % (
        _unpadded(salt),
        work_factor,
        body,
    )
    mac = hmac.digest(HKDF(SHA256(), 32, b"", b"header").derive(file_key), header, "sha256")
    cipher = ChaCha20Poly1305(HKDF(SHA256(), 32, nonce, b"payload").derive(file_key))
    chunks = [plain[at : at + 65536] for at in range(0, len(plain), 65536)] or [b""]
    sealed = [
        cipher.encrypt(count.to_bytes(11, "big") + bytes([count == len(chunks) - 1]), chunk, None)
        for count, chunk in enumerate(chunks)
    ]
    octets = header + b" " + _unpadded(mac) + b"\n" + nonce + b"".join(sealed)
    return _armored(octets) if armored else octets


def unmeasured():
    """Give an environment in which coverage does not watch (and write files of its own)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def _unpadded(octets):
    return base64.b64encode(octets).rstrip(b"=")


def _armored(octets):
    text = base64.b64encode(octets)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    first, last = b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----"
    return b"\n".join([first, *lines, last, b""])


def large_export(folder, engine, plain):
    """Seal bytes so that one engine will open them; give the path and the keys."""
    path = folder / "export"
    if engine == "age":
        path.write_bytes(by_pyrage(plain))
        return path, keys_of("age")
    path.write_bytes(by_gpg(plain, signer="signer", compressed=False))
    return path, keys_of("cv25519", signers=["signer"] if engine == "gpg" else [])


def children():
    """Give the process ids of our living and dead children."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(word) for each in lists for word in each.read_text().split()}


READS_ONE_BLOCK = """
import sys
from pathlib import Path
from pipeline.exports.sealed_export import EnvelopeKeys, SealedExport
key, signers = Path(sys.argv[2]), tuple(map(Path, sys.argv[3:]))
export = SealedExport(Path(sys.argv[1]), EnvelopeKeys(key_file=key, signer_files=signers))
first = export.prove()
next(first)
lists = Path("/proc/self/task").glob("*/children")
print(*[word for each in lists for word in each.read_text().split()], flush=True)
sys.stdin.read()
"""
"""A program that starts a pass, names its child and waits; arguments: export, key, signers."""
