"""Finds every difference between the files of a migration and its ledger, offline.

Nothing is written: what is being verified is evidence. Without a public key this finds damage
and every change that does not rewrite ledger, trail and manifest together; with the key, those
too.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.errors import WRITTEN_BY_NOBODY, CardferryError, LocalStorageFailed
from pipeline.folder_files import open_in_folder, read_in_folder, why_not
from pipeline.ledger.ledger_url import LEDGER_NAME
from pipeline.ledger.publications import MANIFEST_NAME, SIGNATURE_NAME
from pipeline.outputs.files import OPTIONAL_NAMES, OUTPUT_NAMES
from pipeline.outputs.later_events import LaterEvent, not_covered, since_head
from pipeline.outputs.rebuild import Rebuilding
from pipeline.outputs.signature import is_signed, load_public_key
from pipeline.outputs.sinks import digest_of
from pipeline.outputs.verify_contents import content_differences
from pipeline.outputs.verify_ledger import (
    WHOLE,
    Difference,
    SoundLedger,
    check_manifest,
    examined_ledger,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from pipeline.clock import Clock
    from pipeline.outputs.manifest import Manifest
    from pipeline.outputs.rebuild import Rebuilt
    from pipeline.outputs.verify_ledger import CheckedManifest


_SIGNATURE_BYTES_MAX: Final = 4096
_ROLLED_BACK: Final = (
    "does not come by the expected hash: the folder was put back to an earlier state, "
    "or is another migration's"
)


@dataclass(frozen=True, slots=True)
class Trusted:
    """What a verifier knows from another place than the folder.

    Attributes:
        public_key: PEM of the key that must have signed the manifest, or None.
        head: A hash that the chain of events must have come by, or None.
    """

    public_key: bytes | None = None
    head: str | None = None


@dataclass(slots=True)
class Verification:
    """What was found.

    Attributes:
        differences: Every difference, the one to look at first in front.
        signature: `valid`, `invalid`, `not checked` (no public key given) or `none`.
        manifest: What the manifest says, where it could be read.
        not_covered: Events after the last publication, which the next one will cover.
        since_head: Events after the expected hash, which whoever kept that has to know of.
    """

    differences: list[Difference] = field(default_factory=list)
    signature: str = "none"
    manifest: Manifest | None = None
    not_covered: list[LaterEvent] = field(default_factory=list)
    since_head: list[LaterEvent] = field(default_factory=list)


def verify(
    folder: Path,
    clock: Clock,
    version: str,
    trusted: Trusted = Trusted(),
) -> Verification:
    """Check every file of a migration against the manifest, the ledger and each other.

    Args:
        folder: The migration folder.
        clock: For opening the ledger; nothing is dated.
        version: Cardferry's version; of another one's files only the digests are compared.
        trusted: What the verifier knows from elsewhere.

    Raises:
        SettingsRefused: The public key is none.
        LocalStorageFailed: The ledger is there but cannot be read.
    """
    key = load_public_key(trusted.public_key) if trusted.public_key is not None else None
    with examined_ledger(folder, clock, trusted.head) as examined:
        ledger = examined if isinstance(examined, SoundLedger) else None
        verdict = check_manifest(folder, examined)
        found = Verification(manifest=verdict.manifest)
        if isinstance(examined, Difference):
            found.differences.append(examined)
        elif examined.head_at is None:
            found.differences.append(Difference(LEDGER_NAME, "chain of events", _ROLLED_BACK))
        else:
            found.since_head = since_head(examined, trusted.head)
        if ledger is not None and ledger.history.latest is None and not verdict.content:
            unpublished = "is not there: nothing was published from this ledger yet"
            found.differences.append(Difference(MANIFEST_NAME, WHOLE, unpublished))
            return found
        checks = _Checks(folder, ledger, verdict, version)
        found.signature, unsigned = checks.signature(key)
        found.differences += [*_differences(MANIFEST_NAME, checks.manifest), *unsigned]
        files = _differences(MANIFEST_NAME, checks.files)
        found.differences += files
        manifest = verdict.manifest
        if ledger is not None:
            found.differences += _told("tables", ledger.look.contradiction)
        if ledger is not None and manifest is not None and verdict.difference is None:
            changed = {difference.file for difference in files}
            found.not_covered = not_covered(ledger, manifest)
            found.differences += _differences(
                LEDGER_NAME, lambda: content_differences(folder, ledger, manifest, changed)
            )
        if ledger is not None:
            # After the rows and columns, which say more exactly where.
            found.differences += _told("what was published", ledger.look.change_since_published)
        if ledger is not None and not any(d.file == LEDGER_NAME for d in found.differences):
            # Where rows were changed, what is kept of them says no more than that.
            found.differences += _told("table sections", ledger.look.differing_section)
    return found


def _differences(name: str, check: Callable[[], Iterable[Difference]]) -> list[Difference]:
    """Make a check; where the bytes that are judged raise something in it, that is a difference, too."""
    try:
        return list(check())
    except LocalStorageFailed:
        raise
    except Exception as trouble:  # noqa: BLE001 - what is judged may be anything.
        return [Difference(name, WHOLE, f"cannot be judged ({type(trouble).__name__})")]


def _told(place: str, ask: Callable[[], str | None]) -> list[Difference]:
    """Ask the ledger for the first thing that it tells against itself."""

    def check() -> Iterator[Difference]:
        told = ask()
        if told is not None:
            yield Difference(LEDGER_NAME, place, told)

    return _differences(LEDGER_NAME, check)


class _Checks:
    """The checks that need the same things.

    Args:
        folder: The migration folder.
        ledger: The ledger, if its structure and chain hold.
        verdict: What the manifest was found to be.
        version: Cardferry's version.
    """

    def __init__(
        self, folder: Path, ledger: SoundLedger | None, verdict: CheckedManifest, version: str
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
        latest = self._ledger.history.latest if self._ledger else None
        wrong = self._verdict.difference
        behind = wrong is not None and wrong.file != MANIFEST_NAME
        # A ledger that is older than the files knows nothing of their signature.
        promised = None if latest is None or behind else latest.signature
        try:
            signature = read_in_folder(self._folder / SIGNATURE_NAME, _SIGNATURE_BYTES_MAX)
        except OSError:
            if promised is None and key is None:
                return "none", []
            return "none", [Difference(SIGNATURE_NAME, WHOLE, self._unsigned(promised))]
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

    def _unsigned(self, promised: str | None) -> str:
        """Say why there is no signature, without accusing anybody who never had a key."""
        if promised is not None or self._ledger is None:
            return "is missing"
        if any(known.signature for known in self._ledger.history.publications):
            return "was not made for the last publication: it was published without a signing key"
        return "was never made: this migration is not signed (no audit.signing_key was set)"

    def files(self) -> Iterator[Difference]:
        """Compare every file with what the manifest says, or else with what the ledger gives."""
        expected = self._digests()
        for name in expected or OUTPUT_NAMES:
            try:
                same = self._is(name, expected.get(name))
            except OSError as trouble:
                yield Difference(name, WHOLE, why_not(trouble))
                continue
            wanted = expected.get(name)
            if wanted is not None and not same:
                yield Difference(name, self._place(name, wanted), "is not what was published")
        for name in OPTIONAL_NAMES if expected else ():
            if name not in expected and os.path.lexists(self._folder / name):
                yield Difference(name, WHOLE, "is there, but was not published")

    def _is(self, name: str, wanted: tuple[int, str] | None) -> bool:
        """Tell whether a file has this size and digest; one of another size is not read."""
        with open_in_folder(self._folder / name) as source:
            size = os.fstat(source.fileno()).st_size
            return wanted is not None and size == wanted[0] and digest_of(source) == wanted

    def _digests(self) -> dict[str, tuple[int, str]]:
        if self._verdict.manifest is not None:
            return {e.name: (e.size, e.sha256) for e in self._verdict.manifest.files}
        if self._trusted_rebuilt() is None or self._rebuilding is None:
            return {}
        rebuilt = {name: self._rebuilding.output(name) for name in self._rebuilding.names}
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
        latest = self._ledger.history.latest if self._ledger else None
        if latest is None or self._rebuilding is None:
            return None
        try:
            rebuilt = self._rebuilding.manifest()
        except (CardferryError, *WRITTEN_BY_NOBODY):
            return None
        return rebuilt if rebuilt.sha256 == latest.manifest else None
