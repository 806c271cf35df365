"""Bounds how much an export may unpack to, whatever it is packed in."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.exports.verdict import Refused, Verdict


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an export may unpack to.

    Attributes:
        plain_bytes_max: Bytes of plain text, after each layer that is taken off.
        ratio_max: Plain bytes for each sealed byte read so far, after each layer.
        ratio_after_bytes: Plain bytes after which the ratio is checked.
        stall_s: Seconds that the decryptor may take for its next byte.
    """

    plain_bytes_max: int = 64 * 2**30
    ratio_max: float = 200.0
    ratio_after_bytes: int = 10_000_000
    stall_s: float = 120.0


class Growth:
    """Compares what one pass unpacked to with the sealed bytes that it read.

    Args:
        limits: How much is allowed.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sealed_bytes = 0
        """Sealed bytes read so far; whoever reads them says so."""

    def check(self, plain_bytes: int) -> None:
        """Check the size of one layer's text so far.

        Raises:
            Refused: `TOO_LARGE`, `RATIO`.
        """
        if plain_bytes > self._limits.plain_bytes_max:
            raise Refused(Verdict.TOO_LARGE)
        is_checked = plain_bytes > self._limits.ratio_after_bytes
        if is_checked and plain_bytes > self._limits.ratio_max * self.sealed_bytes:
            raise Refused(Verdict.RATIO)
