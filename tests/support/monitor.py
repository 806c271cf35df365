"""A monitor: a real HTTP server that keeps what it is told, and a reader of metrics files."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.parser import text_string_to_metric_families


def metrics(text):
    """Give {(name, other labels): value} of a metrics file, as Prometheus' own parser reads it."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "migration"}
            found[(sample.name, *labels.values())] = sample.value
    return found


class Monitor:
    """What was told, in order.

    Args:
        statuses: Answers to the first requests; all later ones get 200.
    """

    def __init__(self, statuses=()):
        self.told = []
        self.bodies = []
        self.statuses = list(statuses)
        self.url = ""
        self.goes_on = threading.Event()
        self.goes_on.set()

    def take(self, method, path, body):
        self.goes_on.wait()
        self.told.append(f"{method} {path}")
        if body:
            self.bodies.append(json.loads(body))
        return self.statuses.pop(0) if self.statuses else 200


@contextmanager
def listening(statuses=()):
    """Run a monitor in a thread of this process."""
    monitor = Monitor(statuses)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(monitor.take(self.command, self.path, body))
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = _answer  # noqa: N815 - the names that the library looks for.

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monitor.url = f"http://127.0.0.1:{server.server_port}/ping/secret-id"
    try:
        yield monitor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
