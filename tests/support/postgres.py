"""A PostgreSQL server of the tests' own: started once, gone with the tests, on a socket alone.

Set CARDFERRY_REQUIRE_PROGRAMS=1 (as the continuous integration does) to fail where none is installed.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import psycopg
import pytest

from tests.support.leftovers import at_the_end
from tests.support.programs import require

ROOM_BYTES = 2 << 30
GUARDED, PASSWORD = "guarded", "hidden-in-the-url"
"""A user whom the server asks for a password, unlike all others."""
_WATCH = 'read -r _; folder=$1; shift; "$@"; rm -rf "$folder"'
"""What ends the server and removes its folder as soon as nobody has the other end of its input."""


class Server:
    """A private cluster; `start` and `stop` may be called in any order.

    Args:
        programs: The folder of the server's programs.
        folder: Where its files and its socket are.
        tls: A certificate and its key, as PEM, with which it listens on 127.0.0.1, too.
    """

    def __init__(self, programs, folder, tls=None):
        self.programs, self.folder = programs, folder
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.prefix = []
        if os.geteuid() == 0:
            # The server refuses to run as root.
            self.prefix = [
                require("setpriv"),
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
            ]
            shutil.chown(folder, "nobody", "nogroup")
        # It lives on where this process is killed, and ends what else would live on.
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", folder, *self._program("pg_ctl"), *self._stopping()],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        rules = Path(self.data, "pg_hba.conf")
        rules.write_text(
            f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"
            f"hostssl all {GUARDED} 127.0.0.1/32 scram-sha-256\nhostssl all all 127.0.0.1/32 trust\n"
        )
        self.port, self._options = None, "-c listen_addresses="
        if tls is not None:
            self.port = _free_port()
            for name, pem in zip(("server.crt", "server.key"), tls, strict=True):
                path = Path(self.data, name)
                path.write_bytes(pem)
                path.chmod(0o600)
                if self.prefix:
                    shutil.chown(path, "nobody", "nogroup")
            self._options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c ssl=on"
        self.start()

    @property
    def data(self):
        return str(self.folder / "data")

    def url(self, database="postgres", user="postgres"):
        port = "" if self.port is None else f"&port={self.port}"
        return f"postgresql://{user}@/{database}?host={self.folder}{port}"

    def start(self):
        """Start it, if it does not run."""
        # What it shares between its processes goes with its folder, however it ends.
        shared = "-c dynamic_shared_memory_type=mmap"
        options = f"-k {self.folder} -c max_connections=40 {shared} {self._options}"
        self._run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", f"{self.data}.log", "start")

    def stop(self, how="immediate"):
        """Stop it as a crash would, or in order (`fast`)."""
        self._run("pg_ctl", *self._stopping(how))

    def database(self, name, template="template1"):
        """Make a database in place of what was there, empty or a copy of another; give its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def guard(self):
        """Make the user whom the server asks for a password, with all rights."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"DROP ROLE IF EXISTS {GUARDED}")
            connection.execute(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")

    def _stopping(self, how="immediate"):
        return ["-D", self.data, "-w", "-m", how, "stop"]

    def _program(self, program):
        return [*self.prefix, str(self.programs / program)]

    def _run(self, program, *arguments):
        subprocess.run(
            [*self._program(program), *arguments],
            cwd="/",
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def remove(self):
        """Stop it, unless a test has stopped it already, and leave nothing."""
        self._watch.communicate()


def _free_port():
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _programs():
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return Path(found).parent if found else places[0].parent if places else None


def new_folder():
    """Make a folder for a server: in memory where there is room, and short, as its socket is there."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder itself has a random name.
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix="cfpg-", dir=memory if roomy else None))


def new_server(folder, tls=None):
    """Start a server of its own; without the programs skip the test, or fail where they have to be."""
    programs = _programs()
    if programs is None:
        missing = "PostgreSQL's server (initdb, pg_ctl) is not installed"
        if os.environ.get("CARDFERRY_REQUIRE_PROGRAMS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return Server(programs, folder, tls)


@lru_cache(1)
def _server():
    if _programs() is None:
        return None
    server = new_server(new_folder())
    at_the_end(server.remove)
    return server


def server():
    """Give the running server; see `new_server`."""
    return _server() or new_server(None)
