"""Opens files whose lines are sealed one by one, in the child, with Sequoia.

A line that cannot be opened becomes a line that no reader takes for a row, so that it is counted
and named where it stands. Nothing plain passes but the first line, which may name the columns.
"""

from __future__ import annotations

import resource
from typing import IO, TYPE_CHECKING, Final

import pysequoia

from pipeline.exports.container import LINE_BYTES_MAX, message_of
from pipeline.exports.decryptor.protocol import Answer, Request
from pipeline.exports.decryptor.sequoia import key_for, unlocked
from pipeline.exports.end_mark import END_MARK
from pipeline.exports.framing import binary_message
from pipeline.exports.openpgp_head import read_head
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

UNREADABLE: Final = b"\0\n"
_MEMORY_MAX: Final = 4 * 2**30
"""A line that unpacks to gigabytes ends the child, not the machine."""


def open_lines(request: Request, key: bytes) -> Answer:
    """Decrypt stdin to stdout, line by line.

    Args:
        request: The passphrase of the key.
        key: The secret key's file.

    Raises:
        Refused: `TRAILING`, `WRONG_KEY` and others, where the first sealed line does not open.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    opener = _Opener(request, key)
    with (
        open(0, "rb", closefd=False) as sealed,
        open(1, "wb", closefd=False) as plain,
    ):
        try:
            _open_all(sealed, plain, opener.opened)
        except MemoryError:
            # The limit is ours and ample for any line that holds a row.
            raise Refused(Verdict.DAMAGED) from None
    return Answer(Verdict.OK, opener.fingerprint)


def _open_all(sealed: IO[bytes], plain: IO[bytes], opened: Callable[[bytes], bytes]) -> None:
    is_first, tried = True, False
    while line := sealed.readline(LINE_BYTES_MAX):
        message = message_of(line)
        if message is None:
            # What a text ends with may pass, too; elsewhere the reader takes it for no row.
            passes = is_first or not line.replace(END_MARK, b"").strip()
            plain.write(line if passes else UNREADABLE)
        else:
            try:
                text = opened(message)
            except Refused:
                if not tried:
                    raise
                plain.write(UNREADABLE)
            else:
                plain.write(text if text.endswith(b"\n") else text + b"\n")
            tried = True
        is_first = is_first and not line.strip()


class _Opener:
    """Opens messages with the part of the key that each of them names."""

    def __init__(self, request: Request, key: bytes) -> None:
        self._request = request
        self._key = key
        self._known: dict[tuple[str, ...], pysequoia.PyDecryptor] = {}
        self.fingerprint: str | None = None

    def opened(self, message: bytes) -> bytes:
        """Give the plain bytes of one message.

        Raises:
            Refused: With why not.
        """
        recipients = read_head(message).recipients
        if recipients not in self._known:
            secret, self.fingerprint = key_for(self._key, recipients)
            self._known[recipients] = unlocked(secret, self._request.passphrase)
        for _ in binary_message([message]):
            pass
        try:
            plain = pysequoia.decrypt(message, self._known[recipients]).bytes
        except RuntimeError:
            raise Refused(Verdict.DAMAGED) from None
        return plain or b""
