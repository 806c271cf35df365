"""How far a row walks through the code: files entered and changes of file, counted by a call tracer.

    python -m tests.bench.walk [--rows 60] [--path] [--files] [--source DIR]

The whole command runs in this process against the stub, with one request in flight and every call
and return seen. *Steady state* is what lies between one row's request and the next one's, taken as
a mean over the second half of the rows; a change of file is counted wherever one thread goes on in
another file of the package than it was in before. What runs while a module is imported is no step.
Issue 11's marks are 50 changes and 20 files for a row, and 75 files for a whole run of one row; the
exit code says whether they are met. `--files` shows the latter, and how few could hold as many lines.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGES_MAX, FILES_MAX, RUN_FILES_MAX = 50, 20, 75
FILE_LINES_MAX = 300
FIRST_CALL = 10
"""A coroutine that begins stands at its first instructions; one that goes on stands later."""

SEND = ("vault/transport/transport.py", "exchange")


class Tracer:
    """Remembers which file of the package each call and each return leads to, in order."""

    def __init__(self, package):
        self._package = f"{package}/"
        self._importing = Counter()
        self.steps = []
        self.sends = []
        self.codes = {}

    def __call__(self, frame, event, _argument):
        code = frame.f_code
        called = event == "call"
        if code.co_name == "<module>" and code.co_filename.startswith(self._package):
            # Classes and tables that an import makes are no step of any row.
            self._importing[threading.get_ident()] += {"call": 1, "return": -1}.get(event, 0)
            return
        if self._importing[threading.get_ident()]:
            return
        if event == "return":
            frame = frame.f_back
            if frame is None:
                return
            code = frame.f_code
        elif not called:
            return
        if not code.co_filename.startswith(self._package) or code.co_name == "<module>":
            return
        file = code.co_filename.removeprefix(self._package)
        self.codes.setdefault(file, set()).add(code)
        if event == "call" and frame.f_lasti < FIRST_CALL and (file, code.co_name) == SEND:
            self.sends.append(len(self.steps))
        self.steps.append((threading.get_ident(), file, code.co_name, called))

    def walk(self, since, until):
        """Give the files that a stretch of steps enters, and the path it takes through them."""
        last, path = {}, []
        for thread, file, name, called in self.steps[since:until]:
            if called and last.get(thread) != file:
                path.append((file, name))
            last[thread] = file
        return {file for _, file, _, _ in self.steps[since:until]}, path


def run_traced(rows, package, folder):
    """Run the whole command over so many rows; give its tracer."""
    from pipeline.cli.command_line import main  # noqa: PLC0415 - imported where it is traced.

    command = [sys.executable, "-m", "tests.bench.stub"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as stub:
        try:
            words = _words(folder, rows, stub.stdout.readline().strip())
            tracer = Tracer(package)
            threading.setprofile(tracer)
            sys.setprofile(tracer)
            try:
                main(words)
            except SystemExit as over:
                if over.code:
                    raise
            finally:
                sys.setprofile(None)
                threading.setprofile(None)
        finally:
            stub.terminate()
    return tracer


def _words(folder, rows, url):
    from random import Random  # noqa: PLC0415

    from tests.support.cards import card_number  # noqa: PLC0415

    random = Random(1)
    lines = ["legacy_id,name,number,expiration_month,expiration_year"]
    lines += [f"id-{row},ROW {row},{card_number(random)},12,2031" for row in range(rows)]
    export, settings = folder / "cards.csv", folder / "settings.toml"
    export.write_text("\n".join(lines) + "\n", "utf-8")
    settings.write_text(
        f'[vault]\nurl = "{url}"\npublic_key = "pkey_test_walk"\n[export]\nallow_plaintext = true\n'
        "[flow]\nrate_per_s = 100000\nin_flight_max = 1\n",
        "utf-8",
    )
    return ["run", str(export), "-c", str(settings), "-o", str(folder / "out"), "--yes", "-q"]


def measure(rows, package):
    """Give a whole run's files, and a row's mean changes, its files and one row's path."""
    with tempfile.TemporaryDirectory() as folder:
        tracer = run_traced(rows, package, Path(folder))
    whole, _ = tracer.walk(0, len(tracer.steps))
    if rows == 1:
        return {"run_files": len(whole), "run_lines": lines_of(tracer, package)}
    first, last = tracer.sends[rows // 2], tracer.sends[-1]
    _, path = tracer.walk(first, last)
    stretches = [
        tracer.walk(*pair)
        for pair in zip(tracer.sends[rows // 2 :], tracer.sends[rows // 2 + 1 :], strict=False)
    ]
    files, one = min(stretches, key=lambda stretch: len(stretch[0]))
    return {
        "changes": len(path) / (len(tracer.sends) - 1 - rows // 2),
        "files": len(files),
        "path": [f"{file}:{name}" for file, name in one],
    }


def lines_of(tracer, package):
    """Give, for each file, its lines, the lines of the functions entered, and their names."""
    told = {}
    for file, codes in sorted(tracer.codes.items()):
        whole = len((package / file).read_text("utf-8").splitlines())
        entered = {line for code in codes for line in _span(code) if line <= whole}
        # A template's functions are made, and have no lines of its own.
        count = len(entered) if file.endswith(".py") else whole
        told[file] = (whole, count, sorted({code.co_name for code in codes}))
    return told


def _span(code):
    lines = [line for _, _, line in code.co_lines() if line]
    return range(code.co_firstlineno, max(lines, default=code.co_firstlineno) + 1)


def _show_files(told):
    """Print the files of a run of one row, and how few files could hold as many lines."""
    for file, (whole, entered, names) in told.items():
        print(f"{file} {entered} of {whole}: {' '.join(names)}")
    of_files = sum(whole for whole, _, _ in told.values())
    of_functions = sum(entered for _, entered, _ in told.values())
    print(f"lines of these files: {of_files:,}; of the functions entered: {of_functions:,}")
    print(
        f"at {FILE_LINES_MAX} lines a file: {of_files / FILE_LINES_MAX:.0f} files at least for what "
        f"stands in them, {of_functions / FILE_LINES_MAX:.0f} for what is entered of it"
    )


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=60)
    options.add_argument("--path", action="store_true", help="print one row's path")
    options.add_argument("--files", action="store_true", help="print the files of a run of one row")
    options.add_argument("--source", type=Path, default=ROOT, help="another checkout to trace")
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        print(json.dumps(measure(chosen.rows, chosen.source / "pipeline")))
        return
    figures = {}
    for rows in (1, chosen.rows):
        # A process each: what a first run imports, a second does not.
        words = ["-m", "tests.bench.walk", "--child", "--rows", str(rows)]
        words += ["--source", str(chosen.source)]
        ended = subprocess.run(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=chosen.source,
            check=True,
        )
        figures |= json.loads(ended.stdout.splitlines()[-1])
    if chosen.path:
        print("\n".join(figures["path"]))
    if chosen.files:
        _show_files(figures["run_lines"])
    marks = (
        ("changes of file for a row", figures["changes"], CHANGES_MAX),
        ("files for a row", figures["files"], FILES_MAX),
        ("files for a run of one row", figures["run_files"], RUN_FILES_MAX),
    )
    for what, found, most in marks:
        print(f"{what}: {found:.4g} (at most {most})")
    sys.exit(any(found > most for _, found, most in marks))


if __name__ == "__main__":
    main()
