"""What is packed under a seal: taken off, bounded, and named where it cannot be read."""

import bz2
import gzip
import lzma
import random
import tarfile
import zipfile

import pytest
from backports import zstd

from pipeline.exports.packing.byte_stream import ByteStream
from pipeline.exports.packing.contents import named_content
from pipeline.exports.packing.unpack import Growth, Limits, Unpacking
from pipeline.exports.verdict import Refused, Verdict
from tests.support.packed import (
    by_program,
    tarred,
    with_flags,
    with_method,
    workbook,
    zip64,
    zipped,
)

ROWS = b"id,number,name\n" + b"".join(b"A-%d,,Ann %d\n" % (n, n * 7919) for n in range(6_000))
ONE = {"cards.csv": ROWS}
LONG_NAME = "exports/" + "x" * 180 + ".csv"


def blocks_of(octets, size=4096):
    for at in range(0, len(octets), size):
        yield octets[at : at + size]
    return "the end"


def unpacked(octets, size=4096, check=lambda _: None):
    """Give what is inside and in what it was packed."""
    unpacking = Unpacking(blocks_of(octets, size), check)
    endings = []

    def kept():
        endings.append((yield from unpacking.unpacked()))

    inside = b"".join(kept())

    assert endings == ["the end"]
    return inside, unpacking.layers


def refusal(octets):
    with pytest.raises(Refused) as caught:
        unpacked(octets)
    return caught.value.verdict, caught.value.detail


READABLE = {
    "text": (lambda: ROWS, []),
    "nothing": (lambda: b"", []),
    "gzip": (lambda: gzip.compress(ROWS), ["gzip"]),
    "gzip, the program": (lambda: by_program("gzip", "-9", stdin=ROWS), ["gzip"]),
    "gzip in two streams": (
        lambda: gzip.compress(ROWS[:99]) + gzip.compress(ROWS[99:]),
        ["gzip"],
    ),
    "gzip in a thousand streams": (
        lambda: b"".join(gzip.compress(ROWS[at : at + 99]) for at in range(0, len(ROWS), 99)),
        ["gzip"],
    ),
    "gzip with padding": (lambda: gzip.compress(ROWS) + bytes(600), ["gzip"]),
    "bzip2": (lambda: bz2.compress(ROWS), ["bzip2"]),
    "bzip2, the program": (lambda: by_program("bzip2", "-1", stdin=ROWS), ["bzip2"]),
    "bzip2 in two streams": (lambda: bz2.compress(ROWS[:9]) + bz2.compress(ROWS[9:]), ["bzip2"]),
    "xz": (lambda: lzma.compress(ROWS), ["xz"]),
    "xz, the program": (lambda: by_program("xz", "-9", stdin=ROWS), ["xz"]),
    "zstd": (lambda: zstd.compress(ROWS), ["zstd"]),
    "zstd, the program": (lambda: by_program("zstd", "-19", stdin=ROWS), ["zstd"]),
    "zstd, two frames and a skipped one": (
        lambda: zstd.compress(ROWS[:9]) + b"\x50\x2a\x4d\x18\x02\0\0\0hi" + zstd.compress(ROWS[9:]),
        ["zstd"],
    ),
    "ZIP": (lambda: zipped(ONE), ["ZIP archive"]),
    "ZIP, stored": (lambda: zipped(ONE, method=zipfile.ZIP_STORED), ["ZIP archive"]),
    "ZIP, bzip2": (lambda: zipped(ONE, method=zipfile.ZIP_BZIP2), ["ZIP archive"]),
    "ZIP, lengths behind": (lambda: zipped(ONE, streamed=True), ["ZIP archive"]),
    "ZIP, lengths behind, bzip2": (
        lambda: zipped(ONE, streamed=True, method=zipfile.ZIP_BZIP2),
        ["ZIP archive"],
    ),
    "ZIP, 64 bits": (lambda: zip64("cards.csv", ROWS), ["ZIP archive"]),
    "ZIP, the program": (lambda: by_program("zip", "-q", "-", "-", stdin=ROWS), ["ZIP archive"]),
    "ZIP with a comment": (lambda: zipped(ONE, comment=b"PK\x05\x06 or so"), ["ZIP archive"]),
    "ZIP by macOS": (
        lambda: zipped(
            {"out/": b"", "out/cards.csv": ROWS, "__MACOSX/out/._cards.csv": b"\0\5\x16\7"}
        ),
        ["ZIP archive"],
    ),
    "ZIP, an empty file": (lambda: zipped({"cards.csv": b""}), ["ZIP archive"]),
    "tar": (lambda: tarred(ONE), ["tar archive"]),
    "tar, old": (lambda: tarred(ONE, form=tarfile.USTAR_FORMAT), ["tar archive"]),
    "tar by GNU, a long name": (
        lambda: tarred({LONG_NAME: ROWS}, form=tarfile.GNU_FORMAT),
        ["tar archive"],
    ),
    "tar by POSIX, a long name": (lambda: tarred({LONG_NAME: ROWS}), ["tar archive"]),
    "tar by macOS": (
        lambda: tarred(
            {"out": b"", "out/._cards.csv": b"\0\5", "out/cards.csv": ROWS},
            kinds={"out": tarfile.DIRTYPE},
        ),
        ["tar archive"],
    ),
    "tar in gzip": (lambda: gzip.compress(tarred(ONE)), ["gzip", "tar archive"]),
    "tar in xz": (lambda: lzma.compress(tarred(ONE)), ["xz", "tar archive"]),
    "tar in gzip in ZIP": (
        lambda: zipped({"cards.tar.gz": gzip.compress(tarred(ONE))}),
        ["ZIP archive", "gzip", "tar archive"],
    ),
}


@pytest.mark.parametrize("size", [1013, 2**20])
@pytest.mark.parametrize("case", READABLE)
def test_what_is_packed_once_is_read(case, size):
    """Each way of packing gives the rows, wherever the blocks are cut."""
    make, layers = READABLE[case]
    inside, found = unpacked(make(), size)
    empty = case in {"nothing", "ZIP, an empty file"}

    assert inside == (b"" if empty else ROWS)
    assert found == layers


@pytest.mark.parametrize("program", ["tar", "tar -z"])
def test_what_the_tar_program_writes_is_read(tmp_path, program):
    """An archive of the program itself, folder and owner included."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cards.csv").write_bytes(ROWS)
    packed = by_program(*program.split(), "-C", str(tmp_path), "-cf", "-", "out", stdin=b"")

    assert unpacked(packed)[0] == ROWS


def twice(archive):
    return archive + archive


def cut(octets, at=-30):
    return octets[:at]


def changed(octets, at):
    flipped = bytearray(octets)
    flipped[at] ^= 0xFF
    return bytes(flipped)


def packed_again(octets, times):
    for _ in range(times):
        octets = gzip.compress(octets)
    return octets


def unlisted():
    """Give a ZIP archive with a member that its directory does not list."""
    one, other = zipped(ONE), zipped({"other.csv": ROWS})
    return one[: one.index(b"PK\1\2")] + other


THREE = {"a.csv": ROWS, "b.csv": ROWS, "README.txt": b"hello"}
NAMED = {
    "ZIP of three": (lambda: zipped(THREE), "ARCHIVE_OF_MANY", "ZIP archive with 3 files"),
    "ZIP of three, lengths behind": (
        lambda: zipped(THREE, streamed=True),
        "ARCHIVE_OF_MANY",
        "ZIP archive with 3 files",
    ),
    "ZIP of none": (lambda: zipped({}), "ARCHIVE_OF_MANY", "ZIP archive with no file"),
    "ZIP of folders": (lambda: zipped({"a/": b""}), "ARCHIVE_OF_MANY", "ZIP archive with no file"),
    "tar of two": (
        lambda: tarred({"a": ROWS, "b": b""}),
        "ARCHIVE_OF_MANY",
        "tar archive with 2 files",
    ),
    "tar of a link": (
        lambda: tarred({"a": b""}, kinds={"a": tarfile.SYMTYPE}),
        "ARCHIVE_OF_MANY",
        "tar archive with no file",
    ),
    "tar of two in gzip": (
        lambda: gzip.compress(tarred({"a": ROWS, "b": ROWS})),
        "ARCHIVE_OF_MANY",
        "tar archive with 2 files",
    ),
    "xlsx": (workbook, "NOT_ROWS", "a spreadsheet"),
    "ZIP with a password": (
        lambda: with_flags(zipped(ONE), 1),
        "ARCHIVE_LOCKED",
        "ZIP archive",
    ),
    "ZIP with a password, the program": (
        lambda: by_program("zip", "-q", "-P", "secret", "-", "-", stdin=ROWS),
        "ARCHIVE_LOCKED",
        "ZIP archive",
    ),
    "ZIP with AES": (lambda: with_method(zipped(ONE), 99), "ARCHIVE_LOCKED", "ZIP archive"),
    "ZIP by Deflate64": (
        lambda: with_method(zipped(ONE), 9),
        "PACKED_OTHERWISE",
        "compressed with Deflate64",
    ),
    "ZIP, stored and streamed": (
        lambda: zipped(ONE, streamed=True, method=zipfile.ZIP_STORED),
        "PACKED_OTHERWISE",
        "only the end tells",
    ),
    "a part of a ZIP": (lambda: b"PK\7\x08" + zipped(ONE), "PACKED_OTHERWISE", "split"),
    "two ZIPs": (lambda: twice(zipped(ONE)), "PACKED_TRAILING", "ZIP archive"),
    "two tars": (lambda: twice(tarred(ONE)), "PACKED_TRAILING", "tar archive"),
    "ZIP with a hidden member": (unlisted, "PACKED_DAMAGED", "ZIP archive"),
    "gzip and text": (lambda: gzip.compress(ROWS) + b"A-1", "PACKED_TRAILING", "gzip"),
    "gzip cut": (lambda: cut(gzip.compress(ROWS)), "PACKED_CUT", "gzip"),
    "bzip2 cut": (lambda: cut(bz2.compress(ROWS)), "PACKED_CUT", "bzip2"),
    "xz cut": (lambda: cut(lzma.compress(ROWS)), "PACKED_CUT", "xz"),
    "zstd cut": (lambda: cut(zstd.compress(ROWS)), "PACKED_CUT", "zstd"),
    "ZIP cut": (lambda: cut(zipped(ONE)), "PACKED_CUT", "ZIP archive"),
    "ZIP cut in its member": (lambda: cut(zipped(ONE), 5_000), "PACKED_CUT", "deflate"),
    "tar cut": (lambda: cut(tarred(ONE), 5_000), "PACKED_CUT", "tar archive"),
    "gzip changed": (lambda: changed(gzip.compress(ROWS), -6), "PACKED_DAMAGED", "gzip"),
    "xz changed": (lambda: changed(lzma.compress(ROWS), 2_000), "PACKED_DAMAGED", "xz"),
    "ZIP changed": (lambda: changed(zipped(ONE, method=0), 600), "PACKED_DAMAGED", "ZIP archive"),
    "packed five times": (lambda: packed_again(ROWS, 5), "PACKED_TOO_OFTEN", "4"),
    "7-Zip": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(90), "NOT_ROWS", "a 7-Zip archive"),
    "a PDF in gzip": (lambda: gzip.compress(b"%PDF-1.7\n..."), "NOT_ROWS", "a PDF document"),
    "an HTML page": (lambda: b"\n<!DOCTYPE html><p>404", "NOT_ROWS", "an HTML page"),
    "an age file": (lambda: b"age-encryption.org/v1\n-> X", "NOT_ROWS", "another age file"),
    "random bytes": (lambda: random.Random(1).randbytes(5_000), "NOT_ROWS", "no text"),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_cannot_be_read_is_named(case):
    """The refusal says what the thing is, and a second one behind the first is never dropped."""
    make, verdict, words = NAMED[case]
    found, detail = refusal(make())

    assert Verdict[verdict] == found
    assert words in detail


ZEROS = bytes(5_000_000)
BOMBS = {
    "gzip": gzip.compress(ZEROS),
    "bzip2": bz2.compress(ZEROS),
    "xz": lzma.compress(ZEROS),
    "zstd": zstd.compress(ZEROS),
    "ZIP": zipped({"a": ZEROS}),
    "gzip in gzip": gzip.compress(gzip.compress(ZEROS)),
    "tar in gzip": gzip.compress(tarred({"a": ZEROS})),
    "a second file of a ZIP": zipped({"a": b"id", "b": ZEROS}),
}


@pytest.mark.parametrize("case", BOMBS)
@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        (Limits(ratio_after_bytes=100_000), Verdict.RATIO),
        (Limits(plain_bytes_max=600_000), Verdict.TOO_LARGE),
    ],
)
def test_a_bomb_is_stopped_at_its_first_bytes(case, limits, verdict):
    """Each layer's text is measured by the sealed bytes, also where it is only passed over."""
    growth = Growth(limits)
    growth.sealed_bytes = 300
    seen = []

    def check(size):
        seen.append(size)
        growth.check(size)

    with pytest.raises(Refused) as caught:
        unpacked(BOMBS[case], check=check)

    assert verdict == caught.value.verdict
    assert max(seen) < 1_000_000


def test_the_memory_that_an_archive_asks_for_is_bounded():
    """A window of more than 128 MiB is refused by name, not allocated."""
    wide = {
        zstd.CompressionParameter.window_log: 30,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    packer = zstd.ZstdCompressor(options=wide)
    packed = packer.compress(ROWS) + packer.flush()

    assert refusal(packed)[0] is Verdict.PACKED_OTHERWISE


def test_a_long_name_of_a_tar_archive_is_not_read():
    """An extended header of gigabytes is damage."""
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 2**33
    assert refusal(member.tobuf(tarfile.GNU_FORMAT) + bytes(600))[0] is Verdict.PACKED_DAMAGED


def test_damage_under_the_seal_waits_for_the_seals_own_verdict():
    """What was changed on its way is told as that, and not as the sender's bad packing."""

    def forged():
        yield changed(gzip.compress(ROWS), 3_000)
        raise Refused(Verdict.DAMAGED)

    with pytest.raises(Refused) as caught:
        list(Unpacking(forged(), lambda _: None).unpacked())
    assert caught.value.verdict is Verdict.DAMAGED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "cp874", "latin-1"])
@pytest.mark.parametrize("header", ["id,number,name\n", "ชื่อ,เลข,วัน\n", "[id]\n", '{"id": 1}\n'])
def test_text_of_any_encoding_is_text(encoding, header):
    """No header, record or encoding is taken for a container."""
    text = header + "ก,4111,สมชาย\n" * 20
    first = text.encode(encoding, "replace")
    assert named_content(first) is None


def test_a_stream_gives_what_was_put_back_first():
    """Looking and putting back change nothing of what comes."""
    stream = ByteStream(iter([b"ab", b"", b"cdef"]))
    assert stream.peek(3) == b"abc"
    assert stream.take(1) == b"a"
    stream.put_back(b"xa")
    assert stream.take(4) == b"xabc"
    assert b"".join(stream.rest()) == b"def"
    assert stream.some() == b""


def test_an_archive_is_read_at_a_flat_memory():
    """What one step gives is bounded, however much the next input bytes unpack to."""
    packed = gzip.compress(bytes(20_000_000))
    largest = max(map(len, Unpacking(blocks_of(packed, 2**20), lambda _: None).unpacked()))
    assert largest <= 2**18


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "cp1253", "cp1256", "cp874", "cp932"])
def test_no_first_letter_makes_a_header_another_file(encoding):
    """A letter beyond ASCII may look like the head of a packet; the text is read all the same."""
    for sign in range(0x80, 0xFFFF):
        try:
            header = f"{chr(sign)}d,number,name\n".encode(encoding)
        except UnicodeEncodeError:
            continue
        assert named_content(header) is None, hex(sign)
