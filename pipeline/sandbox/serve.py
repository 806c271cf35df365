"""Serves a sandbox on a socket, in the foreground or in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn
import uvloop

from pipeline.sandbox.http_protocol import SandboxProtocol
from pipeline.sandbox.opening import open_application

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pipeline.sandbox.api import Application
    from pipeline.sandbox.options import Options

_BACKLOG: Final = 2_048
_LAST_ANSWERS_S: Final = 5
_KEEP_ALIVE_S: Final = 75


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready and lets hanging clients go when it stops."""

    def __init__(self, application: Application, ready: Callable[[], None]) -> None:
        # Nothing is logged: not the requests, and no traceback that could show one.
        config = uvicorn.Config(
            application,
            interface="asgi3",
            http=SandboxProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
        super().__init__(config)
        self._application = application
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to `serve`, which ends with a clean exit."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, without waiting for clients that a fault keeps hanging."""
        self._application.release()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    Raises:
        CannotListen: The port is taken, needs privileges, or the host has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # The resolver's errors have negative numbers, which no table of the system knows.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else "no such address"
        raise CannotListen(f"cannot listen on port {port}: {reason.lower()}") from None


def url_of(listener: socket.socket) -> str:
    """Give the base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(options: Options, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then answer what is under way and return.

    Args:
        options: The sandbox's options.
        announce: Called once with the base URL when requests are answered.

    Raises:
        CannotListen: The address cannot be listened on.
        ScriptRefused: The fault script cannot be read.
        StateRefused: The state's file cannot be used.
        OSError: The journal cannot be opened.
    """
    with open_application(options) as application, listen(options.host, options.port) as listener:
        server = _Server(application, lambda: announce(url_of(listener)))

        async def run() -> None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _stop, server)
            await server.serve(sockets=[listener])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())


def _stop(server: _Server) -> None:
    server.should_exit = True


@contextmanager
def background(options: Options) -> Iterator[str]:
    """Serve in a thread of this process for as long as the context lasts; gives the base URL.

    Raises:
        CannotListen: The address cannot be listened on.
        ScriptRefused: The fault script cannot be read.
        StateRefused: The state's file cannot be used.
        OSError: The journal cannot be opened.
    """
    with open_application(options) as application, listen(options.host, options.port) as listener:
        ready = threading.Event()
        server = _Server(application, ready.set)

        def run() -> None:
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(server.serve(sockets=[listener]))
            finally:
                ready.set()

        thread = threading.Thread(target=run, name="sandbox", daemon=True)
        thread.start()
        try:
            ready.wait()
            if not server.started:
                raise CannotListen("the sandbox did not start")
            yield url_of(listener)
        finally:
            # The server looks at this flag ten times a second.
            server.should_exit = True
            thread.join()
