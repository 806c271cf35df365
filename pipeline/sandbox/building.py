"""Options in, an application out, with everything that must be closed after it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.sandbox.accounts import Gate
from pipeline.sandbox.api import Application
from pipeline.sandbox.books import Books
from pipeline.sandbox.desk import Desk
from pipeline.sandbox.faults import read_script
from pipeline.sandbox.id_generator import Mint
from pipeline.sandbox.journal import Journal
from pipeline.sandbox.limits import Limiter
from pipeline.sandbox.state import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.sandbox.options import Options


@contextmanager
def open_desk(options: Options, now: Callable[[], float] = time.time) -> Iterator[Desk]:
    """Open a desk that answers without a socket, and close its files at the end.

    Args:
        options: Its options; address, latency and faults do not concern it.
        now: The wall clock, seconds since 1970.

    Raises:
        StoreRefused: The state's file cannot be used.
        OSError: The journal cannot be opened.
    """
    with ExitStack() as stack:
        store = Store(options.db, options.tokens_max)
        stack.callback(store.close)
        journal = None
        if options.journal:
            journal = Journal(options.journal)
            stack.callback(journal.close)
        mint = Mint(now, os.urandom, store.last_id())
        books = Books(store, mint, now, options.assume, options.brands, journal)
        yield Desk(books, Gate(options.accounts), _limiter(options), options.version)


@contextmanager
def open_application(options: Options) -> Iterator[Application]:
    """Open the whole sandbox as an ASGI application, and close its files at the end.

    Raises:
        ScriptRefused: The fault script cannot be read.
        StoreRefused: The state's file cannot be used.
        OSError: The journal cannot be opened.
    """
    script = read_script(options.faults)
    with open_desk(options) as desk:
        yield Application(desk, script, options.latency_s, options.assume.body_bytes_max)


def _limiter(options: Options) -> Limiter | None:
    if options.rate_per_s is None:
        return None
    burst = options.burst or max(2.0, options.rate_per_s / 10)
    return Limiter(
        options.rate_per_s, burst, tells_wait=options.tells_wait, monotonic=time.monotonic
    )
