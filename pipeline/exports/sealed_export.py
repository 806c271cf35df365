"""Opens a sealed export twice: once to prove it, once to act on what was proved.

The first pass (`prove`) reads everything and knows at its end that nothing was changed, cut or
forged; until then its bytes may be counted but nothing that lasts may follow from them. The
second pass (`reread`) gives the same bytes again and feeds the decryptor only with blocks that
the first pass proved. Decryption runs in a child process; nothing plain touches a disk.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from pipeline.exports.decryptor.process import Decryptor
from pipeline.exports.engine import OF_THE_ENGINE, OF_THE_KEY, most_telling, prepared, ways
from pipeline.exports.keys import EnvelopeKeys
from pipeline.exports.sealed_file import BlockDigest, ExportFile, OpenExport, worded
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pipeline.exports.engine import Way
    from pipeline.exports.keys import KeyPlace

__all__ = ["EnvelopeKeys", "ExportFile", "Limits", "Origin", "PlainBlocks", "SealedExport"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an export may unpack to.

    Attributes:
        plain_bytes_max: Bytes of plain text.
        ratio_max: Plain bytes for each sealed byte read so far.
        ratio_after_bytes: Plain bytes after which the ratio is judged.
        stall_s: Seconds that the decryptor may take for its next byte.
    """

    plain_bytes_max: int = 64 * 2**30
    ratio_max: float = 200.0
    ratio_after_bytes: int = 10_000_000
    stall_s: float = 120.0


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
    """One pass over an export's plain bytes: an iterator that proves something when exhausted.

    Leaving it early is fine: `close`, the end of a `with`, or the end of the export's own `with`
    ends the child.
    """

    def __init__(
        self, export: OpenExport, digest: BlockDigest, blocks: Generator[bytes, None, Origin]
    ) -> None:
        self._export = export
        self._digest = digest
        self._blocks = blocks
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

    def prove(self) -> PlainBlocks:
        """Start the first pass: plain bytes, and the proof once they are exhausted."""
        return self._pass(BlockDigest())

    def reread(self, proof: ExportFile) -> PlainBlocks:
        """Start the second pass: the same plain bytes, from proved blocks only.

        Args:
            proof: `file` of the first pass, or `digest` where the ledger holds the same sha256
                from an earlier run's first pass.
        """
        return self._pass(BlockDigest(proof))

    def _pass(self, digest: BlockDigest) -> PlainBlocks:
        opening = self._plain if self.kind == "plain" else self._decrypted
        blocks = PlainBlocks(self._export, digest, opening(digest))
        self._passes = [*(each for each in self._passes if not each.complete), blocks]
        return blocks

    def _plain(self, digest: BlockDigest) -> Generator[bytes, None, Origin]:
        if self._keys.signer_files:
            raise Refused(Verdict.SIGNATURE_IMPOSSIBLE)
        for block in self._export.blocks(digest):
            self._limit(digest.size, digest.size)
            yield block
        return Origin(None, None, "plain")

    def _decrypted(self, digest: BlockDigest) -> Generator[bytes, None, Origin]:
        """Try each way until one gives its first bytes; after these there is no other."""
        tried: dict[KeyPlace, Refused] = {}
        for way in ways(self._export, self._keys):
            if way.key in tried and tried[way.key].verdict not in OF_THE_ENGINE:
                continue
            digest.restart()
            blocks = self._opened(way, digest)
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

    def _opened(self, way: Way, digest: BlockDigest) -> Generator[bytes, None, Origin]:
        with ExitStack() as stack:
            request = stack.enter_context(prepared(way, self._keys))
            decryptor = stack.enter_context(
                Decryptor(request, self._export.message(digest), stall_s=self._limits.stall_s)
            )
            plain_bytes = 0
            while block := decryptor.read():
                plain_bytes += len(block)
                self._limit(plain_bytes, decryptor.fed)
                yield block
            answer = decryptor.end()
        if answer.verdict is not Verdict.OK:
            raise Refused(answer.verdict)
        if not digest.complete:
            # The decryptor was content before the file's end: bytes follow the message.
            raise Refused(Verdict.DAMAGED)
        engine = "age" if request.engine == "age_passphrase" else request.engine
        return Origin(answer.key, answer.signer, engine)

    def _limit(self, plain_bytes: int, sealed_bytes: int) -> None:
        if plain_bytes > self._limits.plain_bytes_max:
            raise Refused(Verdict.TOO_LARGE)
        judged = plain_bytes > self._limits.ratio_after_bytes
        if judged and plain_bytes > self._limits.ratio_max * sealed_bytes:
            raise Refused(Verdict.RATIO)
