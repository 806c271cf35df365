"""The open packets of an OpenPGP message, against what Sequoia and gpg write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysequoia.packet import PacketPile

from pipeline.exports.container import is_age_identity, sealed_by_passphrase
from pipeline.exports.openpgp_head import (
    OpenPGPHead,
    dearmored,
    looks_like_message,
    packet_at,
    read_head,
)
from tests.support import exports
from tests.support.exports import keyring

PLAIN = b"id,number\n" * 400


def prints(name):
    packets = PacketPile.from_bytes(keyring().public(name).read_bytes())
    return [packet.fingerprint for packet in packets if packet.fingerprint]


@pytest.mark.parametrize("armored", [True, False])
@pytest.mark.parametrize("to", ["rsa", "cv25519", "locked"])
def test_gpgs_recipient_is_a_key_id_of_the_key(to, armored):
    """A message by gpg names the encryption subkey by its id and protects it by SEIPD 1."""
    head = read_head(exports.by_gpg(PLAIN, to, armored=armored))

    assert len(head.recipients) == 1
    assert any(print_.endswith(head.recipients[0]) for print_ in prints(to))
    assert (head.password, head.container, head.canonical) == (False, "seipd1", True)


@pytest.mark.parametrize("armored", [True, False])
@pytest.mark.parametrize("to", ["rsa", "cv25519"])
def test_sequoias_recipient_is_a_fingerprint_of_the_key(to, armored):
    """A message by Sequoia names the subkey's fingerprint and protects it by SEIPD 2."""
    head = read_head(exports.by_sequoia(PLAIN, to, armored=armored))

    assert len(head.recipients) == 1
    assert head.recipients[0] in prints(to)
    assert (head.password, head.container, head.canonical) == (False, "seipd2", True)


def test_several_recipients_and_a_password_are_all_seen():
    """Every way in is listed, in the message's order; a hidden recipient is an empty name."""
    both = ["--recipient", "rsa@example.org", "--hidden-recipient", "cv25519@example.org"]
    head = read_head(keyring().gpg(*both, "--symmetric", "--encrypt", stdin=PLAIN))

    assert len(head.recipients) == 2
    assert "" in head.recipients
    assert head.password


@pytest.mark.parametrize("to", ["rsa", "cv25519"])
def test_an_integer_that_begins_with_another_bit_than_it_says_is_not_canonical(to):
    """Where gpg reads as many bytes and no bit of them, its length could change without notice."""
    sealed = exports.by_gpg(PLAIN, to)
    _, start, _ = packet_at(sealed, 0)
    # Behind the packet's version, the key's id and the algorithm.
    at = start + 1 + 8 + 1
    bits = int.from_bytes(sealed[at : at + 2], "big")
    assert read_head(sealed).canonical
    same_bytes = [n for n in range(bits - 8, bits + 9) if (n + 7) // 8 == (bits + 7) // 8]
    assert len(same_bytes) == 8
    written = {n: sealed[:at] + n.to_bytes(2, "big") + sealed[at + 2 :] for n in same_bytes}

    assert [bits] == [n for n, octets in written.items() if read_head(octets).canonical]


def test_a_head_that_is_cut_knows_no_container():
    """What the bytes do not reach is unknown, not guessed."""
    assert OpenPGPHead() == read_head(b"")
    assert read_head(exports.by_gpg(PLAIN)[:50]).container is None


@pytest.mark.parametrize(
    ("octets", "container"),
    [
        (b"\xd2\xc0\x00\x01" + bytes(20), "seipd1"),
        (b"\xd2\xff\x00\x00\x01\x00\x01" + bytes(20), "seipd1"),
        (b"\xd2\xea\x02" + bytes(20), "seipd2"),
        (b"\xd2\xea\x09" + bytes(20), None),
        (b"\xd4\x20\x01" + bytes(20), "aead"),
        (b"\xca\x03PGP\xd5\x02xx\xd2\x10\x01", "seipd1"),
        (b"\x9a\x00\x10\x01", None),
        (b"\xa7" + bytes(9), "sed"),
    ],
)
def test_every_length_format_leads_to_the_container(octets, container):
    """One, two and five octets, partial and indeterminate lengths, markers and padding."""
    assert container == read_head(octets).container


@given(st.binary(max_size=300))
def test_no_bytes_break_the_walk(octets):
    """Any bytes give a head; walking them never fails and never hangs."""
    for first in (
        octets,
        b"\xc1" + octets,
        b"\x85" + octets,
        b"-----BEGIN PGP MESSAGE-----" + octets,
    ):
        looks_like_message(first)
        sealed_by_passphrase(first)

        assert isinstance(read_head(first), OpenPGPHead)


def test_the_armor_comes_off():
    """Header lines, the checksum and what follows are not part of the message."""
    armor = b"-----BEGIN PGP MESSAGE-----\r\nVersion: x\r\n\r\naGVs\r\nbG8=\r\n=abcd\r\n-----END"

    assert dearmored(armor) == b"hello"


def test_a_passphrase_is_seen_in_an_age_header():
    """Armored or not, a scrypt stanza is told from a key's."""
    for armored in (True, False):
        assert sealed_by_passphrase(exports.by_passphrase(PLAIN, armored=armored))
        assert not sealed_by_passphrase(exports.by_pyrage(PLAIN, armored=armored))


def test_an_age_identity_is_told_from_an_openpgp_key():
    """Plain and protected identities are age's; the rest is not."""
    assert is_age_identity(keyring().secret("age").read_bytes())
    assert is_age_identity(keyring().secret("age_locked").read_bytes())
    assert not is_age_identity(keyring().secret("rsa").read_bytes())
