"""Opens a sealed export twice: once to prove it, once to act on what was proved.

The first pass (`prove`) reads everything and knows at its end that nothing was changed, cut or
forged; until then its bytes may be counted but nothing that lasts may follow from them. The
second pass (`reread`) gives the same bytes again and feeds the decryptor only with blocks that
the first pass proved. Decryption runs in a child process; nothing plain touches a disk.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from pipeline.exports.decryptor.process import Decryptor
from pipeline.exports.engine import OF_THE_ENGINE, OF_THE_KEY, most_telling, prepared, ways
from pipeline.exports.framing import named_rest
from pipeline.exports.keys import EnvelopeKeys
from pipeline.exports.packing.unpack import Growth, Limits, Unpacking
from pipeline.exports.sealed_file import BlockDigest, ExportFile, OpenExport, worded
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from pipeline.exports.engine import Way
    from pipeline.exports.keys import KeyPlace

_CHANCE_BLANKS: Final = 2
_PROGRAMS: Final[dict[str, Literal["sequoia", "gpg", "age"]]] = {
    "sequoia": "sequoia",
    "lines": "sequoia",
    "gpg": "gpg",
    "age": "age",
    "age_passphrase": "age",
}

__all__ = ["EnvelopeKeys", "ExportFile", "Limits", "Origin", "PlainBlocks", "SealedExport"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who an export was sealed to and who signed it.

    Attributes:
        key_fingerprint: The recipient key's primary fingerprint, or the age recipient.
        signer: The primary fingerprint of a valid signature by an allowed certificate; None
            means that the origin is unauthenticated.
        engine: Who decrypted.
    """

    key_fingerprint: str | None
    signer: str | None
    engine: Literal["sequoia", "gpg", "age", "plain"]


class PlainBlocks:
    """One pass over an export's plain bytes; they are proved once the iterator is exhausted.

    Leaving it early is fine: `close`, the end of a `with`, or the end of the export's own `with`
    ends the child.
    """

    def __init__(
        self, export: OpenExport, digest: BlockDigest, unpacking: Unpacking[Origin]
    ) -> None:
        self._export = export
        self._digest = digest
        self._unpacking = unpacking
        self._blocks = unpacking.unpacked()
        self._origin: Origin | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """Give the next plain bytes, at most a quarter of a megabyte or so.

        Raises:
            ExportRefused: The export cannot be opened, was changed, or unpacks to too much.
            SettingsRefused: The key file or a signer's certificate cannot be used.
            LocalStorageFailed: The disk refused a read.
        """
        try:
            return next(self._blocks)
        except StopIteration as end:
            self._origin = end.value or self._origin
            raise
        except Refused as refused:
            raise worded(self._export.name, refused) from None

    def close(self) -> None:
        """End the pass; closing twice is fine."""
        self._blocks.close()

    @property
    def packed_in(self) -> tuple[str, ...]:
        """What the rows are packed in under the seal, outermost first, as far as it is known."""
        return tuple(self._unpacking.layers)

    def check_archive(self) -> None:
        """Read on to the end of an archive, which alone tells whether it holds one file.

        For whoever could not read its first file: what is wrong may be that it is not the only
        one. Outside an archive nothing is read.

        Raises:
            ExportRefused: The archive, or the seal around it, cannot be accepted.
        """
        if self._unpacking.in_archive:
            for _ in self:
                pass

    @property
    def complete(self) -> bool:
        """Whether the export was read to its end and everything held."""
        return self._origin is not None

    @property
    def origin(self) -> Origin:
        """Who sealed and signed it; known once the pass is complete.

        Raises:
            RuntimeError: The pass is not complete, so nothing is proved.
        """
        if self._origin is None:
            raise RuntimeError("nothing is proved before the last block was read")
        return self._origin

    @property
    def file(self) -> ExportFile:
        """What the sealed bytes were; known once the pass is complete.

        Raises:
            RuntimeError: The pass is not complete, so nothing is proved.
        """
        if self._origin is None:
            raise RuntimeError("nothing is proved before the last block was read")
        return self._export.describe(self._digest)


class SealedExport:
    """An export that is held open for its two passes; a context manager.

    Args:
        path: The export; opened once, never through a symbolic link.
        keys: What opens it and who may have signed it.
        limits: How much it may unpack to.

    Raises:
        ExportRefused: It is missing, unreadable, empty, no regular file, a plain file where those
            are not allowed, or of a kind that needs no key to be refused.
    """

    def __init__(self, path: Path, keys: EnvelopeKeys, limits: Limits | None = None) -> None:
        self._export = OpenExport(path)
        self._keys = keys
        self._limits = limits or Limits()
        self._passes: list[PlainBlocks] = []
        self.kind = self._export.kind
        self.name = self._export.name
        self.path = path
        if self.kind == "plain" and not keys.allow_plaintext:
            self._export.close()
            raise worded(self._export.name, Refused(Verdict.NOT_SEALED))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way and close the file; closing twice is fine."""
        for blocks in self._passes:
            blocks.close()
        self._export.close()

    @property
    def packed_in(self) -> tuple[str, ...]:
        """What the rows are packed in under the seal, as the latest pass found it."""
        return self._passes[-1].packed_in if self._passes else ()

    def digest(self) -> ExportFile:
        """Hash the sealed bytes without opening them.

        Raises:
            ExportRefused: The file was written to meanwhile.
            LocalStorageFailed: The disk refused a read.
        """
        digest = BlockDigest()
        try:
            for _ in self._export.blocks(digest):
                pass
        except Refused as refused:
            raise worded(self._export.name, refused) from None
        return self._export.describe(digest)

    def prove(self, meanwhile: Callable[[], None] | None = None) -> PlainBlocks:
        """Start the first pass: plain bytes, and the proof; `meanwhile` is called as a child starts."""
        return self._pass(BlockDigest(), meanwhile)

    def reread(self, proof: ExportFile) -> PlainBlocks:
        """Start the second pass: the same plain bytes, from proved blocks only.

        Args:
            proof: `file` of the first pass, or `digest` where the ledger holds the same sha256
                from an earlier run's first pass.
        """
        return self._pass(BlockDigest(proof), None)

    def _pass(self, digest: BlockDigest, meanwhile: Callable[[], None] | None) -> PlainBlocks:
        growth = Growth(self._limits)
        opening = self._plain if self.kind == "plain" else self._decrypted
        self._meanwhile = meanwhile
        blocks = PlainBlocks(self._export, digest, Unpacking(opening(digest, growth), growth.check))
        self._passes = [*(each for each in self._passes if not each.complete), blocks]
        return blocks

    def _plain(self, digest: BlockDigest, growth: Growth) -> Generator[bytes, None, Origin]:
        if self._keys.signer_files:
            raise Refused(Verdict.SIGNATURE_IMPOSSIBLE)
        for block in self._export.blocks(digest):
            growth.sealed_bytes = digest.size
            growth.check(digest.size)
            yield block
        return Origin(None, None, "plain")

    def _decrypted(self, digest: BlockDigest, growth: Growth) -> Generator[bytes, None, Origin]:
        """Try each way until one gives its first bytes; after these there is no other."""
        tried: dict[KeyPlace, Refused] = {}
        for way in ways(self._export, self._keys):
            if way.key in tried and tried[way.key].verdict not in OF_THE_ENGINE:
                continue
            digest.restart()
            blocks = self._opened(way, digest, growth)
            try:
                first = next(blocks)
            except StopIteration as empty:
                origin: Origin = empty.value
                return origin
            except Refused as refused:
                if refused.verdict not in OF_THE_KEY:
                    raise
                # Of two engines that tried one key, the second knows better.
                tried[way.key] = refused
                continue
            yield first
            return (yield from blocks)
        raise most_telling(list(tried.values()))

    def _opened(
        self, way: Way, digest: BlockDigest, growth: Growth
    ) -> Generator[bytes, None, Origin]:
        with ExitStack() as stack:
            request = stack.enter_context(prepared(way, self._keys))
            decryptor = stack.enter_context(
                Decryptor(request, self._export.message(digest), stall_s=self._limits.stall_s)
            )
            if self._meanwhile is not None:
                self._meanwhile()
            plain_bytes = 0
            while block := decryptor.read():
                plain_bytes += len(block)
                growth.sealed_bytes = decryptor.fed
                growth.check(plain_bytes)
                yield block
            answer = decryptor.end()
        if answer.verdict is Verdict.DAMAGED:
            raise self._damage(way)
        if answer.verdict is not Verdict.OK:
            raise Refused(answer.verdict)
        if not digest.complete:
            # The decryptor was content before the file's end: bytes follow the message.
            raise Refused(Verdict.DAMAGED)
        return Origin(answer.key, answer.signer, _PROGRAMS[request.engine])

    def _damage(self, way: Way) -> Refused:
        """Tell an age file that only has blanks behind its end from one that was changed."""
        tail = self._export.blank_tail() if self.kind == "age" else b""
        # The file itself may end with a blank by chance, and that one belongs to it.
        for size in range(len(tail), max(0, len(tail) - _CHANCE_BLANKS), -1):
            if self._opens_without(size, way):
                return Refused(Verdict.TRAILING, named_rest(tail[-size:]))
        return Refused(Verdict.DAMAGED)

    def _opens_without(self, size: int, way: Way) -> bool:
        with prepared(way, self._keys) as request:
            shorter = self._export.without_tail(size)
            with Decryptor(request, shorter, stall_s=self._limits.stall_s) as decryptor:
                while decryptor.read():
                    pass
                return decryptor.end().verdict is Verdict.OK
