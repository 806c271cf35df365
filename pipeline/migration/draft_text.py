"""Writes the text of a drafted settings file: what is sure as settings, the rest as comments."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Final

from pipeline.config.presets import read_preset
from pipeline.migration.draft import may_be_shown, noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.migration.draft import Draft

_ORDER: Final = (
    *("legacy_id", "number", "name", "expiration_month", "expiration_year", "expiration"),
    *("customer", "customer_id", "is_default", "email", "phone_number", "street1", "street2"),
    *("city", "state", "postal_code", "country"),
)
_BY_DEFAULT: Final = frozenset(_ORDER[:5])
_TO_CHOOSE: Final = "choose a column"
_UNUSED_MAX: Final = 20


def rendered(draft: Draft, *, name: str, key: str | None, sealed: bool, file: str) -> str:
    """Give the settings file of a draft.

    Args:
        draft: What was recognised.
        name: The export's name, as it may be shown.
        key: Where the key is, as the file shall name it.
        sealed: Whether the export was sealed.
        file: What the file will be called.

    Raises:
        TOMLDecodeError: A fault of ours: the text is no TOML, and nobody should get it.
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
        *_unused_lines(draft),
        *_attach_lines(draft),
    ]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return text


def _export_lines(draft: Draft, key: str | None, *, sealed: bool) -> list[str]:
    lines = []
    if draft.preset is not None:
        preset = read_preset(draft.preset)
        title = preset.title if preset else ""
        lines.append(f"preset = {_toml(draft.preset)}  # {title}")
    if key is not None:
        lines.append(f"key = {_toml({'file': key})}")
    if not sealed:
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
            if kind == "customer" and source == columns.sure.get("legacy_id"):
                lines[-1] += "  # the legacy id as well: each card is its own customer's"
            lines += [f"# unsure: {columns.notes[kind]}"] if kind in columns.notes else []
        elif kind in columns.unsure:
            listed = draft.candidates(kind, _toml, ", ")
            lines.append(
                _open_line(draft, kind) + f"  # unsure; candidates: {listed}{noted(columns, kind)}"
            )
    return ["", "[export.columns]", *lines] if lines else []


def _open_line(draft: Draft, kind: str) -> str:
    if kind in draft.shapes and kind in _BY_DEFAULT:
        # Commented out, the column of that very name would be taken without a word.
        return f'{kind} = "{_TO_CHOOSE}"'
    if kind != "expiration":
        return f'# {kind} = ""'
    layout = draft.columns.layouts[0] if draft.columns.layouts else "MM/YY"
    return f'# {kind} = {{ column = "", format = {_toml(layout)} }}'


def _column_line(kind: str, source: str | tuple[str, ...], layouts: Sequence[str]) -> list[str]:
    if kind != "expiration":
        value = _toml(list(source) if isinstance(source, tuple) else source)
        return [f"{kind} = {value}"]
    line = f"expiration = {{ column = {_toml(source)}, format = {_toml(layouts[0])} }}"
    if len(layouts) == 1:
        return [line]
    return [f"# {line}  # unsure; the first values fit {', '.join(layouts)}"]


def _unused_lines(draft: Draft) -> list[str]:
    names = [name for name in draft.unused if may_be_shown(name)]
    lines = [
        f"#   {_toml(name)}: " + ", ".join(filter(None, (draft.unused[name], draft.shapes[name])))
        for name in names[:_UNUSED_MAX]
    ]
    if len(names) > _UNUSED_MAX:
        lines.append(f"#   and {len(names) - _UNUSED_MAX} others, which `cardferry check` names")
    return ["", "# Nothing is made of these columns:", *lines] if lines else []


def _attach_lines(draft: Draft) -> list[str]:
    preset = read_preset(draft.preset) if draft.preset else None
    if "customer" not in draft.columns.sure and not (
        preset and "customer" in preset.export["columns"]
    ):
        return []
    return [
        "",
        "# Tokens are single-use and perish; this puts every card on its customer:",
        "# [attach]",
        '# secret_key = { env = "OMISE_SECRET_KEY" }  # of the same account and mode',
    ]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    # JSON's strings, lists and truths are TOML's as well; DEL is not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
