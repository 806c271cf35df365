"""Which exports of JSON are refused for lack of the card number's name, against a plain definition."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.sampled import examples

COLUMNS = {
    "legacy_id": "id",
    "number": "card.number",
    "name": "id",
    "expiration_month": "id",
    "expiration_year": "id",
}
EMPTY = (None, "", [], {}, 0, False)
cards = st.sampled_from([*EMPTY, "4242", ["x"], {"pan": "4242"}, {"number": None}, {"number": "4"}])
records = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", None]),
        "card": cards,
        "card.number": st.sampled_from(["4", None]),
        "kind": st.sampled_from(["card", "wallet", "", None]),
        "iban": st.sampled_from(["DE00", "", None]),
    },
)


def numbers_in(record):
    """Give what stands under the key, where it stands."""
    card = record.get("card")
    inner = [card["number"]] if isinstance(card, dict) and "number" in card else []
    return [record["card.number"], *inner] if "card.number" in record else inner


def is_explained(record):
    """Say whether a record without the key says why: nothing in it, no card in it, another method."""
    says_none = "card" in record and not record["card"]
    return not record or says_none or record.get("kind") == "wallet" or bool(record.get("iban"))


def ways(exports):
    """Give the same records in the forms that are read on different ways."""
    yield "jsonl", "".join(json.dumps(record) + "\n" for record in exports)
    yield "json", json.dumps(exports)
    yield "json", json.dumps(exports, indent=1)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(records, max_size=6), st.integers(1, 4), st.integers(1, 40))
def test_an_export_is_refused_where_a_number_was_to_be_named_and_none_was(found, rows, size):
    """However it is written and cut: a record had to name the number, and none did."""
    lost = any(not is_explained(record) for record in found)
    is_named = any(map(numbers_in, found))
    has_number = any(any(numbers_in(record)) for record in found)
    lacks_id = has_number and not any("id" in record for record in found)
    options = {"method": "kind", "other_methods": ("iban",), "chunk_rows": rows}
    for form, text in ways(found):
        raw = text.encode()
        blocks = [raw[at : at + size] for at in range(0, len(raw), size)]
        said = None
        try:
            for _ in read(blocks, ReaderOptions(COLUMNS, format=form, **options), is_first=True):
                pass
        except ExportRefused as refused:
            said = refused.message
        expected = (lost and not is_named) or lacks_id
        assert (said is not None) == expected, (form, said)
        assert said is None or ("number" in said) == (not is_named)
