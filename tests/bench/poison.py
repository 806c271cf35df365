"""What one per cent of rows that the vault refuses for themselves cost the others; prints the mark.

    python -m tests.bench.poison [--rows 4000] [--rate 200] [--in-flight 16]

The whole command runs twice against a vault that knows rows by name: undisturbed, and with 403,
404, 302, 429 (Retry-After of a second) in turn as every hundredth row. The mark is 0.9: so fast the
other rows must go. Every poison row must be named in `failures.csv`, and nobody else.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path
from random import Random

from tests.support.cards import card_number
from tests.support.commands import ROOT
from tests.support.hostile_vault import hostile_vault

MARK = 0.9


def carried(folder, names, rate, in_flight):
    """Carry rows with these names; give the seconds from the first to the last good row and the ids in `failures.csv`."""
    random = Random(1)
    lines = ["legacy_id,name,number,expiration_month,expiration_year"]
    lines += [
        f"id-{place},{name},{card_number(random)},{1 + place % 12},{2030 + place % 5}"
        for place, name in enumerate(names)
    ]
    export, settings, out = folder / "cards.csv", folder / "settings.toml", folder / "out"
    export.write_text("\n".join(lines) + "\n", "utf-8")
    with hostile_vault(latency_s=0.02) as vault:
        settings.write_text(
            f'[vault]\nurl = "{vault.url}"\npublic_key = "pkey_test_x"\n[export]\n'
            f"allow_plaintext = true\n[flow]\nrate_per_s = {rate}\nin_flight_max = {in_flight}\n",
            "utf-8",
        )
        words = ["run", str(export), "-c", str(settings), "-o", str(out), "--yes", "-q"]
        subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=ROOT, check=False)
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        failed = {(row["legacy_id"], row["code"]) for row in csv.DictReader(file)}
    return vault.good_until - vault.good_since, failed


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=4000)
    options.add_argument("--rate", type=float, default=200)
    options.add_argument("--in-flight", type=int, default=16)
    chosen = options.parse_args()
    good = [f"row {number}" for number in range(chosen.rows)]
    kinds = cycle(["403", "404", "302", "429"])
    mixed = [
        f"{name} poison-{next(kinds)}" if n % 100 == 50 else name for n, name in enumerate(good)
    ]
    named = {(f"id-{n}", "vault_refused_row") for n, name in enumerate(mixed) if "poison" in name}
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        calm_s, none = carried(Path(first), good, chosen.rate, chosen.in_flight)
        hostile_s, failed = carried(Path(second), mixed, chosen.rate, chosen.in_flight)
    calm = len(good) / calm_s
    others = (len(good) - len(named)) / hostile_s
    print(f"undisturbed {calm:.1f}/s, beside {len(named)} poison rows {others:.1f}/s")
    print(f"share {others / calm:.3f} (at least {MARK}); each poison row named: {failed == named}")
    sys.exit(none != set() or failed != named or others < MARK * calm)


if __name__ == "__main__":
    main()
