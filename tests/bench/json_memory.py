"""Measures that a JSON array of 2 GB takes no more memory than one of 20 MB, in `check`.

    python -m tests.bench.json_memory [--small-mb 20] [--large-mb 2000] [--folder /tmp]

The array is written sealed into a folder and removed afterwards; it is never plain on the disk. The
mark of issue 12, within 10 %, is held against the peak of the command's own process. Its decryptor is
another: Sequoia keeps some of a message before it gives any of it, so that its peak grows up to
messages of some 75 MB and then no more. A child's peak cannot be told below that of the process that
started it.
"""

import argparse
import gc
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from pipeline import startup
from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.metrics import Listeners
from pipeline.migration.check import CheckRequest, profile
from tests.support.commands import HEADER, ROOT, settings
from tests.support.exports import keyring
from tests.support.stray_quotes import check_digit

OBJECT = '{{"' + '":"{}","'.join(HEADER.split(",")) + '":"{}","note":"{}"}}'
NOTE = "x" * 7_000
"""What no column is mapped to, so that the bytes grow and not the rows: those are the ledger's."""
MARK = 0.10


def written(pipe, megabytes):
    """Write an array of cards into a pipe and close it."""
    size, row = 0, 0
    with pipe:
        pipe.write(b"[")
        while size < megabytes * 1_000_000:
            stem = f"4{row:014d}"
            values = (
                f"id-{row}",
                "Ann Lee",
                stem + check_digit(stem),
                12,
                2040,
                "Oslo",
                "c1",
                NOTE,
            )
            text = (",\n" if row else "") + OBJECT.format(*values)
            size += pipe.write(text.encode())
            row += 1
        pipe.write(b"]")


def sealed_array(folder, megabytes):
    """Seal an array by gpg as it is made."""
    public = str(keyring().public("cv25519"))
    export = folder / f"array-{megabytes}.pgp"
    words = [
        "gpg",
        "--homedir",
        str(keyring().gpg_home),
        "--batch",
        "--trust-model",
        "always",
        "-z",
        "0",
    ]
    words += ["--recipient-file", public, "--output", str(export), "--encrypt"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as gpg:
        thread = threading.Thread(target=written, args=(gpg.stdin, megabytes))
        thread.start()
        thread.join()
    assert gpg.returncode == 0
    return export


def peaks_mb(folder, megabytes):
    """Give the peak memory of a check of an array of that size, and of its decryptor, in megabytes."""
    export = sealed_array(folder, megabytes)
    config = settings(folder, "http://127.0.0.1:9")
    words = [sys.executable, "-m", "tests.bench.json_memory", "--child", export, config]
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True)
    export.unlink()
    return [int(kilobytes) / 1024 for kilobytes in done.stdout.split()]


def child(export, config):
    """Check an export, and print the peak memory of this process and of the decryptor, in kilobytes."""
    gc.set_threshold(*startup.SEARCHES_FOR_CYCLES)
    profile(
        CheckRequest([Path(export)]), *load_settings(Path(config), {}), SystemClock(), Listeners()
    )
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        print(resource.getrusage(who).ru_maxrss)


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--small-mb", type=int, default=20)
    options.add_argument("--large-mb", type=int, default=2000)
    options.add_argument("--folder", type=Path)
    options.add_argument("--child", nargs=2)
    asked = options.parse_args()
    if asked.child:
        return child(*asked.child)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        sizes = (asked.small_mb, asked.large_mb)
        peaks = zip(*(peaks_mb(Path(name), megabytes) for megabytes in sizes), strict=True)
    for who, (small, large) in zip(("command", "decryptor"), peaks, strict=True):
        print(f"{who}: {sizes[0]} MB: {small:.0f} MB at the peak; {sizes[1]} MB: {large:.0f} MB")
        if who == "command":
            print(f"{(large - small) / small:+.1%} (at most {MARK:+.0%})")
    return None


if __name__ == "__main__":
    sys.exit(main())
