"""The mark at a text's end is taken off wherever exports are read as text, and nowhere else."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exports.armor import armored_message
from pipeline.exports.container import message_of
from pipeline.exports.end_mark import text_without_end_mark, without_end_mark
from pipeline.exports.head.encoding import decoded_head
from pipeline.exports.verdict import Refused

AT_END = re.compile("(?<!\x1a)\x1a+(\r\n|\r|\n)?\\Z")
BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"
END = b"-----END AGE ENCRYPTED FILE-----"


@given(st.lists(st.text("\x1a\r\na", max_size=5), max_size=8))
def test_the_mark_at_the_end_is_taken_off_however_the_text_is_cut(pieces):
    """What is left is the text up to its last marks; no piece that is given is empty."""
    whole = "".join(pieces)
    found = list(without_end_mark(piece.encode() for piece in pieces))

    assert b"".join(found).decode() == AT_END.sub("", whole) == text_without_end_mark(whole)
    assert b"" not in found


def test_as_many_marks_as_a_sender_likes_come_in_small_pieces():
    """A block full of marks is a number until more comes, and never one long piece then."""
    block = b"\x1a" * 300_000
    found = list(without_end_mark([b"a", *[block] * 9, b"b"]))

    assert b"".join(found) == b"a" + block * 9 + b"b"
    assert max(map(len, found)) <= 65_536
    assert list(without_end_mark([b"a", *[block] * 9])) == [b"a"]


@pytest.mark.parametrize("rest", [b"\x1a", b"\x1a\r\n", b"\n\x1a", b"\n\x1a\x1a\n", b" \x1a\0\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_behind_an_armor_it_is_nothing(rest, size):
    """Also on the armor's last line, which some readers want to end there."""
    whole = BEGIN + END + rest
    # The first block always reaches the line with which the armor begins.
    blocks = [BEGIN, *(whole[at : at + size] for at in range(len(BEGIN), len(whole), size))]

    assert b"".join(armored_message(blocks)) == BEGIN + END + b"\n"


def test_what_is_no_mark_behind_an_armor_is_refused_or_given_on():
    """Text behind the armor is none of it; on its last line it is left to who opens it."""
    with pytest.raises(Refused):
        list(armored_message([BEGIN + END + b"\n\x1aid,number\n"]))
    assert b"".join(armored_message([BEGIN + END + b"x\n"])) == BEGIN + END + b"x\n"


def test_a_sealed_line_may_end_in_it():
    """A message in base64 is the same with the mark behind it."""
    message = b"\x84\x5e\x03" + b"k" * 8 + b"\x12" + bytes(84) + b"\xd2\x10\x01" + bytes(15)

    assert message_of(base64.b64encode(message) + b"\x1a") == message


def test_settings_are_drafted_without_it():
    """A header alone is one line, not two."""
    assert decoded_head(b"id;number\r\n\x1a", "utf-8") == "id;number\n"
    assert decoded_head("id;number\x1a\r\n".encode("utf-16"), "utf-16") == "id;number"
