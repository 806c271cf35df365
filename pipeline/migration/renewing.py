"""Renews a carrier's session while it does something that may take longer than a term."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.ledger.sharing.sessions import session_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.ledger.sharing.jobs import Job
    from pipeline.ledger.sharing.joined import JoinedLedger

RENEWALS_A_TERM: Final = 6

Result = TypeVar("Result")


def renewing(ledger: JoinedLedger, job: Job, work: Callable[[], Result]) -> Result:
    """Do something that asks the ledger nothing, in a thread, and renew the session meanwhile.

    Raises:
        LocalStorageFailed: The session is over, or the ledger's server did not come back in time.
        CardferryError: What the work raises.
    """
    thread = ThreadPoolExecutor(1, "reader")
    try:
        done = thread.submit(work)
        while wait([done], job.term_ms / 1_000 / RENEWALS_A_TERM).not_done:
            if ledger.again(lambda: ledger.renew(0, {})) is None:
                raise session_over()
        return done.result()
    finally:
        # Who is to stop does not wait for the end of a large file.
        thread.shutdown(wait=False)
