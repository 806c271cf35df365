"""Flipped bits, cut files, swapped files and bombs: goal is that no such export is ever proved.

Method: a small and a multi-block export of each kind are damaged at chosen places and opened with
the right key. The slow runs take 200 offsets and 100 lengths of each.
"""

import io
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.sealed_export import SealedExport
from pipeline.exports.sealed_file import BLOCK_BYTES
from pipeline.exports.verdict import WORDS, Verdict
from tests.support import exports
from tests.support.exports import PASSPHRASE, keyring, keys_of
from tests.support.sampled import slow

PLAIN = b"id,number\n" + b"c-1,not a number\n" * 6_000
SEALERS = {
    "gpg": (exports.by_gpg, {"name": "cv25519"}),
    "gpg rsa uncompressed": (
        lambda plain: exports.by_gpg(plain, "rsa", compressed=False),
        {"name": "rsa"},
    ),
    "gpg signed": (
        lambda plain: exports.by_gpg(plain, signer="signer"),
        {"name": "cv25519", "signers": ["signer"]},
    ),
    "sequoia": (exports.by_sequoia, {"name": "cv25519"}),
    "age": (exports.by_pyrage, {"name": "age"}),
    "age passphrase": (exports.by_passphrase, {"passphrase": PASSPHRASE}),
}
DAILY = [
    name if name in {"gpg signed", "sequoia", "age", "age passphrase"} else slow(name)
    for name in SEALERS
]
BEGINNING = 400
"""Where the open packets and headers lie, which need the most care."""


def require_refusal(path, keys):
    with SealedExport(path, keys) as export:
        first = export.prove()
        for _ in first:
            pass
    pytest.fail(f"{path.name} was proved")


def damaged(folder, sealed, keys):
    """Open damaged bytes and give the refusal."""
    path = folder / "export"
    path.write_bytes(sealed)
    with pytest.raises(ExportRefused) as caught:
        require_refusal(path, keys)
    return caught.value


def flipped(sealed, offset, bit):
    changed = bytearray(sealed)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def offsets(sealed, count, seed):
    """Half of them in the beginning, the rest anywhere, first and last byte always."""
    chance = random.Random(seed)
    early = [chance.randrange(min(BEGINNING, len(sealed))) for _ in range(count // 2)]
    late = [chance.randrange(len(sealed)) for _ in range(count - count // 2 - 2)]
    return [0, *early, *late, len(sealed) - 1]


def refuse_flips(folder, sealer, count):
    seal, configured = SEALERS[sealer]
    sealed = seal(PLAIN)
    chance = random.Random(1)
    for offset in offsets(sealed, count, seed=2):
        error = damaged(folder, flipped(sealed, offset, chance.randrange(8)), keys_of(**configured))

        assert error.exit_code == 6


def refuse_cuts(folder, sealer, count):
    seal, configured = SEALERS[sealer]
    sealed = seal(PLAIN)
    for length in offsets(sealed, count, seed=3):
        error = damaged(folder, sealed[:length], keys_of(**configured))

        assert error.exit_code == 6


@pytest.mark.parametrize("sealer", DAILY)
def test_a_flipped_bit_is_refused(tmp_path, sealer):
    """One changed bit anywhere, open packets included, refuses the export."""
    refuse_flips(tmp_path, sealer, 4)


@pytest.mark.parametrize("sealer", DAILY)
def test_a_cut_export_is_refused(tmp_path, sealer):
    """An export that ends early is refused, wherever it ends."""
    refuse_cuts(tmp_path, sealer, 3)


@pytest.mark.slow
@pytest.mark.parametrize("sealer", SEALERS)
def test_a_flipped_bit_is_refused_at_200_offsets(tmp_path, sealer):
    """One changed bit at 200 places refuses the export."""
    refuse_flips(tmp_path, sealer, 200)


@pytest.mark.slow
@pytest.mark.parametrize("sealer", SEALERS)
def test_a_cut_export_is_refused_at_100_lengths(tmp_path, sealer):
    """An export cut to each of 100 lengths is refused."""
    refuse_cuts(tmp_path, sealer, 100)


@pytest.mark.slow
@pytest.mark.parametrize("sealer", ["gpg", "gpg rsa uncompressed", "sequoia", "age"])
def test_every_bit_of_the_open_packets_counts(tmp_path, sealer):
    """No bit before the encrypted data may change: not even the recipient's key id."""
    seal, configured = SEALERS[sealer]
    sealed = seal(b"short")
    for offset in range(60):
        for bit in range(8):
            damaged(tmp_path, flipped(sealed, offset, bit), keys_of(**configured))


@pytest.mark.parametrize("make", [exports.by_gpg, exports.by_sequoia])
def test_a_changed_recipient_is_refused(tmp_path, make):
    """The key id is not covered by the integrity check, so it is compared with our key."""
    sealed = make(PLAIN)
    at = sealed.index(bytes.fromhex(subkey_id(sealed)))

    error = damaged(tmp_path, flipped(sealed, at, 0), keys_of("cv25519"))

    assert WORDS[Verdict.WRONG_KEY][1] == error.next_step


def subkey_id(sealed, name="cv25519"):
    """Give the hexadecimal id of the encryption subkey, as it stands in the message."""
    from pysequoia.packet import PacketPile  # noqa: PLC0415

    certificate = keyring().public(name).read_bytes()
    prints = [packet.fingerprint for packet in PacketPile.from_bytes(certificate)]
    return next(
        print_[-16:] for print_ in prints if print_ and bytes.fromhex(print_[-16:]) in sealed[:120]
    )


@pytest.mark.parametrize("name", ["rsa", "cv25519"])
def test_a_changed_length_of_a_sealed_key_is_refused(tmp_path, name):
    """A sealed key that says of itself that it is some bits shorter still opens the message in gpg."""
    sealed = bytearray(exports.by_gpg(PLAIN, name))
    at = sealed.index(bytes.fromhex(subkey_id(sealed, name))) + 9
    bits = int.from_bytes(sealed[at : at + 2], "big")
    shorter = (bits - 1) // 8 * 8 + 1 + bits % 2
    sealed[at : at + 2] = shorter.to_bytes(2, "big")

    error = damaged(tmp_path, bytes(sealed), keys_of(name))

    assert WORDS[Verdict.DAMAGED][1] == error.next_step


@pytest.mark.parametrize("sealer", ["gpg rsa uncompressed", "age"])
def test_a_late_change_is_found_before_the_proof(tmp_path, sealer):
    """Bytes may come out before a forgery is found, but the pass never completes."""
    seal, configured = SEALERS[sealer]
    path = tmp_path / "export"
    sealed = seal(b"x" * 30 * BLOCK_BYTES)
    path.write_bytes(flipped(sealed, len(sealed) - 30, 0))

    with SealedExport(path, keys_of(**configured)) as export:
        first = export.prove()
        with pytest.raises(ExportRefused):
            for _ in first:
                pass

        assert not first.complete


@pytest.mark.parametrize(
    ("change", "sealer"),
    [
        *(("flip", "age"), slow("flip", "gpg rsa uncompressed")),
        *(slow("cut", "age"), ("cut", "gpg rsa uncompressed")),
        *(("append", "age"), slow("append", "gpg rsa uncompressed")),
        *(slow("other export", "age"), ("other export", "gpg rsa uncompressed")),
    ],
)
def test_a_file_that_changed_after_the_proof_is_not_decrypted(tmp_path, sealer, change):
    """In the second pass no changed block reaches the decryptor; proved blocks before it may."""
    seal, configured = SEALERS[sealer]
    plain = b"".join(b"row %09d\n" % row for row in range(400_000))
    sealed, path = seal(plain), tmp_path / "export"
    path.write_bytes(sealed)
    changed = {
        "flip": lambda: flipped(sealed, 2 * BLOCK_BYTES + 5, 0),
        "cut": lambda: sealed[: 2 * BLOCK_BYTES],
        "append": lambda: sealed + b"more",
        "other export": lambda: seal(plain[::-1]),
    }[change]()
    given = io.BytesIO()

    with SealedExport(path, keys_of(**configured)) as export:
        first = export.prove()
        for _ in first:
            pass
        path.write_bytes(changed)
        second = export.reread(first.file)
        with pytest.raises(ExportRefused) as caught:
            given.writelines(second)

    assert WORDS[Verdict.CHANGED][1] == caught.value.next_step
    assert plain.startswith(given.getvalue())
    assert not second.complete


def test_a_path_that_leads_elsewhere_now_changes_nothing(tmp_path):
    """The export is opened once; another file under its name is not looked at."""
    path, other = tmp_path / "export", tmp_path / "other"
    path.write_bytes(exports.by_pyrage(PLAIN))
    other.write_bytes(exports.by_pyrage(b"another"))

    with SealedExport(path, keys_of("age")) as export:
        first = export.prove()
        for _ in first:
            pass
        other.replace(path)
        again = b"".join(export.reread(first.file))

    assert again == PLAIN


def test_a_file_that_still_grows_is_refused(tmp_path):
    """An upload that is not finished is named as such, in the first pass already."""
    path = tmp_path / "export.csv"
    path.write_bytes(PLAIN)

    with SealedExport(path, keys_of(plain=True)) as export:
        first = export.prove()
        next(first)
        path.write_bytes(PLAIN * 2)
        with pytest.raises(ExportRefused) as caught:
            for _ in first:
                pass

    assert WORDS[Verdict.STILL_WRITTEN][1] == caught.value.next_step


PROBE = """
import resource, sys
from pathlib import Path
from pipeline.errors import ExportRefused
from pipeline.exports.sealed_export import EnvelopeKeys, SealedExport
try:
    with SealedExport(Path(sys.argv[1]), EnvelopeKeys(key_file=Path(sys.argv[2]))) as export:
        for _ in export.prove():
            pass
except ExportRefused as error:
    print(error.message)
# An own peak by getrusage would count the process that started this one too.
words = Path("/proc/self/status").read_text().split()
own, child = int(words[words.index("VmHWM:") + 1]), resource.getrusage(resource.RUSAGE_CHILDREN)
print(max(own, child.ru_maxrss) // 1024)
"""


@pytest.mark.parametrize("nested", [False, True])
def test_a_bomb_stops_at_the_cap(tmp_path, nested):
    """A few kilobytes that unpack to gigabytes end in little memory, with code 6."""
    bomb = tmp_path / "export.pgp"
    bomb.write_bytes(_bomb(nested=nested))
    command = [sys.executable, "-c", PROBE, str(bomb), str(keyring().secret("cv25519"))]

    probe = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
        env=exports.unmeasured(),
    )
    message, peak_mib = probe.stdout.splitlines()

    assert f"export.pgp: {WORDS[Verdict.RATIO][0]}" == message
    assert int(peak_mib) < 256
    assert bomb.stat().st_size < (60_000 if nested else 6_000_000)


def _bomb(*, nested):
    """Four gigabytes of zeros in a compressed packet, or in a packet inside a packet."""
    mebibyte = 2**20
    size = 4 * 2**30 - mebibyte
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # A literal packet: tag 11, a five-octet length, binary, no name, no date.
    head = b"\xcb\xff" + (size + 6).to_bytes(4, "big") + b"b\x00\x00\x00\x00\x00"
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(mebibyte)) + packer.flush(zlib.Z_FULL_FLUSH)
    body = start + again * (size // mebibyte) + packer.flush()
    packet = b"\xc8\xff" + (len(body) + 1).to_bytes(4, "big") + b"\x01" + body
    extra = ("-z", "9") if nested else ("-z", "0")
    options = (*extra, "--no-literal", "--recipient", "cv25519@example.org")
    return keyring().gpg(*options, "--encrypt", stdin=packet)
