"""A PostgreSQL server of the tests' own: started once, gone with the tests, on a socket alone.

Set CARDFERRY_REQUIRE_PROGRAMS=1 (as the continuous integration does) to fail where none is installed.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import psycopg
import pytest

from tests.support.leftovers import at_the_end
from tests.support.programs import require

ROOM_BYTES = 2 << 30


class Server:
    """A private cluster; `start` and `stop` may be called in any order."""

    def __init__(self, programs, folder):
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
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        self.start()

    @property
    def data(self):
        return str(self.folder / "data")

    def url(self, database="postgres", user="postgres"):
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def start(self):
        """Start it, if it does not run."""
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=40"
        self._run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", f"{self.data}.log", "start")

    def stop(self, how="immediate"):
        """Stop it as a crash would, or in order (`fast`)."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", how, "stop")

    def database(self, name):
        """Make an empty database, in place of what was there; give its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def _run(self, program, *arguments):
        subprocess.run(
            [*self.prefix, str(self.programs / program), *arguments],
            cwd="/",
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def remove(self):
        """Stop it, unless a test has stopped it already, and leave nothing."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _programs():
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return Path(found).parent if found else places[0].parent if places else None


@lru_cache(1)
def _server():
    programs = _programs()
    if programs is None:
        return None
    # In memory where there is room for it, and short: a socket's path may have a hundred characters.
    memory = Path("/dev/shm")  # noqa: S108 - the folder itself has a random name.
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    server = Server(programs, Path(tempfile.mkdtemp(prefix="cfpg-", dir=memory if roomy else None)))
    at_the_end(server.remove)
    return server


def server():
    """Give the running server; without one skip the test, or fail where programs are required."""
    found = _server()
    if found is None:
        missing = "PostgreSQL's server (initdb, pg_ctl) is not installed"
        if os.environ.get("CARDFERRY_REQUIRE_PROGRAMS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
