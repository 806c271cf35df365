"""Builds an application from options, with everything that must be closed after it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.sandbox.accounts import KeyCheck
from pipeline.sandbox.api import Application, Scripts
from pipeline.sandbox.context import Context
from pipeline.sandbox.customers import Customers
from pipeline.sandbox.faults import read_script
from pipeline.sandbox.id_generator import IdGenerator
from pipeline.sandbox.journal import Journal
from pipeline.sandbox.limits import Limiter
from pipeline.sandbox.router import Router
from pipeline.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.sandbox.options import Options


@contextmanager
def open_router(options: Options, now: Callable[[], float] = time.time) -> Iterator[Router]:
    """Open a router that answers without a socket, and close its files at the end.

    Args:
        options: Its options; address, latency and faults do not concern it.
        now: The wall clock, seconds since 1970.

    Raises:
        StateRefused: The state's file cannot be used.
        OSError: The journal cannot be opened.
    """
    with ExitStack() as stack:
        state = State(options.db, options.tokens_max)
        stack.callback(state.close)
        journal = None
        if options.journal:
            journal = Journal(options.journal)
            stack.callback(journal.close)
        id_generator = IdGenerator(now, os.urandom, state.last_id())
        context = Context(
            state=state,
            id_generator=id_generator,
            now=now,
            assume=options.assume,
            brands=options.brands,
            journal=journal,
            version=options.version,
            webhook_uri=options.webhook_uri,
        )
        Customers(context).add_known(options.accounts[0], options.customers)
        of_vault = _limiter(options, options.rate_per_s)
        of_api = _limiter(options, options.api_rate_per_s) or of_vault
        yield Router(context, KeyCheck(options.accounts), of_vault, of_api)


@contextmanager
def open_application(options: Options) -> Iterator[Application]:
    """Open the whole sandbox as an ASGI application, and close its files at the end.

    Raises:
        ScriptRefused: The fault script cannot be read.
        StateRefused: The state's file cannot be used.
        OSError: The journal cannot be opened.
    """
    script = read_script(options.faults)
    scripts = Scripts(script, read_script(options.api_faults) if options.api_faults else script)
    with open_router(options) as router:
        yield Application(
            router,
            scripts,
            latency_s=options.latency_s,
            late_s=options.late_s,
            body_bytes_max=options.assume.body_bytes_max,
        )


def _limiter(options: Options, rate_per_s: float | None) -> Limiter | None:
    if rate_per_s is None:
        return None
    burst = options.burst or max(2.0, rate_per_s / 10)
    return Limiter(rate_per_s, burst, tells_wait=options.tells_wait, monotonic=time.monotonic)
