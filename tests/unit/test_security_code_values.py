"""Columns that are named like security codes are judged by what stands in them."""

from __future__ import annotations

import json
from random import Random

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.cards import COLUMNS, csv_export, row

ROWS = 40


def export(name: str, values: list[str]) -> bytes:
    """Give an export with one more column."""
    rows = [row(id=f"c{place}", **{name: value}) for place, value in enumerate(values)]
    return csv_export(rows, header=[*row(), name])


def is_refused(raw: bytes, columns=COLUMNS, **options) -> bool:
    """Read an export to its end, and say whether it is refused for security codes."""
    try:
        for _ in read([raw], ReaderOptions(columns, **options)):
            pass
    except ExportRefused as refusal:
        return "security codes" in str(refusal) and "`[" not in str(refusal)
    return False


def codes() -> list[str]:
    """Give security codes as issuers make them: random, zeros in front too."""
    seed = Random(3)
    return [f"{seed.randrange(1000):03d}" for _ in range(ROWS)]


HARMLESS = {
    "cid": [f"cus_{place}" for place in range(ROWS)],
    "ga_cid": [f"{place}.{place * 7}" for place in range(1, ROWS)],
    "track_id": [f"{place:08d}" for place in range(ROWS)],
    "track": ["Bohemian Rhapsody"] * ROWS,
    "pin_code": ["560001", "110001"] * 20,
    "pincode": ["", "560001"],
    "ccid": [str(place) for place in range(101, 101 + ROWS)],
    "has_cvv": ["true", "false", "yes", "no", "1", "0", "Y", "N"],
    "cvv": ["", " ", "***", "X", "M", "removed", "not stored", "NULL"],
    "cvc_check": ["pass", "fail", "unavailable"],
    "cvv_result": ["M"] * ROWS,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_column_refuses_nothing(name):
    """Customers' ids, post codes, parcels, flags, and columns of codes that were left empty."""
    assert not is_refused(export(name, HARMLESS[name]))


@pytest.mark.parametrize("name", ["cid", "pin", "Card Code", "pin_code", "track", "ccid"])
def test_an_ambiguous_column_of_codes_is_refused(name):
    """Three digits in nearly every row are codes, whatever else the name may mean."""
    assert is_refused(export(name, codes()))
    assert is_refused(export(name, [*codes(), "", "n/a", "?"]))
    assert not is_refused(export(name, codes()), security_code_columns=(f"-{name}",))
    assert not is_refused(export(name, codes()), security_code_column="drop")


def test_a_track_under_an_ambiguous_name_is_refused():
    """A track needs no certain name."""
    assert is_refused(export("track", ["4242424242424242=30121010000000000000"]))


@pytest.mark.parametrize("last", ["987", "1234", "gAAAAABn", "%B4242^"])
def test_one_code_in_the_last_row_refuses_a_column_with_a_certain_name(last):
    """However many rows have none, one code is an incident."""
    assert is_refused(export("cvv2", ["", "true"] * 10 + [last]))


def test_the_settings_can_add_a_name_and_take_one_off():
    """A name of one's own is certain; one of ours with a minus is nothing."""
    raw = export("card key", ["9", "12345"])

    assert not is_refused(raw)
    assert is_refused(raw, security_code_columns=("Card_Key",))
    assert not is_refused(export("cvv", ["987"]), security_code_columns=("-CVV",))


def test_json_is_judged_by_the_same_values():
    """A key is looked at however deep it lies, across all lines."""
    harmless = [{"id": "a", "meta": {"cid": f"cus_{place}", "cvv": None}} for place in range(20)]
    ambiguous = [{"id": "a", "meta": {"cid": int(code)}} for code in codes()]
    certain = [{"id": "a", "meta": [{"cvv": {"value": "987"}}]}]

    def lines(objects):
        return "".join(json.dumps(one) + "\n" for one in objects).encode()

    assert not is_refused(lines(harmless))
    assert is_refused(lines(ambiguous))
    assert is_refused(lines(certain))
    assert is_refused(json.dumps(ambiguous).encode())
    assert not is_refused(lines(ambiguous), columns=COLUMNS | {"customer": "meta.cid"})
