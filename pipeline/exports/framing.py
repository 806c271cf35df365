"""Finds the end of a binary message, so that nothing after it is dropped or misjudged.

Engines stop at the end of the encrypted packet, or take what follows for damage. The lengths of
packets lie open, so the end is known without a key.

Source: RFC 9580, section 4.2.1 (packet lengths) and 10.3 (what an encrypted message is).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ENCRYPTED: Final = frozenset({9, 18, 20})
_AGE_HEADER: Final = b"age-encryption.org/v1\n-> "
_BLANKS: Final = b" \t\r\n"


def binary_message(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give a file's blocks as they are, as long as they belong to one message.

    Raises:
        Refused: `TRAILING` when bytes follow the encrypted packet.
    """
    framing = _Framing()
    for block in blocks:
        framing.add(block)
        yield block


def age_file(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give a binary age file's blocks as they are, until a second file begins in them.

    Nothing tells where the first ends but the key; its magic line tells where another begins.

    Raises:
        Refused: `TRAILING` when a second age file follows.
    """
    before = b""
    for block in blocks:
        # The first byte is left out, and with it the file's own header.
        seen = before + block if before else block[1:]
        if _AGE_HEADER in seen:
            raise Refused(Verdict.TRAILING, "another age file")
        before = seen[1 - len(_AGE_HEADER) :]
        yield block


def named_rest(rest: bytes) -> str:
    """Say what follows a message, in words."""
    if not rest.strip(_BLANKS):
        return "blanks or line ends"
    if not rest.strip(b"\0" + _BLANKS):
        return "NUL bytes"
    return "another message" if rest[0] & 0x80 else "other bytes"


class _Framing:
    """Walks packet lengths over blocks that are cut anywhere."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._partial = False
        self._tag = 0
        self._endless = False
        self._judges = True

    def add(self, block: bytes) -> None:
        at = 0
        while self._judges and not self._endless and at < len(block):
            if self._left:
                step = min(self._left, len(block) - at)
                self._left -= step
                at += step
                continue
            if self._tag in _ENCRYPTED and not (self._partial or self._header):
                raise Refused(Verdict.TRAILING, named_rest(block[at:]))
            self._header += block[at : at + 1]
            at += 1
            self._read_header()

    def _read_header(self) -> None:
        """Read a header, or the next partial length, as soon as all of it is there."""
        header = self._header
        if self._partial:
            self._new_length(header)
        elif not header[0] & 0x80:
            # No packet: that is for the engine to judge.
            self._judges = False
        elif header[0] & 0x40:
            if len(header) > 1:
                self._tag = header[0] & 0x3F
                self._new_length(header[1:])
        else:
            self._old_length(header)

    def _old_length(self, header: bytes) -> None:
        width = (1, 2, 4, 0)[header[0] & 3]
        if len(header) <= width:
            return
        self._tag = (header[0] >> 2) & 0x0F
        self._endless = not width
        self._start_body(int.from_bytes(header[1:], "big"), partial=False)

    def _new_length(self, octets: bytes) -> None:
        first = octets[0]
        if first < 192:  # noqa: PLR2004 - RFC 9580, 4.2.1.1: one-octet lengths.
            self._start_body(first, partial=False)
        elif first < 224:  # noqa: PLR2004 - 4.2.1.2: two-octet lengths.
            if len(octets) == 2:  # noqa: PLR2004
                self._start_body(((first - 192) << 8) + octets[1] + 192, partial=False)
        elif first < 255:  # noqa: PLR2004 - 4.2.1.4: partial lengths.
            self._start_body(1 << (first & 0x1F), partial=True)
        elif len(octets) == 5:  # noqa: PLR2004 - 4.2.1.3: five-octet lengths.
            self._start_body(int.from_bytes(octets[1:], "big"), partial=False)

    def _start_body(self, size: int, *, partial: bool) -> None:
        self._left, self._partial, self._header = size, partial, b""
