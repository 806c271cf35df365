"""Makes sure that a run has a descriptor for every connection that it may open."""

from __future__ import annotations

import resource
from typing import Final

from pipeline.errors import SettingsRefused

RESERVED: Final = 96
"""For everything that is no connection: ledger, exports, pipes, outputs, libraries."""


def require_descriptors(connections: int) -> None:
    """Raise this process's own limit so that so many connections fit beside all else.

    Args:
        connections: The most that are ever open at once.

    Raises:
        SettingsRefused: The machine's hard limit does not allow as many.
    """
    needed = connections + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SettingsRefused(
            [f"flow.in_flight_max: {needed} descriptors are needed, this process may have {hard}"],
            next_step="Lower flow.in_flight_max or raise the limit (`ulimit -Hn`), then run again.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
