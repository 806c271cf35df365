"""Finds out which events outputs speak of, and what was published from the ledger so far."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import or_, select

from pipeline import hashing
from pipeline.errors import VerificationFailed
from pipeline.ledger.schema import events
from pipeline.ledger.store import FETCHED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection

MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.json.sig"
PUBLICATION: Final = "outputs_published"
"""The event that a publication leaves: digests of manifest, signature, key, files and tables."""
VERIFICATION: Final = "outputs_verified"
"""The event that a verification leaves; it names the manifest's digest and what was found."""
READING_BACK: Final = "readback"
"""The event that a comparison with the vault leaves; it names its file's digest and the counts."""
IN_PLACE: Final = "outputs_in_place"
"""The event after the last file took its name: from here on each that was named must be there."""
RESTORATION: Final = "outputs_restored"
"""The event of somebody who lets files that were changed or taken away be written again."""
SIGNATURE_UNCHECKED: Final = "signature_unchecked"
"""The event of somebody who signs, after a publication for which that key cannot vouch."""
RUN_STARTED: Final = "run_started"
"""The event with which a run begins."""
_LOOKS: Final = (
    *(PUBLICATION, VERIFICATION, READING_BACK, IN_PLACE, RESTORATION),
    SIGNATURE_UNCHECKED,
)


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that the ledger knows of: its event's number, and the digests it named.

    Attributes:
        seq: The number of its event.
        version: The version of Cardferry that published.
        manifest: SHA-256 of the manifest.
        signature: SHA-256 of the signature, if it was signed.
        signing_key: The signing key's fingerprint, if it was signed.
        files: SHA-256 of each file, by its name.
        tables: SHA-256 of what each table of the ledger held, by its name.
    """

    seq: int
    version: str
    manifest: str
    signature: str | None
    signing_key: str | None
    files: Mapping[str, str]
    tables: Mapping[str, str]

    def digests(self) -> dict[str, str]:
        """Give SHA-256 of everything that this publication put into the folder, by name."""
        signature = {} if self.signature is None else {SIGNATURE_NAME: self.signature}
        return {**self.files, MANIFEST_NAME: self.manifest, **signature}


@dataclass(frozen=True, slots=True)
class Account:
    """How far the events go that outputs speak of, and which publications there were.

    Events that change no row (publications, verifications, comparisons with the vault) after the
    last other event are not part of the trail that was published, so that publishing an unchanged
    ledger again gives the same trail. The next run's trail has them.

    Attributes:
        length: How many events outputs speak of.
        head: The hash of the last of them.
        publications: Every publication, in order.
        in_place: How many of those are known to have come to their end.
        runs: The numbers of the events with which the runs began, in order.
    """

    length: int
    head: str
    publications: tuple[Publication, ...]
    in_place: int = 0
    runs: tuple[int, ...] = ()

    @property
    def latest(self) -> Publication | None:
        """The publication of the ledger as it stands, if there was one."""
        last = self.publications[-1] if self.publications else None
        return last if last is not None and last.seq > self.length else None

    @property
    def previous_manifest(self) -> str | None:
        """The manifest's digest of the last publication before the ledger changed."""
        earlier = [known for known in self.publications if known.seq < self.length]
        return earlier[-1].manifest if earlier else None

    @property
    def binding(self) -> Publication | None:
        """The publication whose tables must still be the ledger's: no run has begun since it.

        Only runs write rows. An event of any other kind after it allows no change,
        whoever wrote it.
        """
        last = self.publications[-1] if self.publications else None
        return last if last is not None and self.epoch_of(last) == len(self.runs) else None

    def epoch_of(self, publication: Publication) -> int:
        """Give the epoch of the run after which something was published: its number, from 1."""
        return bisect(self.runs, publication.seq)

    @property
    def is_latest_in_place(self) -> bool:
        """Whether every file of the last publication took its name."""
        return 0 < self.in_place == len(self.publications)

    def may_stand(self) -> tuple[Publication, ...]:
        """Give the publications whose files may be in the folder now.

        The last that came to its end, and those that were begun after it and cut short.
        """
        return self.publications[max(0, self.in_place - 1) :]


def account(connection: Connection) -> Account:
    """Find out which events outputs speak of."""
    found = connection.execute(
        select(events.c.seq, events.c.body)
        .where(or_(_is(PUBLICATION), _is(IN_PLACE)))
        .order_by(events.c.seq)
    )
    publications: list[Publication] = []
    in_place = 0
    for seq, body in found:
        event = orjson.loads(body)
        if event["event"] == PUBLICATION:
            publications.append(_publication(seq, event["detail"]))
        else:
            in_place = len(publications)
    last = connection.execute(
        select(events.c.seq, events.c.hash)
        .where(*(~_is(kind) for kind in _LOOKS))
        .order_by(events.c.seq.desc())
        .limit(1)
    ).first()
    length, head = (0, hashing.GENESIS) if last is None else (int(last.seq), str(last.hash))
    began = select(events.c.seq).where(_is(RUN_STARTED)).order_by(events.c.seq)
    begun = tuple(connection.execute(began).scalars())
    return Account(length, head, tuple(publications), in_place, begun)


def _is(kind: str) -> ColumnElement[bool]:
    return events.c.body.contains(f'"event":"{kind}"', autoescape=True)


def _publication(seq: int, detail: Mapping[str, Any]) -> Publication:
    return Publication(
        int(seq),
        str(detail.get("version")),
        str(detail["manifest"]),
        detail.get("signature"),
        detail.get("signing_key"),
        detail.get("files") or {},
        detail.get("tables") or {},
    )


def event_lines(connection: Connection, length: int | None = None) -> Iterator[tuple[str, str]]:
    """Give (canonical body, hash) of the first `length` events, or of all, in order.

    Raises:
        VerificationFailed: An event does not stand at its number.
    """
    statement = select(events.c.seq, events.c.body, events.c.hash).order_by(events.c.seq)
    if length is not None:
        statement = statement.where(events.c.seq <= length)
    result = connection.execution_options(yield_per=FETCHED_AT_ONCE).execute(statement)
    for number, (seq, body, own) in enumerate(result, 1):
        if seq != number:
            raise VerificationFailed(
                f"the ledger's trail of events was changed at event {number}",
                next_step="Keep the folder as it is and ask who touched it.",
            )
        yield str(body), str(own)
