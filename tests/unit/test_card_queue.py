"""Which card a slot gets next."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.records import Claim
from pipeline.migration.card_queue import CardQueue
from pipeline.migration.known_customers import KnownCustomer
from pipeline.migration.transitions import ToAttach, WaitingCard
from pipeline.vault.interface import SentCard
from pipeline.vault.omise.tokens import CardMessage
from tests.support.virtual_time import VirtualClock, run_virtually


def card(number, digits="4242", to=None):
    claim = Claim(number, 0, 0, digits, 12, 2031, "Visa")
    sent, request = SentCard(digits, 12, 2031), CardMessage(b"x" * 8)
    return WaitingCard(claim, sent, request, 0, 0, attaching=to)


async def batches(*cards):
    for batch in cards:
        yield list(batch)


def queue_of(*cards):
    clock = VirtualClock()
    return CardQueue(batches(*cards), clock, asyncio.Event()), clock


@given(digits=st.lists(st.sampled_from("abcde"), max_size=60), slots=st.integers(1, 8))
def test_every_card_comes_once_and_never_beside_its_like(digits, slots):
    """However alike the cards are and however many slots take them."""

    async def main():
        cards = [card(number, sign) for number, sign in enumerate(digits)]
        queue, _ = queue_of(cards[:25], cards[25:])
        under_way, came = [], []

        async def slot():
            while (taken := await queue.next()) is not None:
                assert taken.sent not in under_way
                under_way.append(taken.sent)
                await asyncio.sleep(0.1)
                under_way.remove(taken.sent)
                came.append(taken.claim.id)
                queue.done(taken)

        await asyncio.gather(*(slot() for _ in range(slots)))
        return came

    assert list(range(len(digits))) == sorted(run_virtually(main()))


def test_a_card_that_was_set_aside_lets_others_go_first_and_waits_for_its_time():
    """Four others at least while there are any, and never before its seconds are over."""

    async def main():
        cards = [card(number, str(number)) for number in range(9)]
        queue, clock = queue_of(cards)
        first = await queue.next()
        queue.set_aside(first, 5.0)
        order = []
        while (taken := await queue.next()) is not None:
            order.append((taken.claim.id, clock.monotonic()))
            queue.done(taken)
        return order

    order = run_virtually(main())

    assert [*range(1, 9), 0] == [number for number, _ in order]
    assert order[-1][1] >= 5.0


def test_a_card_that_is_due_goes_though_others_should_go_first_and_none_may_be_read():
    """So many wait that the source is not asked: nobody else could ever go before it."""

    async def main():
        cards = [card(number, str(number)) for number in range(5_001)]
        queue, clock = queue_of(cards[:5_000], cards[5_000:])
        for _ in range(4_999):
            queue.set_aside(await queue.next(), 3_600.0)
        queue.set_aside(await queue.next(), 0.0)
        return (await queue.next()).claim.id, clock.monotonic()

    assert (4_999, 0.0) == run_virtually(main())


def test_what_still_waits_is_wiped_at_the_end():
    """Ready, set aside or waiting for its like: no number outlives the run."""

    async def main():
        cards = [card(number) for number in range(4)] + [card(9, "9")]
        queue, _ = queue_of(cards)
        await queue.next()
        queue.set_aside(await queue.next(), 60.0)
        queue.wipe()
        return cards[1:]

    for waiting in run_virtually(main()):
        assert bytes(8) == bytes(waiting.request)


def of_customer(number, customer, digits):
    return card(number, digits, ToAttach(None, customer, {}))


@given(
    kinds=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("wxyz")), max_size=60),
    slots=st.integers(1, 6),
)
def test_a_customer_has_one_card_under_way_whatever_else_its_cards_wait_for(kinds, slots):
    """Every card comes once, and neither two of one customer nor two alike are beside each other."""

    async def main():
        customers = {name: KnownCustomer(None) for name in "wxyz"}
        cards = [of_customer(n, customers[who], sign) for n, (sign, who) in enumerate(kinds)]
        queue, _ = queue_of(cards[:25], cards[25:])
        under_way, came = [], []

        async def slot():
            while (taken := await queue.next()) is not None:
                assert not set(taken.keys) & set(under_way)
                under_way.extend(taken.keys)
                await asyncio.sleep(0.1)
                for key in taken.keys:
                    under_way.remove(key)
                came.append(taken.claim.id)
                queue.done(taken)

        await asyncio.gather(*(slot() for _ in range(slots)))
        return came

    assert list(range(len(kinds))) == sorted(run_virtually(main()))
