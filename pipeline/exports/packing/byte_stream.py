"""Gives bytes that come in blocks in the sizes that a format asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP_BYTES: Final = 2**18
"""How much is handed on at a time."""


class ByteStream:
    """Bytes to be taken from the front, looked at, or put back.

    Args:
        blocks: The bytes in order, cut anywhere; what they raise comes through.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = b""
        self._at = 0

    def some(self, most: int = STEP_BYTES) -> bytes:
        """Take the next bytes, as many as are there and no more than asked; none at the end."""
        while self._at == len(self._block):
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._block, self._at = block, 0
        taken = self._block[self._at : self._at + most]
        self._at += len(taken)
        return taken

    def take(self, size: int) -> bytes:
        """Take that many bytes; fewer at the end only."""
        parts = bytearray()
        while len(parts) < size and (part := self.some(size - len(parts))):
            parts += part
        return bytes(parts)

    def peek(self, size: int) -> bytes:
        """Look at the next bytes without taking them; fewer at the end only."""
        taken = self.take(size)
        self.put_back(taken)
        return taken

    def put_back(self, taken: bytes) -> None:
        """Give back the last bytes that were taken."""
        self._block, self._at = taken + self._block[self._at :], 0

    def read_ahead(self) -> bytes:
        """Take what was read from the blocks and not taken yet; nothing new is read."""
        ahead = self._block[self._at :]
        self._block, self._at = b"", 0
        return ahead

    def rest(self) -> Iterator[bytes]:
        """Give everything that is left, uncut where it was not looked at."""
        if ahead := self.read_ahead():
            yield ahead
        yield from self._blocks

    def only_blanks_follow(self) -> bool:
        """Take the rest and tell whether it is padding: NUL bytes and line ends."""
        return all(not block.strip(b"\0\r\n") for block in self.rest())
