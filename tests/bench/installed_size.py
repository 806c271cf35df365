"""Tells how large an install without extras is, package by package, against the mark of issue 15.

    python -m tests.bench.installed_size [-c .ci/constraints.txt] [--shown 15]

It is made in a fresh environment, so it needs a package index. Counted are the bytes of the files
that pip lists, the modules that it compiles in a column of their own; and the blocks that all of
them take on this disk, which is what `du` tells. MB are a million bytes.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

from tests.support.commands import ROOT

MB = 1_000_000
MB_MAX = 470
BLOCK_BYTES = 512


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("-c", "--constraint", type=Path)
    options.add_argument("--shown", type=int, default=15)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {each.name: size_of(each) for each in installed(Path(folder), given.constraint)}
    ranked = sorted(sizes.items(), key=lambda each: -each[1]["on disk"])
    print(f"{'':20} {'files':>8} {'compiled':>9} {'on disk':>8}  MB")
    for name, size in ranked[: given.shown]:
        tell(name, size)
    tell(f"{len(ranked[given.shown :])} others", total(dict(ranked[given.shown :])))
    tell("all", total(sizes))
    whole = total(sizes)
    print(f"with what pip compiles {(whole['files'] + whole['compiled']) / MB:.0f} MB of {MB_MAX}")


def installed(folder, constraint):
    """Install the project alone into a folder, and give every package that is then there."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", ROOT]
    subprocess.run([*pip, *(["-c", constraint] if constraint else [])], check=True)
    return distributions(path=[str(next(folder.glob("lib/python*/site-packages")))])


def size_of(package):
    """Give the bytes of a package's files, of its compiled modules, and of the blocks of both."""
    size = Counter()
    for path in map(Path, map(package.locate_file, package.files)):
        found = path.stat()
        size["compiled" if path.suffix == ".pyc" else "files"] += found.st_size
        size["on disk"] += found.st_blocks * BLOCK_BYTES
    return size


def total(sizes):
    return sum(sizes.values(), Counter())


def tell(name, size):
    columns = (size[kind] / MB for kind in ("files", "compiled", "on disk"))
    print("{:20} {:8.1f} {:9.1f} {:8.1f}".format(name, *columns))


if __name__ == "__main__":
    main()
