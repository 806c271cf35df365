"""Reads a planned export again and builds the request of each row that is still to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cards.field_formats import MONTHS, YEARS
from pipeline.cards.rows import ADDRESS_COLUMNS, CARRY_PREFIX
from pipeline.errors import VerificationFailed
from pipeline.exports.reader import read
from pipeline.exports.reading_points import NeededRows, PointsMisfit, ReadingPoint, ReadingPoints
from pipeline.ledger.records import ROW_SPAN, row_id
from pipeline.logs import EventLog, Word
from pipeline.migration.transitions import ToAttach, WaitingCard
from pipeline.vault.interface import SentCard

log = EventLog("send")

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.cards.rows import Chunk
    from pipeline.exports.sealed_export import ExportFile, SealedExport
    from pipeline.ledger.plan_records import KnownExport
    from pipeline.migration.claiming import Claimed, RowsWanted
    from pipeline.migration.customer_texts import CustomerTexts
    from pipeline.migration.judged_chunks import Reading
    from pipeline.vault.interface import Vault


def waiting_cards(
    sealed: SealedExport,
    file: ExportFile,
    export: KnownExport,
    reading: Reading,
    vault: Vault,
    wanted: RowsWanted,
) -> Generator[list[WaitingCard]]:
    """Give the cards that the ledger planned and that are still to be sent, in order.

    Where the next ones have to wait for what is under way, an empty list is given, again and again.

    Args:
        sealed: The export, held open since pass 1.
        file: Its digests; every block is compared with them before it is decrypted.
        export: The export as the ledger knows it.
        reading: How to read it, as in pass 1.
        vault: Builds the requests.
        wanted: Which rows it is read for: what stands before them is left unread as far as a
            reading may begin between, and what stands behind them is not decrypted.

    Raises:
        VerificationFailed: A planned row does not read as it did when it was planned.
    """
    points = ReadingPoints.of_text(export.reading_points).fitting(reading.options)
    chunks = _ChunksWanted(export, wanted, points)
    is_read = False
    while not is_read:
        try:
            with sealed.reread(file) as blocks:
                for chunk in read(blocks, reading.options, chunks.needed):
                    try:
                        while chunks.has_to_wait(chunk):
                            yield []
                        claimed = chunks.claim(chunk)
                        if claimed is None:
                            return
                        if claimed.rows:
                            yield _requests(chunk, claimed, vault, reading.texts)
                    finally:
                        chunk.numbers.wipe()
            is_read = True
        except PointsMisfit:
            log.warning("reading begins anew without places", sha256=Word(export.sha256))
            chunks.forget_points()


class _ChunksWanted:
    """Claims what is wanted of chunks, and knows how far that has come.

    Args:
        export: The export.
        wanted: Which rows of it are wanted.
        points: Where a reading may begin.
    """

    def __init__(
        self, export: KnownExport, wanted: RowsWanted, points: tuple[ReadingPoint, ...]
    ) -> None:
        self._export = export
        self._wanted = wanted
        self._done = 0
        self.needed = NeededRows(self._first_from, points)

    def forget_points(self) -> None:
        """Let the next reading leave nothing unread; no row is claimed a second time by it."""
        self.needed = NeededRows(self._first_from)

    def has_to_wait(self, chunk: Chunk) -> bool:
        """Tell, after a pause, that a chunk's rows cannot be claimed yet."""
        return self._wanted.has_to_wait(*self._ids(chunk.first_row, chunk.last_row))

    def claim(self, chunk: Chunk) -> Claimed | None:
        """Give what may be sent of a chunk; None once the run stops.

        Raises:
            PointsMisfit: Its rows are not those that the ledger knows by these numbers.
        """
        if self.needed.points and chunk.first_row > self._done + 1:
            self._require_known(chunk)
        claimed = self._wanted.claim(*self._ids(chunk.first_row, chunk.last_row))
        self._done = chunk.last_row
        return claimed

    def _first_from(self, row: int) -> int | None:
        first_id, _ = self._ids(max(row, self._done + 1), 0)
        found = self._wanted.first_from(first_id, self._export.last_id)
        return None if found is None else found % ROW_SPAN

    def _require_known(self, chunk: Chunk) -> None:
        """Prove the first chunk after a gap by the legacy ids that the ledger has of its rows."""
        known = self._wanted.ids(*self._ids(chunk.first_row, chunk.last_row))
        ids, _ = self._ids(0, 0)
        read_ids = zip(chunk.rows.tolist(), chunk.columns["legacy_id"], strict=True)
        if not known.items() <= {ids + row: text for row, text in read_ids}.items():
            raise PointsMisfit

    def _ids(self, first_row: int, last_row: int) -> tuple[int, int]:
        return row_id(self._export.id, first_row), row_id(self._export.id, last_row)


def _requests(
    chunk: Chunk, claimed: Claimed, vault: Vault, texts_of_customers: CustomerTexts | None
) -> list[WaitingCard]:
    """Build what is sent for the claimed rows; they were judged in pass 1, from these very bytes."""
    columns, numbers = chunk.columns, chunk.numbers
    places = {row: place for place, row in enumerate(chunk.rows.tolist())}
    last_digits = numbers.last_digits().tolist()
    months = [MONTHS.get(text) for text in columns["expiration_month"]]
    years = [YEARS.get(text) for text in columns["expiration_year"]]
    names = ["name", *(name for name in ADDRESS_COLUMNS if name in columns)]
    texts = list(zip(*(columns[name] for name in names), strict=True))
    waiting = []
    customers = _Customers(chunk, claimed, texts_of_customers)
    for claim in claimed.rows:
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
        request = None
        if claimed.needs_token(claim.id):
            request = vault.card_request(fields, numbers.reveal(place))
        to = customers.of(claim.id, place)
        waiting.append(
            WaitingCard(claim, sent, request, claim.attempts, claim.unknowns, attaching=to)
        )
    return waiting


class _Customers:
    """Says where the cards of a chunk are to go, and what a new customer is made with."""

    def __init__(self, chunk: Chunk, claimed: Claimed, texts: CustomerTexts | None) -> None:
        self._attaching = claimed.attaching
        self._texts = texts
        if claimed.attaching:
            self._carried = {
                name.removeprefix(CARRY_PREFIX): texts
                for name, texts in chunk.columns.items()
                if name.startswith(CARRY_PREFIX)
            }
            self._ids = chunk.columns["legacy_id"]
            self._emails = chunk.columns.get("email")

    def of(self, row: int, place: int) -> ToAttach | None:
        """Give where the row at this place of the chunk is to go; None where it goes nowhere."""
        to = self._attaching.get(row)
        if to is None:
            return None
        claim, customer = to
        fields: dict[str, Any] = {}
        if self._texts is not None and customer.record.customer_id is None:
            fields = self._texts.fields(
                customer.record.legacy_customer_id,
                self._ids[place],
                {name: texts[place] for name, texts in self._carried.items()},
                self._emails[place] if self._emails else "",
            )
        return ToAttach(claim, customer, fields)


def _read_differently() -> VerificationFailed:
    return VerificationFailed(
        "a planned row does not read as it did when it was planned; nothing of it was sent",
        next_step="Finish with the version and settings that planned it, or use a new folder.",
    )
