"""Drafts a settings file for exports like one whose first bytes are known.

Nothing of the data comes into the draft: names of columns, signs and formats only. What is not sure
stands as a comment with the candidates, for a person to choose.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.cards.damage import WORDS_FOR_NOTHING
from pipeline.cards.detect import texts_containing_pan
from pipeline.cards.published_numbers import is_published
from pipeline.config.policies import Quoting
from pipeline.config.presets import preset_names, read_preset
from pipeline.exports.columns import BLANKS
from pipeline.exports.head.encoding import decoded_head, encoding_of
from pipeline.exports.head.fields import Columns, recognised
from pipeline.exports.head.text import read_table
from pipeline.exports.head.tree import read_trees
from pipeline.exports.security_codes import Suspicion, suspicion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from pipeline.config.presets import Preset

_SURE_SHARE: Final = 0.6
_REQUIRED: Final = ("legacy_id", "number", "name")
_ORDER: Final = (
    *("legacy_id", "number", "name", "expiration_month", "expiration_year", "expiration"),
    *("customer", "customer_id", "is_default", "email", "phone_number", "street1", "street2"),
    *("city", "state", "postal_code", "country"),
)
_EXPIRATIONS: Final = frozenset(("expiration", "expiration_month", "expiration_year"))


@dataclass(slots=True)
class Draft:
    """Settings as far as an export's first bytes tell them.

    Attributes:
        export: Keys of `[export]` beside key and columns, in order.
        columns: What is known of the columns.
        preset: The known format it is in.
        unsure: What a person has to look at, a sentence each.
        is_of_test_cards: Whether all of the first card numbers are published test numbers.
    """

    export: dict[str, object] = field(default_factory=dict)
    columns: Columns = field(default_factory=Columns)
    preset: str | None = None
    unsure: list[str] = field(default_factory=list)
    is_of_test_cards: bool = False


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
    if text.lstrip(BLANKS)[:1] in {"{", "["} and not text.lstrip(BLANKS).startswith("[id"):
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
        known = len(one.columns.sure.keys() & set(_REQUIRED)) + len(_REQUIRED) * bool(one.preset)
        drafts.append((known, one, tree))
    if not drafts:
        draft.unsure.append("the export: its first bytes are JSON without an object")
        return
    _, best, tree = max(drafts, key=lambda each: each[0])
    draft.columns, draft.preset = best.columns, best.preset
    draft.is_of_test_cards = best.is_of_test_cards
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
    if preset is not None:
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
            if name in said or name in {"email", "phone_number", *_ORDER[11:]}:
                kinds.pop(name)


def _note_unsure(draft: Draft, columns: Mapping[str, Sequence[str]]) -> None:
    for kind, candidates in draft.columns.unsure.items():
        told = [" and ".join(f"`{name}`" for name in names) for names in _shown(candidates)]
        draft.unsure.append(
            f"export.columns.{kind}: "
            + (", or ".join(told) or "no column of that kind seen")
            + _noted(draft.columns, kind)
        )
    for kind in draft.columns.notes.keys() & draft.columns.sure.keys():
        draft.unsure.append(f"export.columns.{kind}{_noted(draft.columns, kind)}")
    layouts = draft.columns.layouts
    if "expiration" in draft.columns.sure and len(layouts) > 1:
        draft.unsure.append(
            f"export.columns.expiration: the first values fit {' and '.join(layouts)}"
        )
    codes = [name for name in columns if suspicion(name) is Suspicion.CERTAIN]
    if any(any(columns[name]) for name in codes):
        shown = ", ".join(f"`{name}`" for name in codes if _may_be_shown(name))
        draft.unsure.append(
            f"export.security_code_column: {shown} is named like a security code; with codes in it "
            'the export is refused, or read without it by `security_code_column = "drop"`'
        )


def _noted(columns: Columns, kind: str) -> str:
    return f": {columns.notes[kind]}" if kind in columns.notes else ""


def _shown(candidates: Sequence[str | tuple[str, ...]]) -> list[list[str]]:
    """Give the candidates that may be shown, each as the columns that it is made of."""
    sources = [[each] if isinstance(each, str) else [*each] for each in candidates]
    return [names for names in sources if all(map(_may_be_shown, names))]


def _may_be_shown(name: str) -> bool:
    return name.isprintable() and len(name) <= 80 and not texts_containing_pan([name])[0]  # noqa: PLR2004


def rendered(draft: Draft, *, name: str, key: str | None, sealed: bool, file: str) -> str:
    """Give the settings file of a draft.

    Args:
        draft: What was recognised.
        name: The export's name, as it may be shown.
        key: Where the key is, as the file shall name it.
        sealed: Whether the export was sealed.
        file: What the file will be called.
    """
    mode = "test" if draft.is_of_test_cards else "live"
    lines = [
        f"# Settings for exports like {name}, drafted by `cardferry init` from its first rows.",
        f"# Look at them, then: cardferry check {name} -c {file}",
        "",
        "[vault]",
        f'mode = "{mode}"  # "test" for test cards; must agree with the key',
        'public_key = { env = "OMISE_PUBLIC_KEY" }',
        "",
        "[export]",
        *_export_lines(draft, key, sealed=sealed),
        *_column_lines(draft),
    ]
    return "\n".join(lines) + "\n"


def _export_lines(draft: Draft, key: str | None, *, sealed: bool) -> list[str]:
    lines = []
    if draft.preset is not None:
        preset = read_preset(draft.preset)
        title = preset.title if preset else ""
        lines.append(f"preset = {_toml(draft.preset)}  # {title}")
    if key is not None:
        lines.append(f"key = {{ file = {_toml(key)} }}")
    elif not sealed:
        lines.append("allow_plaintext = true  # it was not sealed; ask for sealed ones")
    lines += [f"{name} = {_toml(value)}" for name, value in draft.export.items()]
    told = [text for text in draft.unsure if not text.startswith("export.columns.")]
    return [*lines, *(f"# unsure: {text}" for text in told)]


def _column_lines(draft: Draft) -> list[str]:
    columns = draft.columns
    lines = []
    for kind in _ORDER:
        source = columns.sure.get(kind)
        if source is not None:
            lines += _column_line(kind, source, columns.layouts)
            lines += [f"# unsure: {columns.notes[kind]}"] if kind in columns.notes else []
        elif kind in columns.unsure:
            candidates = [
                _toml(names[0] if len(names) == 1 else names)
                for names in _shown(columns.unsure[kind])
            ]
            shown = ", ".join(candidates) or "no column of that kind seen"
            layout = _toml(columns.layouts[0] if columns.layouts else "MM/YY")
            empty = f'{{ column = "", format = {layout} }}' if kind == "expiration" else '""'
            note = _noted(columns, kind)
            lines.append(f"# {kind} = {empty}  # unsure; candidates: {shown}{note}")
    return ["", "[export.columns]", *lines] if lines else []


def _column_line(kind: str, source: str | tuple[str, ...], layouts: Sequence[str]) -> list[str]:
    if kind != "expiration":
        value = _toml(list(source) if isinstance(source, tuple) else source)
        return [f"{kind} = {value}"]
    line = f"expiration = {{ column = {_toml(source)}, format = {_toml(layouts[0])} }}"
    if len(layouts) == 1:
        return [line]
    return [f"# {line}  # unsure; the first values fit {', '.join(layouts)}"]


def _toml(value: object) -> str:
    # JSON's strings, lists and truths are TOML's as well; DEL is not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
