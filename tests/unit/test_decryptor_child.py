"""The two sides' messages and the child's own border, in process."""

import errno
import io

import pyrage
import pytest
from pydantic import SecretStr

from pipeline.exports.decryptor import child
from pipeline.exports.decryptor.age_passphrase import decrypt
from pipeline.exports.decryptor.protocol import Answer, Request
from pipeline.exports.sealed_export import EnvelopeKeys
from pipeline.exports.verdict import Refused, Verdict
from tests.support.exports import PASSPHRASE, by_passphrase

PLAIN = b"0123456789abcdef" * 8192


def test_a_request_arrives_as_it_was_sent():
    """Bytes, numbers and nothing survive the way over the pipe."""
    request = Request(
        "gpg", 7, "pässword", (b"\x00\xff", b"text"), ("ab", ""), gpg_fingerprint="F", home="/h"
    )

    assert request == Request.decoded(request.encoded())
    assert Request("age") == Request.decoded(Request("age").encoded())


def test_an_answer_arrives_as_it_was_sent():
    """A verdict with and without names survives the way back."""
    lacking = Answer(Verdict.DECRYPTOR_DIED, lack=12)
    for answer in (Answer(Verdict.OK, "key", "signer"), Answer(Verdict.DAMAGED), lacking):
        assert answer == Answer.decoded(answer.encoded())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"verdict": "fine", "key": null, "signer": null}',
        b'{"verdict": "ok"}',
    ],
)
def test_half_an_answer_is_none(raw):
    """A child that died while answering has said nothing."""
    assert Answer.decoded(raw) is None


def test_secrets_are_not_shown():
    """Neither the keys nor the request print a passphrase."""
    keys = EnvelopeKeys(passphrase=SecretStr(PASSPHRASE))
    request = Request("age", passphrase=PASSPHRASE)

    assert PASSPHRASE not in f"{keys!r} {request!r} {request}"


def test_a_panic_in_a_library_is_damage(monkeypatch):
    """Whatever an engine raises, an answer comes back and its text stays inside."""

    class Panic(BaseException):
        pass

    def explode(_):
        raise Panic(PASSPHRASE)

    monkeypatch.setattr(child, "_engine", explode)

    assert Answer(Verdict.DAMAGED) == child.answer_to(Request("age"))


@pytest.mark.parametrize(
    ("trouble", "lack"),
    [
        (BlockingIOError(errno.EAGAIN, "fork"), errno.EAGAIN),
        (OSError(errno.ENOMEM, "fork"), errno.ENOMEM),
        (OSError(errno.EMFILE, "pipe"), errno.EMFILE),
        (OSError(errno.ENFILE, "pipe"), errno.ENFILE),
        (MemoryError(), errno.ENOMEM),
        (OSError(errno.EPIPE, "plain"), None),
    ],
)
def test_what_the_machine_lacks_is_no_damage_of_an_export(monkeypatch, trouble, lack):
    """A process for gpg, memory, a descriptor: the export may be opened another time, as it is."""

    def lacking(_):
        raise trouble

    monkeypatch.setattr(child, "_engine", lacking)
    answer = child.answer_to(Request("gpg"))

    assert (lack, lack is None) == (answer.lack, answer.verdict is Verdict.DAMAGED)


def plain_of(sealed, passphrase=PASSPHRASE):
    plain = io.BytesIO()
    decrypt(io.BytesIO(sealed), plain, passphrase)
    return plain.getvalue()


@pytest.mark.parametrize("armored", [True, False])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072])
def test_our_age_reader_and_pyrage_agree(size, armored):
    """Every way to end at, before or behind a chunk's border gives what pyrage gives."""
    sealed = by_passphrase(PLAIN[:size], armored=armored)

    assert plain_of(sealed) == pyrage.passphrase.decrypt(sealed, PASSPHRASE) == PLAIN[:size]


@pytest.mark.slow
def test_our_age_reader_opens_what_pyrage_sealed():
    """At pyrage's own work factor, a second or two."""
    assert plain_of(pyrage.passphrase.encrypt(PLAIN, PASSPHRASE)) == PLAIN


def refused(sealed, passphrase=PASSPHRASE):
    with pytest.raises(Refused) as caught:
        plain_of(sealed, passphrase)
    return caught.value.verdict


def test_a_flipped_bit_anywhere_in_a_passphrase_file_is_refused():
    """Each byte of the header and some of the payload matter; pyrage refuses them all too."""
    sealed = by_passphrase(PLAIN[:70_000])
    for offset in [*range(260), 65_700, 65_800, len(sealed) - 1]:
        changed = bytearray(sealed)
        changed[offset] ^= 1 << offset % 6

        assert refused(bytes(changed)) in {
            Verdict.DAMAGED,
            Verdict.TRUNCATED,
            Verdict.WRONG_PASSPHRASE,
            Verdict.WORK_FACTOR,
        }


@pytest.mark.parametrize("length", [0, 10, 50, 100, 170, 200, 65_000, 65_741, 65_757, -1])
def test_a_cut_passphrase_file_is_refused(length):
    """A file that ends anywhere early never counts as whole, not even at a chunk's border."""
    assert refused(by_passphrase(PLAIN)[:length]) in {Verdict.TRUNCATED, Verdict.DAMAGED}


def test_chunks_that_are_swapped_or_follow_the_last_are_refused():
    """A chunk knows its place and the last one is the last."""
    sealed = by_passphrase(PLAIN + PLAIN)
    start = sealed.index(b"\n", sealed.index(b"--- ")) + 17
    first, second, rest = (
        sealed[start : start + 65_552],
        sealed[start + 65_552 : start + 131_104],
        sealed[start + 131_104 :],
    )

    assert refused(sealed[:start] + second + first + rest) == Verdict.DAMAGED
    assert refused(sealed + b"junk") == Verdict.DAMAGED


def test_an_armor_with_junk_is_refused():
    """Characters outside base64 and bytes after the armor's end count as damage."""
    armored = by_passphrase(PLAIN[:100], armored=True)

    assert refused(armored.replace(b"\n", b"\n!", 1)) == Verdict.DAMAGED
    assert refused(armored + b"junk") == Verdict.DAMAGED


def test_the_passphrase_decides():
    """None, a wrong one and a work factor beyond reason are told apart."""
    assert refused(by_passphrase(b""), None) == Verdict.PASSPHRASE_NEEDED
    assert refused(by_passphrase(b""), "another") == Verdict.WRONG_PASSPHRASE
    assert refused(by_passphrase(b"", work_factor=23)) == Verdict.WORK_FACTOR
