"""The demo: what a newcomer sees first, and what README shows of it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.failure_codes import FAILURE_CODES, Stage
from tests.support.commands import ROOT, cardferry
from tests.support.sandbox import spawned

MODE_CODES = {"test_card_in_live_mode", "real_card_in_test_mode"}
MOVING = {
    r"127\.0\.0\.1:\d+": "HOST",
    r"\b[0-9a-f]{64}\b": "DIGEST",
    r"(\S+ -m pipeline|cardferry) (?=verify|run)": "PROGRAM ",
    r"/\S*cardferry-demo-\w+": "FOLDER",
    r"[\d.,]+/s": "RATE",
    r"· in [\d.]+ (s|min) ·": "· in TIME ·",
    r"retries \d+": "retries N",
    r"[\d,]+/[\d,]+/[\d,]+ ms": "LATENCY ms",
}


def _steady(line):
    for pattern, word in MOVING.items():
        line = re.sub(pattern, word, line)
    return line


@dataclass(frozen=True)
class Demo:
    """One demo: what it said, the folder that it chose, and what the checkout was before and after."""

    said: str
    start: Path
    out: Path
    before: set[str]
    after: set[str]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demo from any folder, without --out; both streams are one, as at a terminal."""
    start, before = tmp_path_factory.mktemp("demo"), _checkout()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        cwd=start,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "TMPDIR": str(start)},
    )
    assert 3 == done.returncode, done.stdout
    named = next(line for line in done.stdout.splitlines() if line.startswith("files in "))
    return Demo(done.stdout, start, Path(named.split(" in ")[1]), before, _checkout())


@pytest.fixture(scope="module")
def demo(shown):
    """What it said, and its folder."""
    return shown.said, shown.out


def test_the_readme_shows_what_the_demo_prints(demo):
    """Line by line, but for ports, folders and speeds; a line of dots stands for some lines."""
    said, _ = demo
    text = (ROOT / "README.md").read_text("utf-8")
    shown = text.split("<!-- demo -->\n```\n", 1)[1].split("```", 1)[0].splitlines()
    pattern = "\n".join(
        r"(?:.+\n)*.+" if line == "…" else re.escape(_steady(line)) for line in shown
    )

    assert len(shown) > 20
    assert re.fullmatch(pattern, "\n".join(map(_steady, said.splitlines()))), said


def test_the_demo_shows_every_failure_code_of_reading_and_validation(demo):
    """The sample fails in every way that a row can fail before it is sent."""
    said, out = demo
    early = {c.code for c in FAILURE_CODES.values() if c.stage in {Stage.READ, Stage.VALIDATE}}
    listed = set(pq.read_table(out / "failures.parquet").column("code").to_pylist())

    assert early - MODE_CODES <= listed
    assert all(code in said for code in early)


def test_the_demos_balance_is_zero(demo):
    """Rows in the sample and rows accounted for are the same."""
    _, out = demo

    balance = json.loads((out / "report.json").read_text("utf-8"))["balance"]

    assert (263, 0, 0) == (balance["rows"], balance["pending"], balance["difference"])


def test_the_demos_cards_are_on_customers_and_were_read_back(demo):
    """Made, given, two on one with a default, an unknown one, and a card that changed."""
    said, out = demo
    mapping = {row["legacy_id"]: row for row in pq.read_table(out / "mapping.parquet").to_pylist()}
    read = pq.read_table(out / "readback.parquet").column("finding").to_pylist()
    failures = pq.read_table(out / "failures.parquet").column("code").to_pylist()
    replaced = pq.read_table(out / "superseded.parquet").to_pylist()

    assert {row["customer_origin"] for row in mapping.values()} == {"made", "given"}
    assert (mapping["card_000001"]["expiration_year"], replaced[0]["kept"]) == (2045, True)
    assert set(read) == {"ok"}
    assert len(read) == len(mapping) + len(replaced)
    assert "customer_unknown" in failures
    assert "all as the mapping says" in said


def test_what_the_demo_leaves_verifies_as_it_advises(demo):
    """Reading back came after the publication: told as not yet covered, and no difference."""
    _, out = demo
    looked = cardferry("verify", out, code=0)
    cardferry("publish", out, code=0)

    assert "not yet covered" in looked.out
    assert "readback" in looked.out
    cardferry("verify", out, code=0)
    cardferry("scan", out, code=0)


def test_the_demo_needs_no_place_and_leaves_the_checkout_alone(shown):
    """From any folder, without --out, the demo runs and says where its files are."""
    assert shown.out.parent == shown.start
    assert (shown.out / "mapping.parquet").is_file()
    assert shown.before == shown.after


def _checkout():
    """List the checkout; a measurement of coverage keeps its notes there."""
    return {path.name for path in ROOT.iterdir() if not path.name.startswith(".coverage")}


def test_the_demos_tokens_are_known_to_the_vault(tmp_path):
    """Every token of the mapping can be retrieved from the sandbox that made it."""
    with spawned() as vault:
        done = cardferry(
            "run",
            ROOT / "sample_data" / "cards.csv.pgp",
            "-c",
            ROOT / "configs" / "sandbox.toml",
            "--set",
            f"vault.url={vault.base_url}",
            "-o",
            tmp_path / "out",
            "--json",
            code=3,
        )
        mapping = pq.read_table(tmp_path / "out" / "mapping.parquet").to_pylist()
        for row in mapping:
            token = vault.request("GET", f"/tokens/{row['token_id']}").json()

            assert (row["card_id"], row["last_digits"]) == (
                token["card"]["id"],
                token["card"]["last_digits"],
            )
    assert len(mapping) == done.json["all_time"]["balance"]["tokenized"]
