"""Small files that grow, and large ones that waste: stopped at a cap, in little memory and time.

Each runs as a real `cardferry run`, or `check` where only the reading is asked about; the memory of
its whole process tree is watched. How long a second of a processor is differs from machine to
machine: time is measured in the same command over rows that are merely bad, on the same machine and
a moment ago.
"""

import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bad_containers import packet, sealing
from tests.support.commands import HEADER, ROOT, settings
from tests.support.exports import unmeasured
from tests.support.resident import pages_of, peak_of, together
from tests.support.sampled import slow
from tests.support.sandbox import running

MEBIBYTE = 2**20
MEMORY_MAX = 256 * MEBIBYTE
"""For all processes of a command together; a page of a library that two of them use is there once."""
TIMES_MAX = 3.0
"""How many times the processor time of as many bad rows that waste nothing."""
BAD_ROWS = 20_000
PATIENCE_S = 240.0
PLAIN = "export.allow_plaintext=true"
GOOD = f"{HEADER}\nid-1,Ann,4242424242424242,1,2031,Bangkok,c\n".encode()


@dataclass(frozen=True)
class Watched:
    """How a run ended and what it took; `cpu_s` is that of all its processes."""

    code: int
    out: str
    err: str
    cpu_s: float
    peak_memory: int


def watched(work, export, *options, key="cv25519", command="run"):
    """Run to its end, or for as long as a test has patience, and watch the memory of its tree."""
    with running(journal=work / "journal") as vault:
        config = settings(work, vault.base_url, key=key)
        words = [command, str(export), "-c", str(config), "--json"]
        words += ["-o", str(work / "out")] if command == "run" else []
        words += [word for option in options for word in ("--set", option)]
        began = _cpu_of_children()
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**unmeasured(), "PYTHONPATH": str(ROOT)},
        ) as process:
            peak = peak_of(process, time.monotonic() + PATIENCE_S)
            out, err = process.communicate()

        assert vault.entries() == [] or process.returncode in {0, 3}
    return Watched(process.returncode, out, err, _cpu_of_children() - began, peak)


def _cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@functools.cache
def bad_rows_s(size, command):
    """Give the processor time that a command takes for so many times 20,000 short, bad rows."""
    with tempfile.TemporaryDirectory(prefix="cf-bad-rows-") as folder:
        export = Path(folder, "cards.csv")
        export.write_bytes(GOOD + b"x\n" * BAD_ROWS * size)
        run = watched(Path(folder), export, PLAIN, key=None, command=command)
    assert 3 == run.code, run.err
    return run.cpu_s


def require_modest(run, size=1, command="run"):
    assert run.cpu_s < TIMES_MAX * bad_rows_s(size, command)
    assert run.peak_memory < MEMORY_MAX
    assert "Traceback" not in run.err
    assert run.code != 1, run.err


def test_memory_of_processes_is_counted_whole_and_their_libraries_once():
    """Two processes of one program take what each has for itself, and the program's files once."""
    taken = 40 * MEBIBYTE
    words = f"kept = b'x' * {taken}; print(end='.', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen([sys.executable, "-c", words], **pipes) as one,
        subprocess.Popen([sys.executable, "-c", words], **pipes) as other,
    ):
        assert b"." == one.stdout.read(1) == other.stdout.read(1)
        alone, beside = pages_of(one.pid), pages_of(other.pid)
        both = together([alone, beside])
        one.communicate(b"\n")
        other.communicate(b"\n")

    assert both - sum(alone) == pytest.approx(beside.own, abs=MEBIBYTE)
    assert taken < beside.own < taken + 20 * MEBIBYTE
    assert alone.of_files > MEBIBYTE


def test_the_memory_of_a_child_is_watched_like_its_parents():
    """What a process and its child take counts together, also after the child is gone."""
    taken = 40 * MEBIBYTE
    child = f"import time; kept = b'x' * {taken}; time.sleep(0.5)"
    words = f"import subprocess, sys; kept = b'x' * {taken}; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", words]) as process:
        peak = peak_of(process, time.monotonic() + PATIENCE_S)

    assert process.returncode == 0
    assert 2 * taken < peak < 3 * taken


def deflated_again(body):
    """Give a compressed packet around a packet, as small as it gets."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packet(8, b"\x01" + packer.compress(body) + packer.flush())


def bomb_of(gibibytes, unit=bytes(MEBIBYTE)):
    """Give a kilobyte or so that unpacks to gigabytes: zeros, packed three times."""
    count = gibibytes * 1024 - 1
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b"\xcb\xff" + (count * len(unit) + 6).to_bytes(4, "big") + b"b\x00\x00\x00\x00\x00"
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(unit) + packer.flush(zlib.Z_FULL_FLUSH)
    inner = packet(8, b"\x01" + start + again * count + packer.flush())
    return sealing(deflated_again(deflated_again(inner)))


def test_a_kilobyte_that_unpacks_to_gigabytes_is_stopped(tmp_path):
    """Exit code 6 within seconds, in less than 256 MB for all processes together."""
    bomb = tmp_path / "cards.pgp"
    bomb.write_bytes(bomb_of(3))

    run = watched(tmp_path, bomb)

    require_modest(run)
    assert bomb.stat().st_size < 4096
    assert 6 == run.code, run.err
    # Whichever sees it first: the cap on bytes, or the reader that waits for a header.
    error = json.loads(run.out)["error"]
    assert "unpacks to" in error or "longer than any row" in error


def test_an_export_beyond_the_configured_size_is_stopped(tmp_path):
    """What the ratio allows, the cap on plain bytes does not."""
    export = tmp_path / "cards.csv"
    with export.open("wb") as file:
        file.truncate(300 * MEBIBYTE)

    run = watched(tmp_path, export, PLAIN, "export.plain_bytes_max=1000000", key=None)

    require_modest(run)
    assert run.code == 6


@pytest.mark.parametrize(("millions", "size"), [(4, 1), slow(10, 1), slow(100, 5)])
def test_millions_of_empty_lines_are_no_rows(tmp_path, millions, size):
    """They take seconds, no memory, and hide no card that comes after them."""
    export = tmp_path / "cards.csv"
    with export.open("wb") as file:
        file.write(GOOD)
        for _ in range(millions):
            file.write(b"\n" * 1_000_000)
        file.write(GOOD.splitlines()[1].replace(b"id-1", b"id-2"))

    run = watched(tmp_path, export, PLAIN, key=None)

    require_modest(run, size)
    assert 0 == run.code, run.err
    assert json.loads(run.out)["all_time"]["balance"]["rows"] == 2


SHAPES = {
    "one field of it": (b"x" * MEBIBYTE, {"row_too_long": 1}),
    "one quoted field of lines": (b"\n".join([b"y" * 1023] * 1024), None),
    "digits": (b"4" * MEBIBYTE, {"row_too_long": 1}),
}


def write_large(path, shape, mebibytes):
    unit, _ = SHAPES[shape]
    with path.open("wb") as file:
        file.write(GOOD + b'id-2,"')
        for _ in range(mebibytes):
            file.write(unit)
        file.write(b'",4242424242424242,1,2031,Bangkok,c\n')
        file.write(GOOD.splitlines()[1].replace(b"id-1", b"id-3"))


@pytest.mark.parametrize("shape", ["one field of it"])
def test_a_field_of_100_megabytes_is_one_bad_row(tmp_path, shape):
    """The row is too long, the rows around it are carried."""
    export = tmp_path / "cards.csv"
    write_large(export, shape, 100)

    run = watched(tmp_path, export, PLAIN, key=None)

    require_modest(run)
    assert 3 == run.code, run.err
    assert (2, 1) == tuple(
        json.loads(run.out)["all_time"]["balance"][name] for name in ("tokenized", "rejected")
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["one field of it", "digits"])
def test_a_field_of_a_gigabyte_is_one_bad_row(tmp_path, shape):
    """The same at a thousand megabytes."""
    export = tmp_path / "cards.csv"
    write_large(export, shape, 1024)

    run = watched(tmp_path, export, PLAIN, key=None)

    require_modest(run, 5)
    assert 3 == run.code, run.err
    assert SHAPES[shape][1] == json.loads(run.out)["all_time"]["failures"]


def wasteful(kind, size):
    """Give lines that cost a careless reader a square of their number."""
    return {
        "open quotes": b'"\n' * 40_000,
        "open quotes with fields": b'"a,b,c\n' * 30_000,
        "quotes": b'"' * 60_000 + b"\n" + b'""' * 30_000 + b"\n",
        "delimiters": (b"," * 60_000 + b"\n") * 20,
        "digits with blanks": (b"x,%s,4,1,2031,%s,c\n" % (b"1 " * 100, b"1 " * 30_000)) * 20,
        "almost tracks": (b"x,%s,4,1,2031,%s,c\n" % (b"B1" * 99, b"B1234567890123456" * 3_000)) * 20,
        "foreign digits": ("x,Ann,4,1,2031,%s,c\n" % ("\u0e51" * 20_000)).encode() * 20,
        "carriage returns": b"a\rb\r" * 60_000,
        "one id": b"x,Ann,4,1,2031,Bangkok,c\n" * 20_000,
    }[kind] * size  # fmt: skip


# What rows of one id cost, they cost in the ledger.
DAILY = [("open quotes", "check"), ("one id", "run")]
KINDS = (
    *("open quotes", "open quotes with fields", "quotes", "delimiters", "digits with blanks"),
    *("almost tracks", "foreign digits", "carriage returns", "one id"),
)


@pytest.mark.parametrize(
    ("kind", "command", "size"),
    [
        *((*daily, 1) for daily in DAILY),
        *(slow(kind, "check", 1) for kind in ("digits with blanks", "carriage returns")),
        *(slow(kind, "run", 1) for kind in KINDS if (kind, "run") not in DAILY),
        *(slow(kind, "run", 5) for kind in KINDS),
    ],
)
def test_lines_that_waste_time_are_read_in_time(tmp_path, kind, command, size):
    """No line is worth a square: it takes no longer than rows that are merely bad."""
    export = tmp_path / "cards.csv"
    export.write_bytes(GOOD + wasteful(kind, size))

    run = watched(tmp_path, export, PLAIN, key=None, command=command)

    require_modest(run, size, command)
    # Lines of nothing but delimiters are no rows, so that nothing failed.
    assert (0 if kind == "delimiters" else 3) == run.code, run.err
    if command == "run":
        assert json.loads(run.out)["all_time"]["balance"]["difference"] == 0


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("keys", "check"),
        slow("columns", "check"),
        *(
            slow(kind, "run")
            for kind in ("columns", "keys", "quoted columns", "brackets", "escapes")
        ),
    ],
)
def test_a_million_of_anything_in_the_first_line_is_refused_or_a_row(tmp_path, kind, command):
    """A million columns, keys or brackets take no memory."""
    export = tmp_path / "cards.export"
    export.write_bytes(
        {
            "columns": b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n",
            "quoted columns": b",".join([b'"c"'] * 1_000_000) + b"\n",
            "keys": b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}\n",
            "brackets": b'{"a":' * 1_000_000,
            "escapes": b'{"a":"' + b"\\u0000" * 1_000_000 + b'"}\n',
        }[kind]
    )

    run = watched(tmp_path, export, PLAIN, key=None, command=command)

    require_modest(run, command=command)
    assert run.code in {3, 6}, run.err
