"""Gives an open ledger a thread of its own, where questions to it are asked again after an outage."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.ledger.open_ledger import OpenLedger

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class LedgerThread(ThreadPoolExecutor):
    """One thread, as one connection serves one at a time.

    What is submitted begins anew where the connection to the ledger's server was lost before any of
    it happened (`OpenLedger.again`).

    Args:
        ledger: The open ledger.
    """

    def __init__(self, ledger: OpenLedger) -> None:
        super().__init__(1, "ledger")
        self._ledger = ledger

    def submit(
        self,
        fn: Callable[Arguments, Answer],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Future[Answer]:
        """Have something done there."""
        return super().submit(self._ledger.again, partial(fn, *args, **kwargs))


def thread_of(ledger: OpenLedger) -> ThreadPoolExecutor:
    """Give a ledger's thread; a file is never lost, and nothing needs to be asked of it again."""
    return LedgerThread(ledger) if ledger.store.has_server else ThreadPoolExecutor(1, "ledger")
