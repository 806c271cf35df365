"""Gives the examples and exit codes at the end of a command's help."""

from __future__ import annotations

from typing import Final, NamedTuple


class Epilog(NamedTuple):
    """What stands at the end of a command's help.

    Attributes:
        exit_codes: The codes that it ends with, beside 1 for a bug and 2 for a wrong command line.
        examples: Command lines without `cardferry`, ready to be changed.
    """

    exit_codes: tuple[int, ...]
    examples: tuple[str, ...]


_CARRYING: Final = (0, 3, 4, 5, 6, 7, 8, 9, 11, 129, 130, 143)

EPILOGS: Final = {
    "demo": Epilog((3, 5, 129, 130, 143), ("demo", "demo -o rehearsal/")),
    "init": Epilog(
        (0, 5, 6, 7),
        ("init cards.csv.pgp --key migration.key -o production.toml", "init cards.csv.pgp"),
    ),
    "presets": Epilog((0, 2), ("presets", "presets show stripe")),
    "check": Epilog(
        (0, 3, 5, 6, 7),
        (
            "check cards.csv.pgp -c production.toml",
            "check cards.csv.pgp -c production.toml --json",
        ),
    ),
    "run": Epilog(
        _CARRYING,
        (
            "run cards.csv.pgp -c production.toml -o out/",
            "run cards.csv.pgp -c production.toml -o out/ --limit 10",
            "run *.pgp -c production.toml -o out/ --yes --json",
            "run cards.csv.pgp -c production.toml -o out/ --set flow.rate_per_s=2",
            "run cards.csv.pgp -c production.toml -o out/ --cluster tls://scheduler:8786 --carriers 4",
        ),
    ),
    "inbox": Epilog(
        _CARRYING,
        (
            "inbox /srv/exports -c production.toml -o out/",
            "inbox /srv/exports -c production.toml -o out/ --every 60s",
        ),
    ),
    "carry": Epilog(
        (0, 4, 5, 6, 7, 8, 9, 129, 130, 143),
        ("carry -c worker.toml", "carry cards.csv.pgp -c worker.toml -o out/"),
    ),
    "status": Epilog(
        (0, 3, 4, 8),
        ("status out/", "status out/ --json", "status out/ --check --max-age 26h -q"),
    ),
    "retry": Epilog(
        _CARRYING,
        (
            "retry out/ cards.csv.pgp -c production.toml",
            "retry out/ cards.csv.pgp -c production.toml --code outcome_unknown --held",
        ),
    ),
    "give-up": Epilog(
        (0, 3, 5, 7, 8, 11),
        (
            'give-up out/ cards.csv.pgp -c production.toml --reason "the sender has no copy"',
            'give-up out/ cards.csv.pgp -c production.toml --reason "sent anew as b.csv.pgp" --json',
        ),
    ),
    "publish": Epilog((0, 5, 7, 8, 11), ("publish out/", "publish out/ -c production.toml")),
    "export-mapping": Epilog(
        (0, 5, 7, 8),
        (
            "export-mapping out/ --format csv -o mapping.csv",
            "export-mapping out/ --format jsonl --since 20261120T083000Z-1f2e3d4c",
            "export-mapping out/ --format sql | psql",
        ),
    ),
    "export-ledger": Epilog((0, 5, 7, 8), ("export-ledger out/ -o copy/ledger.sqlite",)),
    "readback": Epilog(
        (0, 4, 5, 7, 8, 9, 11, 129, 130, 143),
        (
            "readback out/ -c production.toml",
            "readback out/ -c production.toml --sample 300 --json",
        ),
    ),
    "verify": Epilog(
        (0, 6, 7, 8),
        (
            "verify out/ --public-key audit.pub.pem",
            "verify out/ --export cards.csv.pgp -c production.toml",
        ),
    ),
    "scan": Epilog((0, 5, 9), ("scan out/ /var/log", "scan out/ --json")),
    "sandbox": Epilog(
        (0, 5),
        (
            "sandbox",
            "sandbox --port 0 --rate 5 --journal tokens.jsonl",
            'sandbox --faults "seed=1 D=0.05 5=0.1"',
        ),
    ),
    "doctor": Epilog(
        (0, 5, 6, 7), ("doctor -c production.toml", "doctor -c production.toml -o out/ --json")
    ),
    "config": Epilog(
        (0, 7), ("config -c production.toml", "config -c production.toml --set flow.rate_per_s=2")
    ),
    "seal": Epilog(
        (0, 5, 7),
        (
            "seal cards.csv --to receiver.asc",
            "seal cards.csv --to age1... --out cards.csv.age",
            "seal cards.csv --to receiver.asc --sign-with sender.key --armor",
        ),
    ),
}
"""What each command's help ends with."""


def epilog(name: str) -> str:
    """Give the end of a command's help, as click takes it."""
    told = EPILOGS[name]
    codes = ", ".join(map(str, told.exit_codes))
    lines = [
        "\b",
        "Examples:",
        *(f"  cardferry {example}" for example in told.examples),
        "",
        f"Exit codes: {codes}; `cardferry --help` says what each means.",
    ]
    return "\n".join(lines)
