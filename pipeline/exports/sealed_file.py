"""Opens a sealed file once, never through a link, and digests it block by block.

Source of the two-pass rule: streaming decryption hands out forged bytes before it finds the
forgery (RFC 9580, section 13.7), so a second pass may only decrypt blocks that the first proved.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import without_numbers
from pipeline.errors import (
    CardferryError,
    ExportDamaged,
    ExportRefused,
    KeyUnusable,
    LocalStorageFailed,
)
from pipeline.exports.armor import armored_message, unwrapped
from pipeline.exports.container import Kind, kind_of
from pipeline.exports.framing import age_file, binary_message
from pipeline.exports.verdict import OF_DAMAGE, OF_OUR_KEY, WORDS, Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_BYTES: Final = 2**20
"""How much of a file is read, hashed and compared at a time."""

_TAIL_BYTES: Final = 4096
"""How much of a file's end is searched for blanks."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """What is known of an export's sealed bytes.

    Attributes:
        path: Where it was opened.
        name: The path's last part.
        size: Bytes.
        sha256: Of the whole file, hexadecimal.
        block_digests: SHA-256 of every `BLOCK_BYTES` of it, the last one shorter.
        kind: By content: "openpgp", "openpgp_lines" (each line by itself), "age" or "plain".
    """

    path: Path
    name: str
    size: int
    sha256: str
    block_digests: tuple[bytes, ...]
    kind: Kind


def shown_name(path: Path) -> str:
    """Give a file's name as it may stand in messages and reports.

    Bytes that are no UTF-8 and characters that no terminal should obey are replaced; in a name
    that holds a card number every digit is.
    """
    text = os.fsencode(path.name).decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return without_numbers(text)


class OpenExport:
    """An export that is held open; whatever happens to its path, these are its bytes.

    Args:
        path: A regular file; a symbolic link, FIFO, device or folder is refused.

    Raises:
        ExportRefused: It is missing, unreadable, not a regular file, empty, or no export by kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = shown_name(path)
        self._descriptor = _open(path)
        try:
            self._opened = os.fstat(self._descriptor)
            if not stat.S_ISREG(self._opened.st_mode):
                raise refusal(
                    shown_name(path), "it is not a regular file", "Give the export's own file."
                )
            first = self._read(BLOCK_BYTES, 0)
            self.head = unwrapped(first)
            self.kind = kind_of(first, shown_name(path))
        except Refused as refused:
            self.close()
            raise worded(shown_name(path), refused) from None
        except CardferryError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def blocks(self, digest: BlockDigest) -> Iterator[bytes]:
        """Read the file from its start, every block hashed before it is given.

        Raises:
            LocalStorageFailed: The disk refused a read.
            Refused: `CHANGED` when a block is not the one that `digest` expects;
                `STILL_WRITTEN` when the file was written to meanwhile.
        """
        at = 0
        while block := self._read(BLOCK_BYTES, at):
            digest.add(block)
            at += len(block)
            yield block
        digest.end()
        now = os.fstat(self._descriptor)
        if not digest.compares and (now.st_size, now.st_mtime_ns) != (
            self._opened.st_size,
            self._opened.st_mtime_ns,
        ):
            raise Refused(Verdict.STILL_WRITTEN)

    def message(self, digest: BlockDigest) -> Iterator[bytes]:
        """Read the one sealed message of the file, without what mailers and editors put around.

        Raises:
            LocalStorageFailed: The disk refused a read.
            Refused: As `blocks`; `TRAILING` when something follows the message.
        """
        blocks = self.blocks(digest)
        if self.head.lstrip().startswith(b"-----BEGIN"):
            return armored_message(blocks)
        if self.kind == "openpgp_lines":
            return blocks
        return binary_message(blocks) if self.kind == "openpgp" else age_file(blocks)

    def blank_tail(self) -> bytes:
        """Give the blanks and NUL bytes at the file's end; a sealed file may end so by chance."""
        end = self._read(_TAIL_BYTES, max(0, self._opened.st_size - _TAIL_BYTES))
        return end[len(end.rstrip(b"\0 \t\r\n")) :]

    def without_tail(self, size: int) -> Iterator[bytes]:
        """Read the file but for its last bytes, without a digest: to find a reason, not rows."""
        at, end = 0, self._opened.st_size - size
        while block := self._read(min(BLOCK_BYTES, end - at), at):
            at += len(block)
            yield block

    def describe(self, digest: BlockDigest) -> ExportFile:
        """Give what is known once `digest` has seen every block."""
        return ExportFile(
            self.path,
            self.name,
            digest.size,
            digest.sha256,
            tuple(digest.blocks),
            self.kind,
        )

    def _read(self, size: int, at: int) -> bytes:
        parts: list[bytes] = []
        read = 0
        try:
            while part := os.pread(self._descriptor, size - read, at + read):
                parts.append(part)
                read += len(part)
        except OSError:
            raise LocalStorageFailed(
                f"{self.name}: the disk refused to read it",
                next_step="Check the disk, then run the same command again.",
            ) from None
        # A block mostly comes as one part, and is not copied then.
        return b"".join(parts)


class BlockDigest:
    """Hashes a file block by block and compares each block with a proof, where there is one.

    Args:
        proof: What the first pass saw; None on the first pass.
    """

    def __init__(self, proof: ExportFile | None = None) -> None:
        self._expected = proof.block_digests if proof else None
        self.restart()

    def restart(self) -> None:
        """Forget what was read, for another reading from the file's start."""
        self.blocks: list[bytes] = []
        self.size = 0
        self.complete = False
        self._whole = hashlib.sha256()

    @property
    def compares(self) -> bool:
        """Whether every block is held against a proof."""
        return self._expected is not None

    @property
    def sha256(self) -> str:
        """The digest of everything so far, hexadecimal."""
        return self._whole.hexdigest()

    def add(self, block: bytes) -> None:
        """Take the next block.

        Raises:
            Refused: `CHANGED` when the proof holds another block here, or none.
        """
        seen = hashlib.sha256(block).digest()
        if self._expected is not None and self._expected[len(self.blocks) :][:1] != (seen,):
            raise Refused(Verdict.CHANGED)
        self._whole.update(block)
        self.blocks.append(seen)
        self.size += len(block)

    def end(self) -> None:
        """Take the end of the file.

        Raises:
            Refused: `CHANGED` when the proof holds more blocks.
        """
        if self._expected is not None and len(self.blocks) != len(self._expected):
            raise Refused(Verdict.CHANGED)
        self.complete = True


def worded(name: str, refused: Refused) -> ExportRefused:
    """Put into words why an export is refused; of our own key as `KeyUnusable`, of bytes as `ExportDamaged`."""
    message, next_step = WORDS[refused.verdict]
    message = message.format(detail=refused.detail)
    if refused.verdict in OF_OUR_KEY:
        return KeyUnusable(f"{name}: {message}", next_step=next_step)
    if refused.verdict in OF_DAMAGE:
        return ExportDamaged(f"{name}: {message}", next_step=next_step)
    return refusal(name, message, next_step)


def refusal(name: str, message: str, next_step: str) -> ExportRefused:
    """Make the error that names the export first."""
    return ExportRefused(f"{name}: {message}", next_step=next_step)


def _open(path: Path) -> int:
    # O_NONBLOCK keeps a FIFO from hanging the open; it means nothing to a regular file.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            message = "it is a symbolic link"
        else:
            message = f"it cannot be opened ({(error.strerror or 'unknown reason').lower()})"
        raise refusal(
            shown_name(path), message, "Give the path of the export's own file."
        ) from None
