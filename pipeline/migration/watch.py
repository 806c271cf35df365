"""Lets monitors see how a command goes: metrics in a file and on a port, a ping, a message at the end.

None of it ever fails a run: what cannot be written or told is a warning in the log.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, start_http_server

from pipeline.clock import SystemClock, beside
from pipeline.errors import SUCCESSES, CardferryError, MigrationLocked
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import is_begun, ledger_url
from pipeline.logs import EventLog
from pipeline.metrics import Counter
from pipeline.outputs.metrics_file import (
    METRICS_NAME,
    MigrationMetrics,
    Standing,
    families_told,
    standing_of,
    success_of,
    write_metrics,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path
    from wsgiref.simple_server import WSGIServer

    from pipeline.clock import Clock
    from pipeline.config.models import WatchSettings
    from pipeline.metrics import Flow
    from pipeline.migration.messages import Messenger

log = EventLog("watch")

WRITE_EVERY_S: Final = 60.0
_NOT_WRITTEN: Final = "the metrics file could not be written"
_NOT_SERVED: Final = "the metrics port could not be opened"
_LOOPBACK: Final = "127.0.0.1"


class Watch:
    """Follows one command; a listener of the run that it carries out.

    Args:
        folder: The migration folder; it need not be there yet.
        settings: The table `[watch]`.
        messenger: Tells monitors by HTTP; None where the settings name none.
        clock: For the minute, and for the moment of a success.
        carries: Whether the command sends rows itself; an inbox leaves that, the port, and the
            figures of a run to the processes that it starts.
        every_s: How often the file is written while rows are sent, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        settings: WatchSettings,
        messenger: Messenger | None,
        clock: Clock | None = None,
        *,
        carries: bool = True,
        every_s: float = WRITE_EVERY_S,
    ) -> None:
        self._folder = folder
        self._named = settings.metrics_file
        self._port = settings.metrics_port if carries else 0
        self._carries = carries
        self._messenger = messenger
        self._clock = clock or SystemClock()
        self._every_s = every_s
        self._metrics = MigrationMetrics(str(folder.absolute()))
        self._began_s = self._clock.now().timestamp()
        self._server: WSGIServer | None = None
        self._failed: set[str] = set()

    def begin(self) -> None:
        """Begin to be seen."""
        self._began_s = self._clock.now().timestamp()
        if self._messenger is not None:
            self._messenger.began()
        if self._port:
            self._quietly(self._serve, _NOT_SERVED)

    def end(self, exit_code: int, summary: Mapping[str, Any], *, notify: bool = True) -> None:
        """Show and tell how the command ended.

        Args:
            exit_code: What it ends with.
            summary: What `--json` shows of it.
            notify: Whether there is anything that a person may want to read.
        """
        if exit_code != MigrationLocked.exit_code:
            # Another run holds the folder, and the file shows how that one goes.
            self._quietly(lambda: self._write_end(exit_code), _NOT_WRITTEN)
        if self._messenger is not None:
            self._messenger.ended(summary, well=exit_code in SUCCESSES, notify=notify)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def show(self) -> None:
        """Show how the migration stands after something that was no night: the last success stays."""
        self._quietly(self._write_standing, _NOT_WRITTEN)

    def _write_standing(self) -> None:
        told = [] if self._path is None else families_told(self._path)
        self._metrics.keep_run(told)
        self._metrics.last_success_s = success_of(told)
        self._metrics.standing = self._standing()
        self._write()

    @contextmanager
    def reading(self, name: str) -> Iterator[Counter]:  # noqa: ARG002 - rows are counted once planned.
        """Learn that an export is being read; nothing is shown of that."""
        yield Counter()

    @asynccontextmanager
    async def sending(self, flow: Flow, clock: Clock) -> AsyncIterator[None]:
        """Show the flow for as long as rows are sent, in the file every minute."""
        self._metrics.follow(await asyncio.to_thread(self._standing, flow), flow)
        async with beside(self._write_every(clock)):
            yield

    async def _write_every(self, clock: Clock) -> None:
        while True:
            await asyncio.to_thread(self._quietly, self._write, _NOT_WRITTEN)
            await clock.sleep(self._every_s)

    def _write_end(self, exit_code: int) -> None:
        path = self._path
        told = [] if path is None else families_told(path)
        remembered = success_of(told)
        if not self._carries:
            self._metrics.keep_run(told)
        standing = self._standing()
        in_ledger = standing.last_success_s if standing else None
        if exit_code in SUCCESSES and (in_ledger or 0.0) < self._began_s:
            # There was nothing to carry, so that the ledger knows of no run.
            remembered = self._clock.now().timestamp()
        self._metrics.last_success_s = remembered
        self._metrics.end(standing, exit_code)
        self._write()

    def _write(self) -> None:
        path = self._path
        if path is not None:
            write_metrics(path, self._metrics.text(), shared=self._named is not None)

    @property
    def _path(self) -> Path | None:
        """The metrics file; None where neither settings nor a migration's folder give it a place."""
        if self._named is not None:
            return self._named
        return self._folder / METRICS_NAME if self._folder.is_dir() else None

    def _standing(self, under_way: Flow | None = None) -> Standing | None:
        """Look into the ledger; None where there is none that can be read."""
        try:
            if not is_begun(self._folder):
                return None
            ledger = Ledger(ledger_url(self._folder), self._clock, read_only=True)
            try:
                with ledger.look() as look:
                    return standing_of(look, under_way)
            finally:
                ledger.close()
        except (CardferryError, OSError):
            log.warning("the ledger could not be looked at for metrics")
            return None

    def _serve(self) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self._metrics)
        self._server, _ = start_http_server(self._port, _LOOPBACK, registry)

    def _quietly(self, do: Callable[[], None], what: str) -> None:
        """Do something that may fail; only the log learns of it, once, however often it fails."""
        try:
            do()
        except (CardferryError, OSError, ValueError):
            if what not in self._failed:
                self._failed.add(what)
                log.warning(what, file=self._path, port=self._port or None)
