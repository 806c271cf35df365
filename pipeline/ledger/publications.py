"""Finds out which events outputs speak of, and what was published from the ledger so far."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import or_, select

from pipeline import hashing
from pipeline.errors import VerificationFailed
from pipeline.ledger.schema import events
from pipeline.ledger.store import FETCHED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.json.sig"
PUBLICATION: Final = "outputs_published"
"""The event that a publication leaves: digests of manifest, signature, key, files and tables."""
VERIFICATION: Final = "outputs_verified"
"""The event that a verification leaves; it names the manifest's digest and what was found."""
READING_BACK: Final = "readback"
"""The event that a comparison with the vault leaves; it names its file's digest and the counts."""
CONFIRMATION: Final = "outputs_unchanged"
"""The event after runs that brought nothing: what was published last still says all there is to say."""
IN_PLACE: Final = "outputs_in_place"
"""The event after the last file took its name: from here on each that was named must be there."""
RESTORATION: Final = "outputs_restored"
"""The event of somebody who lets files that were changed or taken away be written again."""
SIGNATURE_UNCHECKED: Final = "signature_unchecked"
"""The event of somebody who signs, after a publication for which that key cannot vouch."""
LASTING: Final = "lasting"
"""The name, among the tables' digests, of that over what no later run may change."""
RUN_STARTED: Final = "run_started"
"""The event with which a run begins."""
BRING_NOTHING: Final = frozenset({RUN_STARTED, "export_known", "clock_behind", "run_ended"})
"""What a run may tell of that the report and its readers need not learn."""
_MOVE_NO_ROW: Final = frozenset(
    (
        *(*BRING_NOTHING, "export_opened", "export_refused"),
        *(READING_BACK, RESTORATION, SIGNATURE_UNCHECKED),
    )
)
"""What may be told after a publication whose lists still say what is open."""
_LOOKS: Final = (
    *(PUBLICATION, CONFIRMATION, VERIFICATION, READING_BACK, IN_PLACE, RESTORATION),
    SIGNATURE_UNCHECKED,
)


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that the ledger knows of: its event's number, and the digests it named.

    Attributes:
        seq: The number of its event.
        length: How many events its trail has.
        version: The version of Cardferry that published.
        manifest: SHA-256 of the manifest.
        signature: SHA-256 of the signature, if it was signed.
        signing_key: The signing key's fingerprint, if it was signed.
        files: SHA-256 of each file, by its name; empty once a later publication stands.
        tables: SHA-256 of what each table of the ledger held, by its name; of what lasts alone, once
            a later publication stands.
    """

    seq: int
    length: int
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

    def overtaken(self) -> Publication:
        """Give what is still asked of it: a ledger may have been published many thousand times."""
        lasts = {name: told for name, told in self.tables.items() if name == LASTING}
        return replace(self, files={}, tables=lasts)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the ledger says of runs that brought nothing, and for which nothing was published.

    Attributes:
        seq: The number of its event.
        lasting: SHA-256 of what no later run may change, these runs included (`lasting_proof`).
    """

    seq: int
    lasting: str


class Vouched(NamedTuple):
    """What an event says of everything that came with the runs up to one of them, and lasts."""

    epoch: int
    seq: int
    lasting: str | None


@dataclass(frozen=True, slots=True)
class PublicationHistory:
    """How far the events go that outputs speak of, and which publications there were.

    Events that change no row (publications, verifications, comparisons with the vault) after the
    last other event are not part of the trail that was published, so that publishing an unchanged
    ledger again gives the same trail. Neither are those of runs that brought nothing, once a
    confirmation says so. The trail of the next run that brings something has them all.

    Attributes:
        length: How many events outputs speak of.
        head: The hash of the last of them.
        publications: Every publication, in order.
        in_place: How many of those are known to have come to their end.
        runs: The numbers of the events with which the runs began, in order.
        confirmations: Every confirmation of the publication before it, in order.
    """

    length: int
    head: str
    publications: tuple[Publication, ...]
    in_place: int = 0
    runs: tuple[int, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()

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
        """The publication whose tables must still be the ledger's, as of its last run.

        Only runs write rows, and none has begun since it, or since its last confirmation. An event
        of any other kind allows no change, whoever wrote it.
        """
        said = _last_seq(self.publications, self.confirmations)
        is_bound = said and self.runs_before(said) == len(self.runs)
        return self.publications[-1] if is_bound else None

    @property
    def epoch(self) -> int:
        """The epoch of the last run that outputs speak of."""
        return self.runs_before(self.length)

    def epoch_of(self, publication: Publication) -> int:
        """Give the epoch of the last run that a publication speaks of: its number, from 1."""
        return self.runs_before(publication.length)

    def runs_before(self, seq: int) -> int:
        """Count the runs that had begun when an event was written."""
        return bisect(self.runs, seq)

    def vouched(self) -> list[Vouched]:
        """Give what was ever said of what lasts, in the order of the runs that it was said of."""
        published = [
            Vouched(self.epoch_of(one), one.seq, one.tables.get(LASTING))
            for one in self.publications
        ]
        confirmed = [
            Vouched(self.runs_before(one.seq), one.seq, one.lasting) for one in self.confirmations
        ]
        return sorted([*published, *confirmed], key=lambda said: said[:2])

    @property
    def is_latest_in_place(self) -> bool:
        """Whether every file of the last publication took its name."""
        return 0 < self.in_place == len(self.publications)

    def may_stand(self) -> tuple[Publication, ...]:
        """Give the publications whose files may be in the folder now.

        The last that came to its end, and those that were begun after it and cut short.
        """
        return self.publications[max(0, self.in_place - 1) :]


def publication_history(connection: Connection) -> PublicationHistory:
    """Find out which events outputs speak of."""
    publications: list[Publication] = []
    confirmations: list[Confirmation] = []
    in_place = 0
    for seq, event in _events(connection, PUBLICATION, CONFIRMATION, IN_PLACE):
        detail = event["detail"]
        if event["event"] == PUBLICATION:
            publications.append(_publication(seq, detail))
        elif event["event"] == IN_PLACE:
            for at in range(max(0, in_place - 1), len(publications) - 1):
                publications[at] = publications[at].overtaken()
            in_place = len(publications)
        elif publications and detail.get("manifest") == publications[-1].manifest:
            confirmations.append(Confirmation(seq, str(detail.get(LASTING))))
    last = connection.execute(
        select(events.c.seq, events.c.hash)
        .where(*(~_is(kind) for kind in _LOOKS))
        .order_by(events.c.seq.desc())
        .limit(1)
    ).first()
    length, head = (0, hashing.GENESIS) if last is None else (int(last.seq), str(last.hash))
    if _last_seq(publications, confirmations) > length > publications[-1].length:
        length = publications[-1].length
        end = select(events.c.hash).where(events.c.seq == length)
        head = str(connection.execute(end).scalar())
    began = select(events.c.seq).where(_is(RUN_STARTED)).order_by(events.c.seq)
    begun = tuple(connection.execute(began).scalars())
    return PublicationHistory(
        length, head, tuple(publications), in_place, begun, tuple(confirmations)
    )


def kinds_since(connection: Connection, seq: int) -> set[str]:
    """Give the kinds of the events after one, but for those that say that outputs are as they were."""
    silent = (PUBLICATION, CONFIRMATION, VERIFICATION, IN_PLACE)
    later = select(events.c.body).where(events.c.seq > seq, *(~_is(kind) for kind in silent))
    return {orjson.loads(body)["event"] for body in connection.execute(later).scalars()}


def lists_are_current(connection: Connection) -> bool:
    """Tell whether the lists that were published last still say what is open: no row moved since."""
    published = publication_history(connection).publications
    return bool(published) and kinds_since(connection, published[-1].length) <= _MOVE_NO_ROW


def _events(connection: Connection, *kinds: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give number and body of every event of some kinds, in order."""
    found = connection.execute(
        select(events.c.seq, events.c.body).where(or_(*map(_is, kinds))).order_by(events.c.seq)
    )
    for seq, body in found:
        yield int(seq), orjson.loads(body)


def _is(kind: str) -> ColumnElement[bool]:
    return events.c.body.contains(f'"event":"{kind}"', autoescape=True)


def _last_seq(*said: Sequence[Publication] | Sequence[Confirmation]) -> int:
    """Give the number of the last of some events, or 0."""
    return max((one[-1].seq for one in said if one), default=0)


def _publication(seq: int, detail: Mapping[str, Any]) -> Publication:
    return Publication(
        seq,
        int(detail.get("length", seq - 1)),
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
