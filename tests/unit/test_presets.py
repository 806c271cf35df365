"""The known export formats: each reads its own exact columns, and one's own settings win."""

from __future__ import annotations

import csv
import io
import json

import pytest

from pipeline.config.loading import load_settings
from pipeline.config.presets import preset_names, read_preset
from pipeline.errors import ExportRefused, SettingsRefused
from pipeline.exports.reader import read
from pipeline.migration.export_factory import reading
from tests.support.frames import frame_of

NUMBER = "4242424242424242"
VALUES = {"MM/YY": "12/30", "MMYY": "1230", "YYMM": "3012", "MMYYYY": "122030", "YYYYMM": "203012"}
WITH_HEADER = sorted(name for name in preset_names() if read_preset(name).header)


def loaded(tmp_path, text):
    file = tmp_path / "settings.toml"
    file.write_text('[vault]\nurl = "http://127.0.0.1:9"\npublic_key = "pkey_test_1"\n' + text)
    return load_settings(file, {})[0]


def rows(raw, settings):
    """Give the frame of an export that is one chunk, and what could not be read."""
    (chunk,) = read([raw], reading(settings).options)
    return frame_of(chunk), [rejection.code for rejection in chunk.rejections]


def written(header, row):
    text = io.StringIO()
    csv.writer(text).writerows([header, [row.get(name, "") for name in header]])
    return text.getvalue().encode()


def a_row(settings):
    columns = settings.export.columns
    row = {columns.legacy_id: "card-1", columns.number: NUMBER}
    row |= dict.fromkeys([columns.name] if isinstance(columns.name, str) else columns.name, "Ann")
    if columns.customer and columns.customer not in row:
        row[columns.customer] = "customer-1"
    if columns.expiration_month:
        row |= {columns.expiration_month: "12", columns.expiration_year: "2030"}
    if columns.expiration:
        row |= {name: VALUES[layouts[0]] for name, layouts in columns.expiration.readings()}
    return row


@pytest.mark.parametrize("name", WITH_HEADER)
def test_a_preset_reads_the_exact_columns_of_its_format(name, tmp_path):
    """Every column that matters is found under its published name; Authvia's codes are refused."""
    settings = loaded(tmp_path, f'[export]\npreset = "{name}"\n')
    header = read_preset(name).header
    if name.startswith("hyperswitch"):
        header = (*dict.fromkeys((*header, "name")),)
    raw = written(header, a_row(settings))
    if name == "authvia":
        assert rows(raw, settings)[1] == []
        raw = written(header, a_row(settings) | {"traits.cvv": "987"})
        with pytest.raises(ExportRefused, match=r"security codes.*`traits\.cvv`"):
            rows(raw, settings)
        return
    frame, codes = rows(raw, settings)

    assert codes == []
    assert frame.loc[1, "legacy_id"] == "card-1"
    assert frame.loc[1, "name"].startswith("Ann")
    assert int(frame.loc[1, "expiration_month"]) == 12
    assert int(frame.loc[1, "expiration_year"]) % 100 == 30


def test_what_the_settings_say_wins_over_a_preset(tmp_path):
    """A column, an expiration as a whole and the other settings are one's own where given."""
    own = 'expiration = { column = "exp", format = "MM-YY" }\nlegacy_id = "mine"\n'
    settings = loaded(
        tmp_path, f'[export]\npreset = "braintree"\ndelimiter = ";"\n[export.columns]\n{own}'
    )
    columns = settings.export.columns

    assert (columns.legacy_id, columns.number) == ("mine", "credit_card.number")
    assert (columns.expiration_month, columns.expiration.column) == (None, "exp")
    assert settings.export.delimiter == ";"


def test_an_unknown_preset_is_refused_with_where_to_look(tmp_path):
    """The message names the command that lists them."""
    with pytest.raises(SettingsRefused) as caught:
        loaded(tmp_path, '[export]\npreset = "strype"\n')

    assert "cardferry presets" in str(caught.value.problems)


def test_optional_columns_of_a_preset_may_be_missing_and_the_others_may_not(tmp_path):
    """An export without addresses is read; one without any expiration is refused."""
    settings = loaded(tmp_path, '[export]\npreset = "adyen"\n')
    row = {"EchoData": "1", "CardNumber": NUMBER, "OwnerName": "Ann", "ExpiryMMYY": "1230"}
    frame, codes = rows(written(list(row), row), settings)

    assert codes == []
    assert frame.loc[1, "expiration_year"] == "2030"
    del row["ExpiryMMYY"]
    with pytest.raises(ExportRefused, match="expiration"):
        rows(written(list(row), row), settings)


def test_stripe_is_one_preset_for_both_of_its_forms(tmp_path):
    """JSON has other names than CSV; one's own columns stand in both."""
    settings = loaded(tmp_path, '[export]\npreset = "stripe"\n')
    card = {"id": "card_1", "number": NUMBER, "name": "Ann", "exp_month": 12, "exp_year": 2030}
    document = {"customers": [{"id": "cus_1", "cards": [card]}, {"id": "cus_2", "cards": []}]}
    frame, codes = rows(json.dumps(document).encode(), settings)

    assert frame.loc[1, ["legacy_id", "customer"]].tolist() == ["card_1", "cus_1"]
    assert codes == ["no_card"]
