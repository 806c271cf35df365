"""Divides the slots among carriers, and tells those who wait what the others found of the vault's limit.

Pure: how the sessions stand comes in, what one of them may do comes out (`sessions.renew` keeps both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE_CARRIER_PER_S: Final = 500
"""So many requests a second one carrier can send on any machine."""


class Share(NamedTuple):
    """What a session may do until it is renewed again.

    Attributes:
        slots: How many cards it may have under way, as others have given up the rest.
        fair: How many it is to have: it uses no more from now on.
        closed_for_s: For how long nobody sends, as the vault asked one of us.
        is_over: Whether it is to drain and leave.
        good_per_s: Requests a second that the vault bears, as those who send have found; None where
            they have met no limit.
    """

    slots: int
    fair: int
    closed_for_s: float
    is_over: bool
    good_per_s: float | None


class LiveSession(NamedTuple):
    """How a live session stands.

    Attributes:
        slots: How many cards it may have under way.
        good_per_ks: Requests in 1,000 seconds that the vault bears, as it told; None for no limit.
        has_begun: Whether it can send; before that it still reads exports, and has no part.
        has_work: Whether it has a chunk, or there is one to take.
    """

    slots: int
    good_per_ks: int | None
    has_begun: bool
    has_work: bool = True


class Part(NamedTuple):
    """What a session is dealt: slots, those it is to have, and what the senders know of the limit."""

    slots: int
    fair: int
    good_per_ks: int | None


def dealt(live: Mapping[int, LiveSession], session: int, held: int, in_flight_max: int) -> Part:
    """Give a session's part of C.

    Where the vault has refused requests, and one carrier alone could send all that it bears, the
    others stand by: each that looks for the limit by itself meets it again and again. They hear what
    the sender finds, as one of them is in its place once it leaves, or has nothing left to send while
    another has rows of a chunk.

    Args:
        live: How each live session stands, in the order in which they came.
        session: Whose part.
        held: How many slots it cannot give up yet.
        in_flight_max: C, the slots of all together.
    """
    told = [each for each in live.values() if each.good_per_ks is not None]
    found = [each.good_per_ks or 0 for each in told if each.slots]
    # Where nobody who sends has met a limit, what others remember counts, until they forget it.
    limit = sum(found) if found else max((each.good_per_ks or 0 for each in told), default=0)
    begun = [number for number, each in live.items() if each.has_begun]
    senders = begun
    if told and limit < ONE_CARRIER_PER_S * 1_000:
        senders = ([number for number in begun if live[number].has_work] or begun)[:1]
    fair = 0
    if session in senders:
        fair = fair_share(in_flight_max, len(senders), senders.index(session))
    own = live[session].slots
    others = sum(each.slots for each in live.values()) - own
    slots = granted(min(held, own), fair, in_flight_max - others)
    return Part(slots, fair, limit if found else None)


def fair_share(in_flight_max: int, carriers: int, rank: int) -> int:
    """Give how many of C slots one of so many carriers is to have; those who came first the rest."""
    return in_flight_max // carriers + (rank < in_flight_max % carriers)


def granted(held: int, fair: int, left: int) -> int:
    """Give how many slots a session may have: what it cannot give up yet, or its part of what is left.

    So all of them never have more than C, whoever comes or goes.
    """
    return max(held, min(fair, left))
