"""Finds every difference between the files of a migration and its ledger, offline.

Nothing is written: what is being verified is evidence. Without a public key this finds damage
and every change that does not rewrite ledger, trail and manifest together; with the key, those
too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.errors import CardferryError
from pipeline.outputs.files import OUTPUT_NAMES
from pipeline.outputs.manifest import MANIFEST_NAME, SIGNATURE_NAME
from pipeline.outputs.rebuild import Rebuilding
from pipeline.outputs.signature import is_signed, load_public_key
from pipeline.outputs.sinks import digest_of
from pipeline.outputs.verify_contents import content_differences
from pipeline.outputs.verify_ledger import (
    WHOLE,
    WRITTEN_BY_NOBODY,
    Difference,
    SoundLedger,
    judge_manifest,
    ledger_witness,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from pipeline.clock import Clock
    from pipeline.outputs.rebuild import Rebuilt
    from pipeline.outputs.verify_ledger import ManifestVerdict


@dataclass(slots=True)
class Verification:
    """What was found.

    Attributes:
        differences: Every difference, the one to look at first in front.
        signature: `valid`, `invalid`, `not checked` (no public key given) or `none`.
        manifest: What the manifest says, where it could be read.
    """

    differences: list[Difference] = field(default_factory=list)
    signature: str = "none"
    manifest: dict[str, Any] | None = None


def verify(folder: Path, clock: Clock, version: str, public_key: bytes | None) -> Verification:
    """Check every file of a migration against the manifest, the ledger and each other.

    Args:
        folder: The migration folder.
        clock: For opening the ledger; nothing is dated.
        version: Cardferry's version; of another one's files only the digests are compared.
        public_key: PEM of the key that must have signed the manifest, or None.

    Raises:
        SettingsRefused: The public key is none.
        LocalStorageFailed: The ledger is there but cannot be read.
    """
    key = None if public_key is None else load_public_key(public_key)
    with ledger_witness(folder, clock) as witness:
        ledger = witness if isinstance(witness, SoundLedger) else None
        verdict = judge_manifest(folder, witness)
        found = Verification(manifest=verdict.manifest)
        if isinstance(witness, Difference):
            found.differences.append(witness)
        if ledger is not None and ledger.account.latest is None and not verdict.content:
            unpublished = "is not there: nothing was published from this ledger yet"
            found.differences.append(Difference(MANIFEST_NAME, WHOLE, unpublished))
            return found
        checks = _Checks(folder, ledger, verdict, version)
        found.signature, unsigned = checks.signature(key)
        found.differences += [*checks.manifest(), *unsigned]
        files = list(checks.files())
        found.differences += files
        if ledger is not None and verdict.manifest is not None and verdict.difference is None:
            changed = {difference.file for difference in files}
            found.differences += content_differences(folder, ledger, verdict.manifest, changed)
    return found


class _Checks:
    """The checks that need the same things.

    Args:
        folder: The migration folder.
        ledger: The ledger, if its structure and chain hold.
        verdict: What the manifest was found to be.
        version: Cardferry's version.
    """

    def __init__(
        self, folder: Path, ledger: SoundLedger | None, verdict: ManifestVerdict, version: str
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._verdict = verdict
        self._rebuilding = Rebuilding(folder, ledger, version) if ledger else None

    def manifest(self) -> Iterator[Difference]:
        """Name the manifest that is not the published one, or the ledger that is older."""
        wrong = self._verdict.difference
        if wrong is None:
            return
        if wrong.file == MANIFEST_NAME and self._verdict.content:
            rebuilt = self._trusted_rebuilt()
            place = rebuilt.place if rebuilt else None
            wrong = Difference(wrong.file, place or wrong.place, wrong.problem)
        yield wrong

    def signature(self, key: Ed25519PublicKey | None) -> tuple[str, list[Difference]]:
        """Check the signature: by the key if there is one, by the ledger's word anyway."""
        latest = self._ledger.account.latest if self._ledger else None
        wrong = self._verdict.difference
        behind = wrong is not None and wrong.file != MANIFEST_NAME
        # A ledger that is older than the files knows nothing of their signature.
        promised = None if latest is None or behind else latest.signature
        try:
            signature = (self._folder / SIGNATURE_NAME).read_bytes()
        except OSError:
            missing = key is not None or promised is not None
            return "none", [Difference(SIGNATURE_NAME, WHOLE, "is missing")] if missing else []
        state = "not checked"
        if key is not None:
            signed = is_signed(key, self._verdict.content, signature)
            state = "valid" if signed else "invalid"
        if promised is not None and hashlib.sha256(signature).hexdigest() != promised:
            problem = "is not the signature that was published"
            return state, [Difference(SIGNATURE_NAME, WHOLE, problem)]
        if state == "invalid" and (wrong is None or behind):
            problem = "was not made over this manifest with this key"
            return state, [Difference(SIGNATURE_NAME, WHOLE, problem)]
        return state, []

    def files(self) -> Iterator[Difference]:
        """Compare every file with what the manifest says, or else with what the ledger gives."""
        expected = self._digests()
        for name in OUTPUT_NAMES:
            try:
                with (self._folder / name).open("rb") as source:
                    actual = digest_of(source)
            except OSError:
                yield Difference(name, WHOLE, "is missing or cannot be read")
                continue
            wanted = expected.get(name)
            if wanted is not None and actual != wanted:
                yield Difference(name, self._place(name, wanted), "is not what was published")

    def _digests(self) -> dict[str, tuple[int, str]]:
        if self._verdict.manifest is not None:
            return {e["name"]: (e["size"], e["sha256"]) for e in self._verdict.manifest["files"]}
        if self._trusted_rebuilt() is None or self._rebuilding is None:
            return {}
        rebuilt = {name: self._rebuilding.output(name) for name in OUTPUT_NAMES}
        return {name: (output.size, output.sha256) for name, output in rebuilt.items()}

    def _place(self, name: str, wanted: tuple[int, str]) -> str:
        """Find the first byte that was changed, where this version writes the same bytes."""
        try:
            output = self._rebuilding.output(name) if self._rebuilding else None
        except (CardferryError, *WRITTEN_BY_NOBODY):
            return WHOLE
        reliable = output is not None and (output.size, output.sha256) == wanted
        return (output.place if output and reliable else None) or WHOLE

    def _trusted_rebuilt(self) -> Rebuilt | None:
        """Build the manifest again; None unless it is the very one that the ledger names."""
        latest = self._ledger.account.latest if self._ledger else None
        if latest is None or self._rebuilding is None:
            return None
        try:
            rebuilt = self._rebuilding.manifest()
        except (CardferryError, *WRITTEN_BY_NOBODY):
            return None
        return rebuilt if rebuilt.sha256 == latest.manifest else None
