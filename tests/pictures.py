"""Makes README's pictures from a real run: its live view and summary, and its report.

    python -m tests.pictures

Needs tmux, which draws the terminal, and chromium, which draws the report.
"""

import re
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

from tests.support.commands import HEADER, ROOT, rows_csv, sealed, settings
from tests.support.sandbox import spawned

PICTURES = ROOT / "sample_data"
COLUMNS, LINES = 92, 60
BAD = "id-%d,Holder,%s,12,%d,Bangkok,cus-1\n"


def tmux(*words):
    """Ask a tmux of our own."""
    command = ["tmux", "-L", "cardferry-pictures", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def screen():
    """Give what the terminal shows, with its colours."""
    return tmux("capture-pane", "-p", "-e", "-t", "run").rstrip()


def draw(shown, name):
    """Write a terminal's text as a picture that asks no other host for a font."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown))
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", "monospace")
    (PICTURES / name).write_text(
        console.export_svg(title="cardferry run", code_format=form), "utf-8"
    )


def carry(folder):
    """Carry an export with some bad rows through a vault that throttles; draw it on its way."""
    bad = "".join(BAD % (9_000 + n, "4242", 2031) for n in range(3))
    plain = rows_csv(240, header=HEADER) + bad.encode()
    with spawned("--latency-ms", "40", "--faults", "seed=3 9=0.02 5=0.01") as vault:
        config = settings(folder, vault.base_url)
        config.write_text(config.read_text().replace("rate_per_s = 100000", "rate_per_s = 30"))
        sealed(folder, plain)
        command = f"cd {folder}; {sys.executable} -m pipeline run cards.csv.pgp"
        command += (
            " -c settings.toml -o out --yes; tmux -L cardferry-pictures wait-for -S done; cat"
        )
        tmux("new-session", "-d", "-x", COLUMNS, "-y", LINES, "-s", "run", f"sh -c '{command}'")
        while " left" not in screen():
            time.sleep(0.2)
        time.sleep(6)
        live = screen()
        tmux("wait-for", "done")
        time.sleep(0.5)
        ended = screen()
        tmux("kill-server")
    return live, ended


def main():
    with tempfile.TemporaryDirectory(prefix="cardferry-pictures-") as name:
        live, ended = carry(Path(name))
        # The plan stands above the live view already.
        lines = ended.splitlines()
        summary = lines[next(n for n, line in enumerate(lines) if "rows · " in line) :]
        shown = "\n".join([live, "", "…", *summary])
        draw(shown.replace(f"{sys.executable} -m pipeline", "cardferry"), "run.svg")
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--hide-scrollbars"),
                *("--window-size=1000,900", f"--screenshot={PICTURES / 'report.png'}"),
                f"file://{name}/out/report.html",
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
