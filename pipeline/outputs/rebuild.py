"""Makes every file again from a sound ledger and compares it with what stands in the folder.

Each output is a function of the ledger, so what would be written now shows the first byte that
somebody changed. That holds only where this version writes the very bytes that were published,
which the caller can tell by the digest.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from pipeline.folder_files import open_in_folder
from pipeline.ledger.publications import MANIFEST_NAME
from pipeline.outputs.files import Outputs
from pipeline.outputs.sinks import ComparedFile, MeasuredFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.outputs.sinks import Sink
    from pipeline.outputs.verify_ledger import SoundLedger


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a file should be, and the first place where the one in the folder is not."""

    size: int
    sha256: str
    place: str | None


class Rebuilding:
    """Writes outputs again, each at most once.

    Args:
        folder: The migration folder.
        ledger: Its ledger.
        version: Cardferry's version, as it stands in the files.
    """

    def __init__(self, folder: Path, ledger: SoundLedger, version: str) -> None:
        self._folder = folder
        latest = ledger.history.latest
        self._outputs = Outputs(ledger.look, version, latest.signing_key if latest else None)
        self._done: dict[str, Rebuilt] = {}
        self.names = tuple(self._outputs.writers)
        """The files that the ledger gives, in the order in which they take their names."""

    def output(self, name: str) -> Rebuilt:
        """Compare one output."""
        if name not in self._done:
            self._done[name] = self._compare(name, self._outputs.writers[name])
        return self._done[name]

    def manifest(self) -> Rebuilt:
        """Compare the manifest; this writes every output again."""
        outputs = {name: self.output(name) for name in self.names}
        content = self._outputs.manifest({n: (o.size, o.sha256) for n, o in outputs.items()})

        return self._compare(MANIFEST_NAME, lambda target: target.write(content))

    def _compare(self, name: str, write: Callable[[Sink], object]) -> Rebuilt:
        try:
            source: IO[bytes] = open_in_folder(self._folder / name)
        except OSError:
            source = io.BytesIO()
        with source:
            compared = ComparedFile(source)
            measured = MeasuredFile(compared)
            write(measured)
            first = compared.finish()
        place = None if first is None else f"byte {first[0] + 1}, line {first[1]}"
        if place and name.endswith(".parquet"):
            place = place.partition(",")[0]
        return Rebuilt(measured.size, measured.sha256, place)
