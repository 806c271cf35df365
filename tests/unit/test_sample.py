"""The sample: what its maker says of each row is what the reader and the validator say."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pysequoia
import pytest

from pipeline.cards.customer_rules import CustomerRules
from pipeline.cards.validator import validate
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from pipeline.failure_codes import FAILURE_CODES, Stage
from tests.support.cards import COLUMNS
from tests.support.chunks import ALL_BRANDS, rules
from tests.support.frames import frame_of

FOLDER = Path(__file__).parents[2] / "sample_data"
ADDRESS = ("street1", "city", "postal_code", "country", "email")
OPTIONS = ReaderOptions(
    COLUMNS
    | dict(zip(ADDRESS, ADDRESS, strict=True))
    | {"customer": "legacy_customer_id", "customer_id": "omise_customer_id"},
    carry=("legacy_customer_id",),
)
LATER = {"legacy_id_duplicate", "fraud_check_failed", "customer_conflict", "customer_unknown"}
CUSTOMERS = {"customer_missing", "customer_id_invalid"}


@pytest.fixture(scope="module")
def maker():
    """The script that makes the sample, as a module."""
    spec = importlib.util.spec_from_file_location("make_sample", FOLDER / "make_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(name):
    """Open a sealed sample with its key."""
    key = pysequoia.Tsk.from_file(str(FOLDER / "sample.key"))
    return pysequoia.decrypt((FOLDER / name).read_bytes(), decryptor=key.decryptor()).bytes


def codes(plain, **changes):
    """Give each row's code, "" for a card, and the cards' brands."""
    found, brands = {}, Counter()
    for chunk in read([plain], OPTIONS):
        verdict = validate(chunk, rules(**changes))
        found |= dict.fromkeys(frame_of(verdict.cards).index.tolist(), "")
        found |= {r.row: r.code for r in (*chunk.rejections, *verdict.rejections)}
        brands.update(frame_of(verdict.cards)["brand"])
    return [found[row] for row in sorted(found)], brands


def test_the_sealed_rows_are_those_that_the_script_makes(maker):
    """Both exports open with the published key and hold what the seed gives."""
    assert opened("cards.csv.pgp") == maker.plain_export(maker.sample_lines())
    assert opened("topup.csv.pgp") == maker.plain_export(maker.topup_lines())
    assert opened("modes.csv.pgp") == maker.plain_export(maker.mode_lines())


def test_every_row_has_the_verdict_that_the_script_names(maker):
    """Only what the ledger and the vault reject later passes here."""
    expected = ["" if code in LATER | CUSTOMERS else code for code, _, _ in maker.sample_lines()]
    found, brands = codes(opened("cards.csv.pgp"))

    assert found == expected
    assert set(brands) == ALL_BRANDS


def test_cards_that_are_to_come_to_customers_are_judged_by_them(maker):
    """Only then are rows without a customer, or with an id that is none, rejected."""
    expected = ["" if code in LATER else code for code, _, _ in maker.sample_lines()]
    judged = CustomerRules(is_required=True, is_existing=lambda text: text.startswith("cust_"))

    assert codes(opened("cards.csv.pgp"), customers=judged)[0] == expected


def test_the_sample_shows_every_code_that_one_export_can(maker):
    """No read or validate code is missing but the two that depend on the vault's mode."""
    expected = {
        code for code, meta in FAILURE_CODES.items() if meta.stage in (Stage.READ, Stage.VALIDATE)
    }
    shown = {code for code, _, _ in maker.sample_lines()}
    by_mode = {code for code, _, _ in maker.mode_lines()}

    assert by_mode == {"test_card_in_live_mode", "real_card_in_test_mode"}
    assert expected <= shown | by_mode


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ({"livemode": True}, "test_card_in_live_mode"),
        ({"loopback_vault": False}, "real_card_in_test_mode"),
    ],
)
def test_the_second_export_depends_on_the_mode(maker, mode, code):
    """Judged for a live or for a distant test vault, it shows the other two codes."""
    expected = [named if named == code else "" for named, _, _ in maker.mode_lines()]

    assert codes(opened("modes.csv.pgp"), **mode)[0] == expected


def test_the_readme_counts_the_rows_right(maker):
    """Each code's line in the sample's README has the number of its rows."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = {code: int(count) for code, count in re.findall(r"\| `(\w+)` \| (\d+) \|", readme)}
    expected = Counter(code for code, _, _ in maker.sample_lines())
    good = expected.pop("")

    assert listed == expected
    assert f"{good + expected.total()} rows that the demo carries: {good} good ones" in readme


def test_the_key_says_that_it_is_for_tests():
    """Whoever lists the key sees that it must not be used."""
    key = pysequoia.Cert.from_bytes((FOLDER / "sample.key").read_bytes())

    assert "TEST ONLY" in str(key.user_ids[0])
    assert key.expiration is None
