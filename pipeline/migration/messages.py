"""Tells a monitor by HTTP that a command has begun or ended; what fails here fails nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.logs import EventLog, Word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx
    from pydantic import SecretStr

log = EventLog("watch")

PAUSES_S: Final = (0.0, 1.0, 3.0)
"""Before each attempt to tell something; then it is given up."""

ATTEMPT_TIMEOUT_S: Final = 5.0
END_BOUND_S: Final = 20.0
"""The longest that a command waits at its end for a monitor that does not answer."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell; the address is a secret, as whoever has it can tell the same.

    Attributes:
        what: `start`, `success`, `fail` or `notify`, for the log.
        url: Where to.
        body: What to POST as JSON; None for a GET.
    """

    what: str
    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


class Messenger:
    """Tells monitors in a thread of its own, in order, so that no run waits for them.

    Args:
        ping_url: Asked at `URL/start`, then at `URL` or `URL/fail`, as healthchecks.io does it.
        notify_url: Is sent how a command ended, as JSON.
        pauses_s: Before each attempt, in seconds.
        bound_s: How long the end of a command waits at most.
    """

    def __init__(
        self,
        ping_url: SecretStr | None,
        notify_url: SecretStr | None,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        bound_s: float = END_BOUND_S,
    ) -> None:
        self._ping_url = ping_url.get_secret_value() if ping_url else None
        self._notify_url = notify_url.get_secret_value() if notify_url else None
        self._pauses_s = pauses_s
        self._bound_s = bound_s
        self._waiting: SimpleQueue[Message | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given_up = threading.Event()

    def began(self) -> None:
        """Tell that a command has begun."""
        if self._ping_url is not None:
            self._tell(Message("start", _below(self._ping_url, "start")))

    def ended(self, summary: Mapping[str, Any], *, well: bool, notify: bool = True) -> None:
        """Tell that it has ended, and wait until everything is told, or for so long.

        Args:
            summary: What `--json` shows.
            well: Whether every row of its exports is settled.
            notify: Whether there is anything that a person may want to read.
        """
        if self._ping_url is not None:
            what, url = (
                ("success", self._ping_url) if well else ("fail", _below(self._ping_url, "fail"))
            )
            self._tell(Message(what, url))
        if self._notify_url is not None and notify:
            body = orjson.dumps(dict(summary), default=str)
            self._tell(Message("notify", self._notify_url, body))
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(self._bound_s)
            if self._thread.is_alive():
                log.warning("a monitor did not answer in time", seconds=self._bound_s)
            self._given_up.set()
            self._thread = None

    def _tell(self, message: Message) -> None:
        if self._thread is None:
            self._given_up = threading.Event()
            # A daemon: a name server that never answers must not keep the process.
            self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
            self._thread.start()
        self._waiting.put(message)

    def _work(self) -> None:
        import httpx  # noqa: PLC0415 - most commands tell nobody.

        given_up = self._given_up
        with httpx.Client(timeout=ATTEMPT_TIMEOUT_S, follow_redirects=False) as client:
            while (message := self._waiting.get()) is not None:
                for pause_s in self._pauses_s:
                    if given_up.wait(pause_s):
                        return
                    if self._is_settled(client, message):
                        break
                else:
                    log.warning("a monitor was not reached", told=Word(message.what))

    def _is_settled(self, client: httpx.Client, message: Message) -> bool:
        """Tell it once; say whether that is settled, for good or as refused for good."""
        import httpx  # noqa: PLC0415 - as above.

        try:
            if message.body is None:
                answer = client.get(message.url)
            else:
                headers = {"content-type": "application/json"}
                answer = client.post(message.url, content=message.body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as trouble:
            log.debug("a monitor gave no answer", trouble=Word(type(trouble).__name__))
            return False
        if answer.is_success:
            return True
        if answer.is_server_error or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return False
        log.warning("a monitor refused", told=Word(message.what), status=answer.status_code)
        return True


def _below(url: str, word: str) -> str:
    """Give the address below an address, before what is asked of it."""
    address, mark, asked = url.partition("?")
    return f"{address.rstrip('/')}/{word}{mark}{asked}"
