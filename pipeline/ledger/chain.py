"""Appends events to the ledger's chain, each tied to the one before it by its hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import insert, select

from pipeline import hashing
from pipeline.errors import VerificationFailed
from pipeline.ledger.schema import events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


class Chain(NamedTuple):
    """Where a chain of events ends: its last hash, and how many there are."""

    head: str = hashing.GENESIS
    length: int = 0

    def appended(self, connection: Connection, event: Mapping[str, object]) -> Chain:
        """Write an event behind the others, in the caller's transaction; give the new end."""
        length = self.length + 1
        body = hashing.canonical({"seq": length, **event})
        head = hashing.link_bytes(self.head, body)
        connection.execute(insert(events).values(seq=length, body=body.decode(), hash=head))
        return Chain(head, length)


def follow_trail(connection: Connection) -> Chain:
    """Check the chain of events from its start; give its end.

    Raises:
        VerificationFailed: An event was changed, taken out or put in.
    """
    head, count = hashing.GENESIS, 0
    for seq, body, written in connection.execute(
        select(events.c.seq, events.c.body, events.c.hash).order_by(events.c.seq)
    ):
        count += 1
        head = hashing.link_bytes(head, body.encode())
        if seq != count or written != head:
            raise VerificationFailed(
                f"the ledger's trail of events was changed at event {count}",
                next_step="Keep the folder as it is and ask who touched it.",
            )
    return Chain(head, count)
