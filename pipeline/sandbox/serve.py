"""Serves a sandbox on a socket, in the foreground or in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from contextlib import contextmanager, suppress
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
_BETWEEN_LOOKS_S: Final = 0.005
"""How often it is looked whether the last answers have left."""
_DATE_EVERY_S: Final = 1
_KEEP_ALIVE_S: Final = 75


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready, and ends at once when it is asked to.

    uvicorn's own looks ten times a second whether it is to end, and waits as long for its clients:
    a demo and every test would end a fifth of a second later than they could.
    """

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
        )
        super().__init__(config)
        self._application = application
        self._ready = ready
        self._asked_to_end = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to `serve`, which ends with a clean exit."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._ready()

    def end(self) -> None:
        """Ask the server to end, from any thread; one that did not start has nothing to end."""
        if self.started:
            # One whose loop is over has ended by itself.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._asked_to_end.set)

    async def main_loop(self) -> None:
        """Keep the answers' Date right until the server is asked to end."""
        while not self._asked_to_end.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked_to_end.wait(), _DATE_EVERY_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Take no more requests and end when the last answers have left.

        Clients that a fault keeps hanging are let go, and what takes too long is cut off.
        """
        self._application.release()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                # uvicorn tells nobody when the last one has left.
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(_BETWEEN_LOOKS_S)


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
                loop.add_signal_handler(number, server.end)
            await server.serve(sockets=[listener])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())


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
            server.end()
            thread.join()
