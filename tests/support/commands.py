"""`cardferry` as users run it: a process of its own, with its exit code and both streams."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.cards import card_number
from tests.support.crash import zygote
from tests.support.exports import by_sequoia, keyring

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON object on standard output."""
        return json.loads(self.out)


def cardferry(*arguments, environment=None, cwd=None, code=0, timeout=120, afresh=False, hook=None):
    """Run a command; the exit code is asserted, with what it said as the failure's message.

    It is a process of its own, forked from one that has loaded the program already; with `afresh`
    it is started from nothing, as it is where a variable speaks to Python itself. `hook` names a
    function that a forked one calls before the command.
    """
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    to_python = any(
        name.startswith(("PYTHON", "LANG", "LC_", "TZ", "TMP")) for name in environment or {}
    )
    # The zygote tells one thread how its commands end.
    aside = threading.current_thread() is not threading.main_thread()
    place = (everything, cwd or Path.cwd())
    if afresh or to_python or aside:
        assert hook is None, "only a forked command can be changed"
        done = _started(arguments, *place, timeout)
    else:
        done = _forked(arguments, *place, timeout, hook)
    said = f"exit code {done.code}\n{done.out}\n{done.err}"
    assert code is None or done.code == code, said
    assert "Traceback" not in said, said
    return done


def _started(arguments, environment, folder, timeout):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _forked(arguments, environment, folder, timeout, hook):
    started, errors = zygote().begin(arguments, environment, folder, hook)
    ended = started.wait(timeout)
    return Done(ended.code, ended.said, errors.read_text("utf-8"))


def started(*arguments, environment=None):
    """Start a command and go on at once; nobody reads what it says."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
    )


HEADER = "legacy_id,name,number,expiration_month,expiration_year,city,legacy_customer_id"


def rows_csv(count, *, seed=1, first=1, header=HEADER):
    """Give a plain export of valid cards, each with a name and an id of its own."""
    lines, random = [header], Random(seed)
    for place in range(first, first + count):
        number = card_number(random)
        lines.append(
            f"id-{place},Holder {place},{number},{place % 12 + 1},2031,Bangkok,cus-{place}"
        )
    return ("\n".join(lines) + "\n").encode()


def sealed(folder, plain, name="cards.csv.pgp", to="cv25519"):
    """Seal plain bytes as an export in a folder and give its path."""
    path = folder / name
    path.write_bytes(by_sequoia(plain, to))
    return path


def settings(folder, url, *lines, key="cv25519", name="settings.toml"):
    """Write settings for a loopback vault and give their path."""
    text = [
        "[vault]",
        f'url = "{url}"',
        'public_key = "pkey_test_x"',
        "read_timeout_s = 30",
        "[export]",
        f'key = {{ file = "{keyring().secret(key)}" }}' if key else "",
        'carry = ["legacy_customer_id"]',
        "[export.columns]",
        'city = "city"',
        "[flow]",
        "rate_per_s = 100000",
        *lines,
    ]
    path = folder / name
    path.write_text("\n".join(text), "utf-8")
    return path
