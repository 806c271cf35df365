"""Finishes what attaching leaves: defaults that were not moved yet, and cards that newer ones replaced.

Both are found in the ledger, so a run that died in between leaves them to the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.ledger.bearing import unit
from pipeline.ledger.records import AttemptStep
from pipeline.migration.attach_transitions import Sight
from pipeline.migration.card_to_attach import card_of, sight_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pipeline.clock import Clock
    from pipeline.config.attach import AttachSettings
    from pipeline.ledger.attach_needs import Replaced
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import AttachClaim, CustomerRecord
    from pipeline.migration.attacher import Attacher
    from pipeline.migration.card_to_attach import CardToAttach

CARD_DELETED: Final = "card_deleted"


@unit
def is_left(ledger: Ledger, attach: AttachSettings) -> bool:
    """Tell whether a default is left to move, or a replaced card to delete: no row waits for it."""
    with ledger.look() as look:
        moves = look.defaults_to_move(on_given=attach.default_on_given)
        return bool(moves or (attach.on_changed == "delete" and look.replaced_cards()))


class ReplacedCards:
    """Moves defaults that are flagged, and deletes replaced cards where the settings say so.

    Args:
        ledger: The open ledger of the run.
        thread: The ledger's thread.
        attacher: Asks the API host.
        clock: For the age of tokens.
        settings: Whether replaced cards are deleted, and whose defaults are moved.
    """

    def __init__(
        self,
        ledger: Ledger,
        thread: Executor,
        attacher: Attacher,
        clock: Clock,
        settings: AttachSettings,
    ) -> None:
        self._ledger = ledger
        self._thread = thread
        self._attacher = attacher
        self._clock = clock
        self._deletes = settings.on_changed == "delete"
        self._on_given = settings.default_on_given

    async def finish(self) -> None:
        """Do what is left to do.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        for claim in self._left().defaults:
            await self._move(self._card(claim))
        for pair in self._left().replaced if self._deletes else ():
            await self._replace(pair)

    async def _replace(self, pair: Replaced) -> None:
        """Delete an old card, once the new one is seen and is the default where the old one was."""
        newer = self._card(pair.newer)
        shown = await self._attacher.read_back(newer)
        if shown is None or sight_of(shown, newer) is not Sight.OURS:
            return
        if pair.is_default:
            await self._move(newer)
            if not newer.is_default:
                # A given customer's default stays, and with it the card that is it.
                return
        asked = self._asked(pair.row_id, AttemptStep.DELETE_CARD)
        if await self._attacher.deletions.delete(pair.row_id, pair.card_id, newer.customer, asked):
            self._thread.submit(self._note, pair, newer).result()

    def _note(self, pair: Replaced, newer: CardToAttach) -> None:
        self._ledger.note(
            CARD_DELETED,
            resource=pair.card_id,
            row=pair.row_id,
            replaced_by=newer.row_id,
            customer=newer.customer.customer_id,
        )

    async def _move(self, card: CardToAttach) -> None:
        await self._attacher.defaults.move(card, self._asked(card.row_id, AttemptStep.MOVE_DEFAULT))

    def _card(self, claim: AttachClaim) -> CardToAttach:
        def ask() -> CustomerRecord:
            with self._ledger.look() as look:
                return look.customers_of([claim.customer])[claim.customer]

        return card_of(claim, self._thread.submit(ask).result(), self._clock.monotonic())

    def _asked(self, row: int, step: AttemptStep) -> int:
        def ask() -> int:
            with self._ledger.look() as look:
                return look.attempts_at(row, step)

        return self._thread.submit(ask).result()

    def _left(self) -> _Left:
        def ask() -> _Left:
            with self._ledger.look() as look:
                return _Left(look.defaults_to_move(on_given=self._on_given), look.replaced_cards())

        return self._thread.submit(ask).result()


class _Left(NamedTuple):
    defaults: list[AttachClaim]
    replaced: list[Replaced]
