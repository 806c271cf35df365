"""JSON none of whose records names what every card has is refused, as a header without the column is."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.frames import frame_of

COLUMNS = {
    "legacy_id": "id",
    "number": "number",
    "name": "name",
    "expiration_month": "month",
    "expiration_year": "year",
}
OF_CARD = COLUMNS | {"legacy_id": "card.id", "number": "card.number"}
VISA = "4242424242424242"
ANN = {"id": "a", "number": VISA, "name": "Ann", "month": 12, "year": 2030}
PAN = {"id": "a", "pan": VISA, "name": "Ann", "month": 12, "year": 2030}
ZED = {"customer": "c1", "email": "zed@example.com"}


def ids(export, columns=COLUMNS, *, is_first=True, form=None, **options):
    """Give the legacy id of each card, or the code in its place, by row."""
    raw = export if isinstance(export, bytes) else FORMS[form or "lines"](export)
    found = {}
    for chunk in read([raw], ReaderOptions(columns, **options), is_first=is_first):
        found |= frame_of(chunk)["legacy_id"].to_dict()
        found |= {rejection.row: rejection.code for rejection in chunk.rejections}
    return [found[row] for row in range(1, len(found) + 1)]


def refusal(*given, **options):
    """Give what is said of an export that is refused, with the next step."""
    with pytest.raises(ExportRefused) as refused:
        ids(*given, **options)
    return f"{refused.value} {refused.value.next_step}"


def lines(records):
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


FORMS = {
    "lines": lines,
    "lines with objects in them": lambda records: lines([r | {"x": {"y": 1}} for r in records]),
    "lines with a bad one": lambda records: lines(records) + b"{\n",
    "a list": lambda records: json.dumps(records).encode(),
    "a list for people": lambda records: json.dumps(records, indent=1).encode(),
    "a list with objects": lambda records: json.dumps([r | {"x": {}} for r in records]).encode(),
    "a list with a fraction": lambda records: json.dumps(
        [r | {"x": 1.5} for r in records]
    ).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_names_no_card_number_is_refused_in_every_form(form):
    """The column is named as the settings spell it; of the export not even a name is repeated."""
    told = refusal([ZED, PAN, PAN], form=form)

    assert "no record of the export has number " in f"{told} "
    assert "`export.columns.number`" in told
    assert "pan" not in told.split()
    assert VISA not in told
    assert "no record of the export has number (column `no`)" in refusal(
        [ZED, PAN], COLUMNS | {"number": "no"}, form=form
    )


@pytest.mark.parametrize("form", FORMS)
def test_records_without_a_card_are_skipped_where_another_one_has_one(form):
    """One record that names the number tells that the name is right, the last one too."""
    found = ids([ZED] * 7 + [ANN], form=form, chunk_rows=2)

    assert found[:8] == ["no_card"] * 7 + ["a"]


@pytest.mark.parametrize(
    ("records", "columns", "code"),
    [
        ([ZED | {"number": None}], COLUMNS, "no_card"),
        ([ZED | {"number": ""}, ZED], COLUMNS, "no_card"),
        ([ZED | {"card.number": None}], OF_CARD, "no_card"),
        ([ZED | {"card": {"number": None}}, ZED], OF_CARD, "no_card"),
        ([ZED | {"card": None}], OF_CARD, "no_card"),
        ([ZED | {"card": {}}, ZED | {"card": []}, ZED | {"card": ""}], OF_CARD, "no_card"),
        ([{}, {}], COLUMNS, "no_card"),
    ],
)
def test_a_field_that_is_there_and_empty_says_that_there_is_no_card(records, columns, code):
    """Be it one record alone: its own words are that the customer has no card."""
    assert ids(records, columns) == [code] * len(records)
    assert ids(records, columns, form="a list for people") == [code] * len(records)


def test_a_card_that_holds_its_number_under_another_name_is_no_empty_one():
    """Beside customers whose `card` is null stands one with a card, and no number is found in it."""
    empty, filled = ZED | {"card": None}, ZED | {"card": {"pan": VISA}}

    assert "`card.number`" in refusal([empty, filled, empty], OF_CARD)
    assert "`card.number`" in refusal([empty, ZED, empty], OF_CARD)
    assert "`card.number`" in refusal([ZED | {"card": "4242"}], OF_CARD)


def test_other_payment_methods_say_themselves_why_they_have_no_number():
    """A file of accounts alone is skipped; a record that says nothing of the kind refuses it."""
    told = {"other_methods": ("iban",), "method": "kind"}
    wallet, account = {"id": "w", "kind": "wallet"}, {"id": "b", "kind": "", "iban": "DE00"}

    assert ids([wallet, account], **told) == ["not_a_card"] * 2
    assert "no record of the export has number" in refusal([wallet, account, PAN], **told)
    assert " or number or " in refusal([wallet, {"kind": "card"}], **told)


def test_customers_whose_list_of_cards_is_empty_are_no_records():
    """Nothing is asked of objects around the records; of a record in one of the lists it is."""
    told = {"records": "customers.*.cards.*", "columns": COLUMNS | {"customer": "..id"}}
    nobody = {"id": "c1", "cards": []}

    assert ids(json.dumps({"customers": [nobody, {}]}).encode(), **told) == ["no_card"] * 2
    given = [nobody, {"id": "c2", "cards": [PAN]}]
    assert "number" in refusal(json.dumps({"customers": given}).encode(), **told)
    assert "number" in refusal(lines(given), **(told | {"records": "cards.*"}))


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"[]", b"[ ]\n", b"{\n}", b"{}\n", b"{\n3\n"])
def test_an_export_without_a_record_that_names_anything_lacks_nothing(raw):
    """An empty one is fine, and lines that are no objects are bad rows, each told as one."""
    assert set(ids(raw, format="json" if raw[:1] == b"[" else "jsonl")) <= {
        "no_card",
        "malformed_row",
    }


def test_cards_that_lie_deeper_are_pointed_to_by_the_setting_for_it():
    """An object of customers is one record to settings that name no path."""
    told = refusal(json.dumps({"cards": [ANN]}, indent=1).encode())

    assert "`export.records`" in told
    assert "`cardferry init`" in told
    assert "has no card" in told
    assert "`export.records`" in refusal([{"id": "c1", "cards": [ANN]}])


@pytest.mark.parametrize("name", ["legacy_id", "name", "expiration_month", "expiration_year"])
def test_what_else_every_card_has_is_asked_of_exports_with_numbers(name):
    """No card could be sent without it; where no record has a number nothing is missed."""
    columns = COLUMNS | {name: "other"}
    own = f"no record of the export has {name} (column `other`)"

    assert own in refusal([ZED, ANN, ANN], columns)
    assert "has no card" not in refusal([ANN], columns)
    assert ids([ANN, ANN | {"other": None}], columns)[0] == ("" if name == "legacy_id" else "a")
    assert ids([ZED | {"number": None}, ZED | {"number": ""}], columns) == ["no_card"] * 2
    assert own in refusal([{**ANN, "number": {"x": 1}}, ANN], columns)


def test_one_column_of_several_that_make_a_field_is_enough():
    """A holder's last name alone, or one of the columns that may tell the expiration."""
    parts = COLUMNS | {"name": ("first", "last")}
    expiration = (("exp", ("MM/YY",)), ("until", ("YYMM",)))
    whole = {name: COLUMNS[name] for name in ("legacy_id", "number", "name")}
    lee = {"id": "a", "number": VISA, "last": "Lee", "month": 1, "year": 2030}
    short = {"id": "a", "number": VISA, "name": "Ann"}

    assert ids([lee], parts) == ["a"]
    assert "has name (column `first`) or name (column `last`)" in refusal([ANN], parts)
    assert ids([short | {"until": "3001"}], whole, expiration=expiration) == ["a"]
    assert ids([ANN], COLUMNS, expiration=expiration) == ["a"]
    assert "expiration (column `exp`) or" in refusal([short], whole, expiration=expiration)


def test_what_a_card_may_be_without_may_be_named_by_no_record():
    """A writer leaves an empty address out, or a customer's id where no card has one."""
    columns = COLUMNS | {"city": "town", "customer": "cust", "is_default": "main"}

    assert ids([ANN], columns, carry=("note",)) == ["a"]


def test_names_in_other_letters_case_are_told_as_such():
    """The export is right then, and the settings are to be corrected."""
    upper = {name.upper(): value for name, value in ANN.items()}
    inner = {**PAN, "Card": {"Number": VISA}}

    assert "other letters' case" in refusal([upper])
    assert "other letters' case" in refusal([inner], COLUMNS | {"number": "card.number"})
    assert "other letters' case" in refusal([ANN], COLUMNS | {"name": "Name"})
    assert "other letters' case" not in refusal([PAN | {"Id": "a"}])


def test_only_the_first_reading_judges_it():
    """What was planned once is read again as it was, whatever an older version had let pass."""
    assert ids([ZED, ZED], is_first=False) == ["no_card"] * 2
    assert ids([PAN], is_first=False) == ["a"]
