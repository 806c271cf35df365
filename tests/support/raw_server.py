"""A server that does exactly what a test says with each connection: sockets and threads only.

It shares nothing with the event loop under test, so what the client sees is what a kernel does.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

PATIENCE_S = 10.0


class RawServer:
    """Runs `behave(conversation)` in a thread for every connection it accepts."""

    def __init__(
        self, behave: Callable[[Conversation], None], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._threads: list[threading.Thread] = []
        self.conversations: list[Conversation] = []
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://localhost:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        """Every request that was read with `Conversation.read_request`, in order."""
        return [request for talk in self.conversations for request in talk.requests]

    @property
    def received(self) -> bytes:
        """Every byte that was read, after TLS."""
        return b"".join(talk.received for talk in self.conversations)

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        # A listener that is shut down wakes its accept; one that is only closed does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_S)
            self._spawn(self._converse, sock)

    def _converse(self, sock: socket.socket) -> None:
        talk = Conversation(sock, self)
        self.conversations.append(talk)
        try:
            if self._tls is not None:
                talk.sock = self._tls.wrap_socket(sock, server_side=True)
            self._behave(talk)
        except OSError:
            pass  # The client went away, which is often the point.
        finally:
            talk.sock.close()


class Conversation:
    """One accepted connection, in the hands of a test."""

    def __init__(self, sock: socket.socket, server: RawServer) -> None:
        self.sock = sock
        self.server = server
        self.requests: list[bytes] = []
        self.received = b""
        self.sent = 0

    def read(self, at_least: int = 1) -> bytes:
        """Read until that many bytes came, or the client hung up."""
        got = b""
        while len(got) < at_least:
            piece = self.sock.recv(65536)
            if not piece:
                break
            got += piece
        self.received += got
        return got

    def read_request(self) -> bytes | None:
        """Read one whole request; `None` when the client hung up before it."""
        request = b""
        while b"\r\n\r\n" not in request:
            piece = self.read()
            if not piece:
                return None
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        if len(body) < length:
            request += self.read(length - len(body))
        self.requests.append(request)
        return request

    def send(self, piece: bytes) -> None:
        self.sock.sendall(piece)
        self.sent += len(piece)

    def answer(self, body: bytes = b"{}", status: str = "200 OK", fields: bytes = b"") -> None:
        self.send(
            b"HTTP/1.1 " + status.encode() + b"\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n" % len(body) + fields + b"\r\n" + body
        )

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_until_client_leaves(self) -> None:
        """Read on until the client hangs up."""
        while self.read():
            pass

    def hang(self) -> None:
        """Do nothing until the test is over."""
        self.server.over.wait(PATIENCE_S)


def answer_all(talk: Conversation) -> None:
    """Be a well-behaved server."""
    while talk.read_request() is not None:
        talk.answer()
