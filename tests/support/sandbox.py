"""A running sandbox vault for tests: in a thread (fast), in a process (killable), or no socket."""

from __future__ import annotations

import base64
import functools
import json
import os
import signal
import ssl
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from jsonschema import Draft202012Validator

from pipeline.sandbox.accounts import DEFAULT_PUBLIC_KEY, DEFAULT_SECRET_KEY
from pipeline.sandbox.opening import open_router
from pipeline.sandbox.options import Options
from pipeline.sandbox.router import Request
from pipeline.sandbox.serve import background
from tests.support.vault_schema import schema

ROOT = Path(__file__).parents[2]
CARD = {
    "name": "Somchai Prasert",
    "number": "4242424242424242",
    "expiration_month": 12,
    "expiration_year": 2031,
}
SCHEMAS = {
    version: Draft202012Validator(schema(version))
    for version in ("2014-07-27", "2015-11-17", "2017-11-02", "2019-05-29")
}


def card(**changes):
    """Give card parameters; a change to None leaves the parameter out."""
    return {name: value for name, value in {**CARD, **changes}.items() if value is not None}


def basic(key):
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


@dataclass
class Sandbox:
    """A listening sandbox and what a test wants to ask it."""

    base_url: str
    public_key: str = DEFAULT_PUBLIC_KEY
    secret_key: str = DEFAULT_SECRET_KEY
    journal: Path | None = None
    process: subprocess.Popen | None = field(default=None, repr=False)

    @property
    def address(self):
        """Host and port, for raw sockets."""
        host, _, port = self.base_url.removeprefix("http://").rpartition(":")
        return host.strip("[]"), int(port)

    def entries(self):
        """The journal's lines."""
        return read_journal(self.journal)

    def request(self, method, path, key=None, version=None, **arguments):
        """Send one request with plain httpx; the key is the public one for /tokens."""
        key = key or (self.public_key if path.startswith("/tokens") else self.secret_key)
        headers = {"omise-version": version} if version else {}
        headers |= arguments.pop("headers", {})
        url = self.base_url + path
        settings = {"timeout": 10, "trust_env": False, "verify": _without_certificates()}
        with httpx.Client(auth=(key, ""), **settings) as client:
            return client.request(method, url, headers=headers, **arguments)

    def token(self, **changes):
        """Make a token and give its object."""
        return self.request("POST", "/tokens", json={"card": card(**changes)}).json()

    def stop(self, number=signal.SIGTERM):
        """Send the sandbox's process a signal and give its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@functools.cache
def _without_certificates():
    """Give what httpx would read a thousand certificates for; the sandbox speaks plain HTTP."""
    return ssl.create_default_context(cadata="")


def read_journal(path):
    # The line that is being written has no end yet.
    whole = Path(path).read_text("utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole]


@contextmanager
def running(**options):
    """Run a sandbox in a thread of this process; options are those of `Options`."""
    settings = Options(**options)
    account = settings.accounts[0]
    with background(settings) as base_url:
        yield Sandbox(base_url, account.public_key, account.secret_key, settings.journal)


def command(*arguments):
    """Give the words that run `cardferry sandbox` with these arguments."""
    code = "from pipeline.cli.sandbox import sandbox; sandbox(prog_name='cardferry sandbox')"
    return [sys.executable, "-c", code, *map(str, arguments)]


@contextmanager
def spawned(*arguments, journal=None, port=0, errors=None):
    """Run `cardferry sandbox` as a process of its own; arguments are those of the command."""
    words = ["--port", port, *arguments]
    words += ["--journal", journal] if journal else []
    process = subprocess.Popen(
        command(*words),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            line = process.stdout.readline()
            yield Sandbox(
                line.removeprefix("listening on ").strip(), journal=journal, process=process
            )
        finally:
            if process.poll() is None:
                process.kill()


class RouterClient:
    """Asks a router without any socket, and checks every answer against the description."""

    def __init__(self, router, version="2019-05-29"):
        self.router = router
        self.version = version

    def ask(self, method, path, params=None, key=None, **parts):
        """Send a request; params travel as JSON. Gives status and object."""
        key = key or (DEFAULT_PUBLIC_KEY if path.startswith("/tokens") else DEFAULT_SECRET_KEY)
        path, _, query = path.partition("?")
        request = {
            "method": method,
            "path": path,
            "query": query.encode(),
            "body": b"" if params is None else json.dumps(params).encode(),
            "content_type": b"application/json",
            "authorization": basic(key).encode(),
            "version": self.version.encode(),
            "address": "127.0.0.1",
        }
        reply = self.router.answer(Request(**{**request, **parts}))
        SCHEMAS[reply.version or "2019-05-29"].validate(reply.shown)
        return reply.status, reply.shown

    def token(self, **changes):
        return self.ask("POST", "/tokens", {"card": card(**changes)})[1]

    def message(self, **changes):
        """Give the sentence that a card with these changes is refused with."""
        return self.ask("POST", "/tokens", {"card": card(**changes)})[1]["message"]


@contextmanager
def asked(header="2019-05-29", now=None, **options):
    """Open a router and give a client of it that sends this Omise-Version header."""
    clock = {} if now is None else {"now": now}
    with open_router(Options(**options), **clock) as router:
        yield RouterClient(router, header)
