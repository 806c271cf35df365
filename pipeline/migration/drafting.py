"""Drafts a settings file for exports like one whose first bytes are known.

Nothing of the data comes into the draft: names of columns, signs and formats only. What is not sure
stands as a comment with the candidates, for a person to choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.cards.damage import WORDS_FOR_NOTHING
from pipeline.cards.published_numbers import is_published
from pipeline.cards.rows import ADDRESS_COLUMNS
from pipeline.config.policies import Quoting
from pipeline.config.presets import preset_names, read_preset
from pipeline.exports.columns import BLANKS
from pipeline.exports.head.csv_layout import read_table
from pipeline.exports.head.encoding import decoded_head, encoding_of
from pipeline.exports.head.fields import recognised, unused
from pipeline.exports.head.json_layout import read_trees
from pipeline.exports.head.value_shapes import shape
from pipeline.exports.security_codes import Suspicion, suspicion
from pipeline.exports.text_lines import begins_as_json
from pipeline.migration.draft import Draft, may_be_shown, noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from pipeline.config.presets import Preset
    from pipeline.exports.head.fields import Columns

_SURE_SHARE: Final = 0.6
_REQUIRED: Final = ("legacy_id", "number", "name")
_EXPIRATIONS: Final = frozenset(("expiration", "expiration_month", "expiration_year"))


def drafted(head: bytes, today: date, preset_name: str | None = None) -> Draft:
    """Recognise how an export is written by its first bytes.

    Args:
        head: Plain bytes; they may end anywhere.
        today: From which the years of a card are counted.
        preset_name: A known format, if whoever asks knows that it is one.
    """
    draft = Draft()
    encoding, others = encoding_of(head)
    text = decoded_head(head, encoding)
    if not encoding.startswith(("utf-8", "utf-16", "utf-32")) or encoding.endswith(("le", "be")):
        draft.export["encoding"] = encoding
    if others:
        draft.unsure.append(
            f"export.encoding: no UTF-8; looks like {encoding}, or {' or '.join(others)}: "
            "`check` shows the letters of the names"
        )
    if begins_as_json("".join(text.strip(BLANKS).split())[:2].encode()):
        _draft_tree(draft, text, today, preset_name)
    else:
        _draft_table(draft, text, today, preset_name)
    return draft


def _draft_table(draft: Draft, text: str, today: date, preset_name: str | None) -> None:
    table = read_table(text)
    if table is None:
        draft.unsure.append("the export: its first lines are no table and no JSON")
        return
    if table.delimiter != ",":
        draft.export["delimiter"] = table.delimiter
    if table.quoting is not Quoting.RFC4180:
        draft.export["quoting"] = table.quoting.value
    columns = table.columns
    if not table.has_header:
        draft.export["header"] = False
        preset = read_preset(preset_name) if preset_name else None
        if preset is not None:
            names = [*preset.header, *table.names[len(preset.header) :]]
            columns = dict(zip(names, columns.values(), strict=False))
    _draft_columns(draft, columns, today, preset_name, named=table.has_header)


def _draft_tree(draft: Draft, text: str, today: date, preset_name: str | None) -> None:
    trees = read_trees(text)
    drafts = []
    for tree in trees:
        one = Draft()
        _draft_columns(one, tree.columns, today, preset_name, named=True, records=tree.records)
        number = one.columns.sure.get("number")
        known = len(one.columns.sure.keys() & set(_REQUIRED))
        # The object that holds the number is the record, whatever lies deeper in it.
        is_record = isinstance(number, str) and not number.startswith("..")
        drafts.append(((one.preset is not None, is_record, known), one, tree))
    if not drafts:
        draft.unsure.append("the export: its first bytes are JSON without an object")
        return
    _, best, tree = max(drafts, key=lambda each: each[0])
    draft.columns, draft.preset = best.columns, best.preset
    draft.is_of_test_cards = best.is_of_test_cards
    draft.shapes, draft.unused = best.shapes, best.unused
    draft.unsure += best.unsure
    if tree.records and draft.preset is None:
        draft.export["records"] = tree.records
    draft.export |= best.export


def _draft_columns(
    draft: Draft,
    columns: Mapping[str, Sequence[str]],
    today: date,
    preset_name: str | None,
    *,
    named: bool,
    records: str = "",
) -> None:
    found = recognised(columns, today, named=named)
    preset = _preset_of(columns, preset_name, records)
    draft.columns = found
    nulls = sorted({text for texts in columns.values() for text in texts} & WORDS_FOR_NOTHING)
    if nulls:
        draft.export["null_values"] = nulls
    number = found.sure.get("number")
    if isinstance(number, str):
        filled = [text.replace(" ", "").replace("-", "") for text in columns[number] if text]
        draft.is_of_test_cards = bool(filled) and all(
            is_published(text.encode("ascii", "replace")) for text in filled
        )
    draft.shapes = {
        name: shape([text for text in texts if text not in WORDS_FOR_NOTHING])
        for name, texts in columns.items()
        if name not in found.mapped()
    }
    if preset is None:
        draft.unused = unused(columns, found)
    else:
        draft.preset = preset.name
        _leave_to_preset(found, preset)
    _note_unsure(draft, columns)


def _preset_of(
    columns: Mapping[str, Sequence[str]], preset_name: str | None, records: str
) -> Preset | None:
    """Give the known format whose columns these are: the one with the most of them."""
    if preset_name is not None:
        return read_preset(preset_name)
    known = [preset for name in preset_names() if (preset := read_preset(name))]
    fitting = [preset for preset in known if _fits(preset, columns, records)]
    return max(fitting, key=_width, default=None)


def _width(preset: Preset) -> int:
    return len(preset.header or preset.export["columns"])


def _fits(preset: Preset, columns: Mapping[str, Sequence[str]], records: str) -> bool:
    sources = preset.export["columns"]
    needed = {
        name
        for canonical, source in sources.items()
        if canonical not in preset.may_lack and canonical != "expiration"
        for name in ([source] if isinstance(source, str) else source)
    }
    there = {name.split("#")[0] for name in columns}
    if not needed <= there or preset.export.get("records", "") != records:
        return False
    if not preset.header:
        return True
    known = set(preset.header)
    # A format of few columns is only itself: many exports of one's own have `id` and `card_number`.
    share = 1.0 if len(known) < 12 else _SURE_SHARE  # noqa: PLR2004 - as the comment says.
    return len(known & there) >= share * len(known)


def _leave_to_preset(found: Columns, preset: Preset) -> None:
    """Keep only what the known format does not say itself."""
    said = set(preset.export["columns"])
    said |= _EXPIRATIONS if said & _EXPIRATIONS else set()
    for kinds in (found.sure, found.unsure):
        for name in [*kinds]:
            if name in said or name in ADDRESS_COLUMNS:
                kinds.pop(name)


def _ticked(names: str | list[str]) -> str:
    return " and ".join(f"`{name}`" for name in ([names] if isinstance(names, str) else names))


def _note_unsure(draft: Draft, columns: Mapping[str, Sequence[str]]) -> None:
    for kind in draft.columns.unsure:
        told = draft.candidates(kind, _ticked, ", or ")
        draft.unsure.append(f"export.columns.{kind}: {told}{noted(draft.columns, kind)}")
    for kind in draft.columns.notes.keys() & draft.columns.sure.keys():
        draft.unsure.append(f"export.columns.{kind}{noted(draft.columns, kind)}")
    layouts = draft.columns.layouts
    if "expiration" in draft.columns.sure and len(layouts) > 1:
        draft.unsure.append(
            f"export.columns.expiration: the first values fit {' and '.join(layouts)}"
        )
    codes = [name for name in columns if suspicion(name) is Suspicion.CERTAIN]
    if any(any(columns[name]) for name in codes):
        listed = ", ".join(f"`{name}`" for name in codes if may_be_shown(name))
        draft.unsure.append(
            f"export.security_code_column: {listed} is named like a security code; with codes in it "
            'the export is refused, or read without it by `security_code_column = "drop"`'
        )
