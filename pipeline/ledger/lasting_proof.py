"""Holds what publications said of the things that last against the ledger of now.

A publication stands in the chain of events, and in a manifest that may be signed. Of everything
that came with runs up to its own it names one digest, and later runs change none of that: the
same digest must come out of the ledger for ever, however many runs were begun since, and whether
they were published or not. Among it is what the rows that later runs may change had become by each
publication (`versions`). The confirmation of runs that brought nothing names such a digest, too.
What came after the last of them nothing vouches for but the chain.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from sqlalchemy import select

from pipeline.errors import VerificationFailed
from pipeline.ledger.records import ExportState
from pipeline.ledger.schema import exports, runs
from pipeline.ledger.section_figures import counted_sections
from pipeline.ledger.sections import (
    LASTING_ATTEMPTS,
    LASTING_CUSTOMERS,
    LASTING_ROWS,
    versions,
)
from pipeline.ledger.store import store_of
from pipeline.ledger.versions import VERSIONED
from pipeline.ledger.versions_proof import unexplained_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.publications import PublicationHistory
    from pipeline.ledger.sections import Counted
    from pipeline.ledger.versions_proof import Compared

LASTING_KINDS: Final = (LASTING_ROWS, LASTING_CUSTOMERS, LASTING_ATTEMPTS)
"""What is counted of sections because it lasts."""
_OF_EXPORT: Final = (
    *("id", "name", "size", "sha256", "kind", "engine", "key_fingerprint", "signer", "as_of"),
    *("rows", "legacy_id_sum", "epoch", "reading_points"),
)


class Lasting(NamedTuple):
    """What came with a run and lasts, of a section, an export or a run: SHA-256, and where it stands."""

    epoch: int
    kind: int
    section: int
    things: int
    sha256: str


def what_lasts(
    connection: Connection,
    *,
    kept: bool,
    worked_out: Mapping[str, Iterable[Counted]] | None = None,
) -> list[Lasting]:
    """Give what came with each run and lasts, in the order of runs.

    Args:
        connection: A reading connection.
        kept: Go by what is kept of sections, and read only those of which nothing is.
        worked_out: What lasts of all sections, by kind, where the rows were read before.
    """
    cut = [
        Lasting(epoch, number, one.number, things, sha256)
        for number, kind in enumerate(LASTING_KINDS)
        for one in (
            counted_sections(connection, kind, kept=kept)
            if worked_out is None
            else worked_out[kind]
        )
        for epoch, things, sha256 in orjson.loads(one.figures)
    ]
    return sorted([*cut, *_exports_and_runs(connection), *_versions(connection, kept=kept)])


def _exports_and_runs(connection: Connection) -> Iterator[Lasting]:
    """Give what is told of each planned export, and of each run: who sent what, and who carried it."""
    planned = select(*(exports.c[name] for name in _OF_EXPORT)).where(
        exports.c.state == ExportState.PLANNED
    )
    for kind, asked in enumerate((planned, select(runs)), len(LASTING_KINDS)):
        for row in connection.execute(asked):
            told = hashlib.sha256(orjson.dumps(tuple(row))).hexdigest()
            yield Lasting(row.epoch, kind, row[0], 1, told)


def _versions(connection: Connection, *, kept: bool) -> Iterator[Lasting]:
    """Give what rows, cards and customers had become by each publication."""
    columns = [versions.c[name] for name in ("epoch", "number", "things", "sha256")]
    if not kept:
        columns.append(versions.c.packed)
    for kind, table in enumerate(VERSIONED, len(LASTING_KINDS) + 2):
        asked = select(*columns).where(versions.c.of == table.name)
        found = chain.from_iterable(store_of(connection).selected(connection, asked))
        for epoch, number, things, sha256, *entries in found:
            worked_out = [hashlib.sha256(packed).hexdigest() for packed in entries]
            # A digest of other entries stands for none that was ever published.
            told = sha256 if worked_out in ([], [sha256]) else f"{sha256} of {worked_out[0]}"
            yield Lasting(epoch, kind, number, things, told)


def lasting_digest(lasting: Sequence[Lasting], epoch: int | None = None) -> dict[str, int | str]:
    """Give how many things last, and one SHA-256 over all of them, up to a run or of all runs."""
    things, digest = 0, hashlib.sha256()
    for one in lasting:
        if epoch is not None and one.epoch > epoch:
            break
        things += one.things
        digest.update(orjson.dumps(tuple(one)))
    return {"rows": things, "sha256": digest.hexdigest()}


def _changed_since_published(lasting: Sequence[Lasting], known: PublicationHistory) -> int | None:
    """Give the number of the first event that vouched for something else; None if none did.

    Args:
        lasting: What lasts in the ledger of now, in the order of runs.
        known: What was published, and confirmed.
    """
    digest, ahead = hashlib.sha256(), 0
    for vouched in known.vouched():
        while ahead < len(lasting) and lasting[ahead].epoch <= vouched.epoch:
            digest.update(orjson.dumps(tuple(lasting[ahead])))
            ahead += 1
        if digest.hexdigest() != vouched.lasting:
            return vouched.seq
    return None


def _words_of_change(seq: int) -> str:
    """Say what a publication, or its confirmation, contradicts."""
    return f"rows, tokens, customers or attempts are not those that were published with event {seq}"


def require_what_lasts(connection: Connection, known: PublicationHistory, *, kept: bool) -> None:
    """Make sure that everything that was ever published and lasts is in the ledger as it was.

    What no run may change must be as it was; of all else, what changed for no reason is named,
    unless what is kept of sections is to be gone by, which nobody but us has written to.

    Raises:
        VerificationFailed: It is not, whatever runs were begun since.
    """
    if not known.publications:
        return
    found = change_since_published(connection, known, what_lasts(connection, kept=kept), kept=kept)
    if found is not None:
        raise VerificationFailed(
            f"the ledger was changed by another program: {found}",
            next_step="Keep the folder as it is; `cardferry verify DIR` names the place.",
        )


def change_since_published(
    connection: Connection,
    known: PublicationHistory,
    lasting: Sequence[Lasting],
    *,
    kept: bool,
    compared: Compared | None = None,
) -> str | None:
    """Say what is not as it was published, or became another thing for no reason; None: nothing.

    Args:
        connection: A reading connection.
        known: What was published, and confirmed.
        lasting: What lasts in the ledger of now, in the order of runs.
        kept: Leave out what only the rows themselves tell.
        compared: What is known of them, where all were read before.
    """
    changed = _changed_since_published(lasting, known)
    if changed is not None:
        return _words_of_change(changed)
    return None if kept else unexplained_change(connection, compared)
