"""`init` drafts settings that read the export they were drafted from, and is unsure rather than wrong."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest

from pipeline.cards.detect import contains_pan
from pipeline.cards.validator import validate
from pipeline.config.loading import load_settings
from pipeline.exports.reader import read
from pipeline.migration.draft_text import rendered
from pipeline.migration.drafting import drafted
from pipeline.migration.export_factory import reading
from tests.support.chunks import rules
from tests.support.drafts import OWN, ROWS, of_presets

TODAY = date(2026, 11, 27)
SENT = [*OWN, *of_presets()]


def draft_of(sent):
    """Draft settings, and give their text too."""
    draft = drafted(sent.raw, TODAY)
    return draft, rendered(draft, name="cards.csv.pgp", key="my.key", sealed=True, file="own.toml")


def kinds_of(draft):
    return {text.partition(":")[0] for text in draft.unsure}


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent.name)
def test_a_draft_says_what_is_right_and_nothing_else(sent):
    """Columns, encoding, signs and formats are right or unsure; no value of the export is in it."""
    draft, text = draft_of(sent)
    tree = tomllib.loads(text)["export"]

    assert tree.pop("key") == {"file": "my.key"}
    assert tree.pop("preset", None) == sent.preset
    said = tree.pop("columns", {})
    unsure = {name.removeprefix("export.columns.") for name in sent.unsure}
    assert {k: v for k, v in sent.columns.items() if k not in unsure} == {
        k: v for k, v in said.items() if sent.preset is None
    }
    assert tree == sent.export
    assert kinds_of(draft) == sent.unsure
    assert not any(map(contains_pan, text.splitlines()))
    assert "cus_0" not in text
    assert "Ann" not in text


@pytest.mark.parametrize(
    "sent",
    [sent for sent in SENT if not any("columns" in u for u in sent.unsure)],
    ids=lambda s: s.name,
)
def test_what_a_draft_is_sure_of_reads_every_card(sent, tmp_path):
    """Without an edit the settings load, and every row of the export is a card that may be sent."""
    file = tmp_path / "own.toml"
    file.write_text(draft_of(sent)[1], "utf-8")
    (tmp_path / "my.key").touch(0o600)
    settings = load_settings(file, {}, only="export")[0]
    chunks = list(read([sent.raw], reading(settings).options))
    verdicts = [validate(chunk, rules()) for chunk in chunks]

    assert [one for chunk in chunks for one in chunk.rejections] == []
    assert [one for verdict in verdicts for one in verdict.rejections] == []
    assert sum(len(verdict.cards) for verdict in verdicts) == ROWS


def test_nine_of_ten_drafts_need_no_edit():
    """Measured on every known format and on exports of our own: few are unsure, none is wrong."""
    needing = [sent.name for sent in SENT if any("columns" in name for name in sent.unsure)]

    assert len(SENT) >= 30
    assert len(needing) <= len(SENT) / 10


@pytest.mark.parametrize("cut", [700, 1000, 1500])
def test_a_head_may_be_cut_anywhere(cut):
    """The last row of a head, or the last object, may be half of one."""
    for sent in OWN[:18]:
        whole, head = drafted(sent.raw, TODAY), drafted(sent.raw[:cut], TODAY)
        assert head.columns.sure.get("number") == whole.columns.sure.get("number"), sent.name


def test_a_column_that_is_named_like_one_and_holds_none_is_told_as_such():
    """Whoever looks for the holder's name is not told that there is no such column."""
    raw = "id,card_number,card_holder,exp_month,exp_year\n" + "".join(
        f"cus_{place},4242424242424242,X{place}7,12,2031\n" for place in range(5)
    )
    draft = drafted(raw.encode(), TODAY)
    text = rendered(draft, name="cards.csv.pgp", key="my.key", sealed=True, file="own.toml")

    words = "is named like name, but its values are none"
    assert [f"export.columns.name: none; `card_holder` {words}"] == draft.unsure
    assert f'# name = ""  # unsure; candidates: none; "card_holder" {words}' in text.splitlines()


def test_a_column_of_ids_that_come_again_is_told_by_the_setting_that_it_would_be():
    """No name of ours that stands in no settings."""
    raw = "id,card_number,card_holder,exp_month,exp_year\n" + "".join(
        f"same,4242424242424242,{name},12,2031\n" for name in ("Ann Lee", "Bob Ray", "Cy Orn")
    )

    [unsure] = drafted(raw.encode(), TODAY).unsure

    assert unsure.startswith("export.columns.legacy_id: none; `id` is named like legacy_id, but")
