"""Loads what a run sends with while it waits for a process that starts: one takes as long as the other.

Whoever needs these modules imports them all the same, so that runs that send nothing load none.
"""

from __future__ import annotations


def load_what_sends() -> None:
    """Load what reaches the vault and sends; nothing is done yet."""
    import pipeline.migration.send  # noqa: PLC0415
    import pipeline.migration.vault_reachability  # noqa: F401, PLC0415
