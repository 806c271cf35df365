"""A line to a server, such as a ledger's PostgreSQL, on a socket of its own, that a test breaks."""

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from pathlib import Path

PORT = 5432
_BYTES = 1 << 16


class Line:
    """Hands on what client and server say, until it is told to lose something.

    Args:
        server: The folder of a PostgreSQL server, with its socket; or the port of another one on
            this machine.
    """

    def __init__(self, server):
        self._family = socket.AF_INET if isinstance(server, int) else socket.AF_UNIX
        self._server = ("127.0.0.1", server)
        if not isinstance(server, int):
            self._server = str(server / f".s.PGSQL.{PORT}")
        self.folder = Path(tempfile.mkdtemp(prefix="cf-line-"))
        self.path = self.folder / f".s.PGSQL.{PORT}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self.pairs = []
        self._frozen = []
        self._is_cut = self._is_frozen = False
        self._refused: set[int] = set()
        self._came = 0
        self._left, self._what, self._what_was = 0, "", ""
        self._every = 0
        self.lost = self.handed_on = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, database="postgres", user="postgres"):
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def lose(self, what, after, every=0):
        """Break at a later message of a client: lose it (`request`), or only the `answer` to it.

        Args:
            what: What is lost; with `cut` nothing comes about any more afterwards.
            after: How many messages go through before.
            every: How many go through before each later loss; default: there is none.
        """
        self._left, self._what, self._every = after, what, every

    @property
    def is_armed(self):
        """Whether what was to be lost is still to come."""
        return bool(self._what)

    def drop(self):
        """Break every connection, as a machine does that is gone without a word; others may come."""
        for pair in self.pairs[:]:
            for end in pair:
                # Not closed: somebody may wait there.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """Break every connection, and let none come about."""
        self._is_cut = True
        self.drop()

    def refuse(self, *which):
        """Let some connections not come about: the so-many-th ones, counted from the first that came."""
        self._refused.update(which)

    def freeze(self):
        """Hand nothing on any more, and break nothing; what connects meanwhile goes on when mended."""
        self._is_frozen = True
        self._frozen += self.pairs

    def mend(self):
        """Let connections come about again."""
        self._is_cut = self._is_frozen = False

    def close(self):
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._came += 1
            if self._is_cut or self._came in self._refused:
                client.close()
                continue
            thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client):
        server = socket.socket(self._family)
        with client, server, contextlib.suppress(OSError):
            server.connect(self._server)
            self.pairs.append((client, server))
            while self._step(client, server):
                pass
        with contextlib.suppress(ValueError):
            # In one act: others come and go meanwhile.
            self.pairs.remove((client, server))

    def _step(self, client, server):
        """Hand one message on; say whether to go on."""
        ready, _, _ = select.select([client, server], [], [], 0.05)
        if self._is_frozen or (client, server) in self._frozen:
            threading.Event().wait(0.05)
            return not self._is_cut
        for source, target in ((server, client), (client, server)):
            if source not in ready:
                continue
            message = source.recv(_BYTES)
            if not message:
                return False
            if source is client and self._is_lost():
                if self._what_was == "answer":
                    self._lose_answer(client, server, message)
                if self._what_was == "cut":
                    self.cut()
                return False
            target.sendall(message)
            self.handed_on += 1
        return True

    @staticmethod
    def _lose_answer(client, server, message):
        """Give the server what a client says to its end: a long message comes in parts."""
        while message:
            server.sendall(message)
            ready, _, _ = select.select([client, server], [], [])
            if server in ready:
                server.recv(_BYTES)
                return
            message = client.recv(_BYTES)

    def _is_lost(self):
        """Count a message of a client; say whether it is the one at which the line breaks."""
        if not self._what:
            return False
        if self._left:
            self._left -= 1
            return False
        self.lost += 1
        self._what_was, self._left = self._what, self._every
        if not self._every:
            self._what = ""
        return True
