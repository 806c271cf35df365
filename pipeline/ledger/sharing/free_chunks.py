"""Tells whether a chunk is free, for carriers that wait for one and for who is to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from pipeline.ledger.sharing.tables import chunks

if TYPE_CHECKING:
    from sqlalchemy import Connection


def has_free(connection: Connection) -> bool:
    """Tell whether a chunk of the export that is carried now is nobody's."""
    now = select(func.min(chunks.c.export_id)).where(chunks.c.is_done == 0).scalar_subquery()
    free = select(chunks.c.first_id).where(
        chunks.c.export_id == now, chunks.c.is_done == 0, chunks.c.session.is_(None)
    )
    return connection.execute(free.limit(1)).first() is not None
