"""Submits a run's carriers to a Dask cluster, and follows what becomes of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pipeline.cluster.carrier_task import CarrierEnd, carry_here
from pipeline.cluster.connection import RESOURCE, connected, slots_offered
from pipeline.errors import LocalStorageFailed
from pipeline.ledger.ledger_url import pointer_of
from pipeline.logs import EventLog, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.config.cluster import ClusterSettings

_ANSWERS_WITHIN_S: Final = 2.0
_LOST: Final = "the connection to the Dask scheduler was lost"
_CONNECTED: Final = frozenset({"running", "connecting", "newly-connected"})

log = EventLog("cluster")


@contextmanager
def cluster_starter(
    cluster: ClusterSettings, folder: Path
) -> Iterator[Callable[[], SubmittedCarrier]]:
    """Connect to a cluster, and give what has it start a carrier of a migration.

    Args:
        cluster: Whose scheduler is asked.
        folder: The migration's folder; by the first start it names the ledger.

    Raises:
        LocalStorageFailed: The scheduler does not answer.
        SettingsRefused: It does not let us in, or is of another version.
    """
    with connected(cluster) as client:
        slots = slots_offered(client)
        log.info("cluster found", slots=slots)
        if not slots:
            log.warning("no worker offers to start a carrier yet, so carriers wait for one")
        yield lambda: _submit(client, folder)


def _submit(client: Any, folder: Path) -> SubmittedCarrier:
    """Have one carrier started, by whichever worker has a slot.

    Dask leaves a task that has begun where it is: only one that waits may go to another worker.

    Raises:
        LocalStorageFailed: The connection to the scheduler was lost for good.
    """
    pointer = pointer_of(folder)
    assert pointer is not None  # noqa: S101 - the run has named its ledger by now.
    if client.status not in _CONNECTED:
        raise LocalStorageFailed(
            _LOST,
            next_step="Look after the scheduler, then run the same command again.",
        )
    return SubmittedCarrier(
        client.submit(carry_here, pointer.schema, pure=False, resources={RESOURCE: 1})
    )


class SubmittedCarrier:
    """A carrier that the cluster was asked for: it waits for a slot, is at work, or has ended.

    Args:
        future: Dask's, of the task.
    """

    def __init__(self, future: Any) -> None:
        self._future = future
        self._end: CarrierEnd | None = None

    def ended(self) -> int | None:
        """Give its exit code once it has ended; negative where a signal ended it."""
        if self._end is None:
            self._end = self._look()
            if self._end is not None:
                host, code = _word(self._end.host), self._end.exit_code
                log.info("carrier of the cluster ended", host=host, code=code)
        return None if self._end is None else self._end.exit_code

    def said(self) -> str:
        """Give where it ran and what it said of why it ended; empty where it said nothing."""
        if self._end is None or not self._end.error:
            return ""
        told = f"{self._end.error} {self._end.next_step}".strip()
        return f"{self._end.host}: {told}" if self._end.host else told

    def let_go(self) -> None:
        """Have it not started any more; one at work learns from the ledger that the run ends."""
        if self._end is None:
            self._future.release()

    def wait(self, seconds: float) -> None:
        """Wait for nothing: it is no process of this machine, and its session is over by then."""
        del seconds

    def _look(self) -> CarrierEnd | None:
        status = self._future.status
        if status == "pending":
            return None
        if status not in {"finished", "error"}:
            return CarrierEnd(LocalStorageFailed.exit_code, "", _LOST)
        try:
            return CarrierEnd(*self._future.result(timeout=_ANSWERS_WITHIN_S))
        except Exception as trouble:  # noqa: BLE001 - Dask raises what it likes.
            if self._future.status != "error":
                # The worker went before it told us, and Dask begins the task again.
                return None
            kind = type(trouble).__name__
            return CarrierEnd(LocalStorageFailed.exit_code, "", f"Dask gave a carrier up ({kind})")


def _word(text: str) -> Word | None:
    """Give a word of another machine's, if it is one that may be logged."""
    try:
        return Word(text)
    except ValueError:
        return None
