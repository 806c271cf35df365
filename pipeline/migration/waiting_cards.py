"""Reads a planned export again and builds the request of each row that is still to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cards.field_formats import MONTHS, YEARS
from pipeline.cards.rows import ADDRESS_COLUMNS
from pipeline.errors import VerificationFailed
from pipeline.exports.reader import read
from pipeline.ledger.records import ROW_SPAN, row_id
from pipeline.migration.transitions import WaitingCard
from pipeline.vault.interface import SentCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.cards.rows import Chunk
    from pipeline.exports.sealed_export import ExportFile, SealedExport
    from pipeline.ledger.plan_records import KnownExport
    from pipeline.ledger.records import Claim
    from pipeline.migration.judging import Reading
    from pipeline.vault.interface import Vault


def waiting_cards(
    sealed: SealedExport,
    file: ExportFile,
    export: KnownExport,
    reading: Reading,
    vault: Vault,
    claim: Callable[[int, int], list[Claim] | None],
) -> Iterator[list[WaitingCard]]:
    """Give the cards that the ledger planned and that are still to be sent, in order.

    Args:
        sealed: The export, held open since pass 1.
        file: Its digests; every block is compared with them before it is decrypted.
        export: The export as the ledger knows it.
        reading: How to read it, as in pass 1.
        vault: Builds the requests.
        claim: Gives the rows that may be sent in a range of row ids; None once the run stops.

    Raises:
        VerificationFailed: A planned row does not read as it did when it was planned.
    """
    with sealed.reread(file) as blocks:
        for chunk in read(blocks, reading.options):
            claims = claim(row_id(export.id, chunk.first_row), row_id(export.id, chunk.last_row))
            try:
                if claims:
                    yield _requests(chunk, claims, vault)
            finally:
                chunk.numbers.wipe()
            if claims is None:
                return


def _requests(chunk: Chunk, claims: Sequence[Claim], vault: Vault) -> list[WaitingCard]:
    """Build what is sent for the claimed rows; they were judged in pass 1, from these very bytes."""
    frame, numbers = chunk.frame, chunk.numbers
    places = dict(zip(frame.index.tolist(), range(len(frame)), strict=True))
    last_digits = numbers.last_digits().tolist()
    months = [MONTHS.get(text) for text in frame["expiration_month"].tolist()]
    years = [YEARS.get(text) for text in frame["expiration_year"].tolist()]
    names = ["name", *(name for name in ADDRESS_COLUMNS if name in frame.columns)]
    texts = list(zip(*(frame[name].tolist() for name in names), strict=True))
    waiting = []
    for claim in claims:
        place = places.get(claim.id % ROW_SPAN)
        if place is None:
            raise _read_differently()
        month, year = months[place], years[place]
        if month is None or year is None:
            raise _read_differently()
        sent = SentCard(last_digits[place], month, year)
        if sent != (claim.last_digits, claim.expiration_month, claim.expiration_year):
            raise _read_differently()
        # An empty text is no address; the vault would store it.
        fields: dict[str, str | int] = {n: t for n, t in zip(names, texts[place], strict=True) if t}
        fields["expiration_month"], fields["expiration_year"] = month, year
        request = vault.card_request(fields, numbers.reveal(place))
        waiting.append(WaitingCard(claim, sent, request, claim.attempts, claim.unknowns))
    return waiting


def _read_differently() -> VerificationFailed:
    return VerificationFailed(
        "a planned row does not read as it did when it was planned; nothing of it was sent",
        next_step="Finish with the version and settings that planned it, or use a new folder.",
    )
